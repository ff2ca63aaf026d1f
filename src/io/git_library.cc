#include "io/git_library.h"

#include <array>
#include <optional>

#include "io/library.h"

namespace imagewright {

namespace {

// Those whose functions and types are as in the one that this was compiled with.
constexpr std::array kFiles = {"libgit2.so.1.5", "libgit2.so.1.6", "libgit2.so.1.7",
                               "libgit2.so.1.8", "libgit2.so.1.9"};

GitLibrary functions_of(const Library& library) {
  GitLibrary all;
  library.find("git_libgit2_init", all.init);
  library.find("git_libgit2_opts", all.options);
  library.find("git_odb_open", all.open);
  library.find("git_odb_free", all.close);
  library.find("git_odb_read", all.read);
  library.find("git_odb_read_header", all.read_header);
  library.find("git_odb_object_data", all.data);
  library.find("git_odb_object_size", all.size);
  library.find("git_odb_object_type", all.type);
  library.find("git_odb_object_free", all.free);
  library.find("git_oid_fromstr", all.parse_id);
  return all;
}

std::optional<GitLibrary> load() {
  for (const char* file : kFiles) {
    try {
      GitLibrary all = functions_of(Library(file, "libgit2", "without it git is asked"));
      if (all.init() < 1) continue;
      // What is in a mirror was checked when it was fetched.
      all.options(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
      return all;
    } catch (const Error&) {
      // the next one
    }
  }
  return std::nullopt;
}

}  // namespace

const GitLibrary* git_library() {
  static const std::optional<GitLibrary> loaded = load();
  return loaded ? &*loaded : nullptr;
}

}  // namespace imagewright
