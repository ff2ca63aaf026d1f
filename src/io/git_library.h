// libgit2, loaded when it is first used. For io/git_objects alone.
#pragma once

#include <git2.h>

namespace imagewright {

/// What we use of it.
struct GitLibrary {
  decltype(&git_libgit2_init) init = nullptr;
  decltype(&git_libgit2_opts) options = nullptr;
  decltype(&git_odb_open) open = nullptr;
  decltype(&git_odb_free) close = nullptr;
  decltype(&git_odb_read) read = nullptr;
  decltype(&git_odb_read_header) read_header = nullptr;
  decltype(&git_odb_object_data) data = nullptr;
  decltype(&git_odb_object_size) size = nullptr;
  decltype(&git_odb_object_type) type = nullptr;
  decltype(&git_odb_object_free) free = nullptr;
  decltype(&git_oid_fromstr) parse_id = nullptr;
};

/// Loaded once, and never unloaded. nullptr: there is none, or one of a version that is not known.
const GitLibrary* git_library();

}  // namespace imagewright
