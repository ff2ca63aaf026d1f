// Writing a git tree out as a plain directory: bytes, modes and times as the tree says, and nothing
// else has a say. A tree from a hostile repository writes nothing outside of the directory. Knows
// nothing of commits or remotes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/lfs_pointer.h"
#include "io/git_mirror.h"

namespace imagewright {

/// A submodule of a tree.
struct TreeSubmodule {
  std::string path;  ///< in the tree
  std::string commit;
};

/// A file of a tree whose content is a pointer of Git LFS.
struct TreePointer {
  std::string path;  ///< in the tree
  LfsPointer pointer;
};

/// No limit to how much is written.
inline constexpr std::uint64_t kAnySize = UINT64_MAX;

/// What a written tree only points at.
struct WrittenTree {
  bool complete = true;                   ///< false: it takes more than it may
  std::vector<TreeSubmodule> submodules;  ///< each an empty directory
  std::vector<TreePointer> pointers;      ///< each the pointer as it is
};

/// Sets the date of an open file that such a tree's files have. False: errno says why not.
bool set_tree_date(int fd);

/// Writes the tree into `directory`, which must exist and be empty; modes and times as in
/// Git::write_tree. All names are checked before the first is written. After an error `directory`
/// may hold a part of the tree. At most 2 million entries and paths of 4095 bytes: a few small tree
/// objects can name more than any disk holds. `most_bytes`: how much the directory may take, each
/// entry with 1 KiB of its own and its content in pages; a tree that takes more, or finds no room,
/// is not complete.
WrittenTree write_git_tree(GitMirror& mirror, const std::string& tree,
                           const std::filesystem::path& directory,
                           std::uint64_t most_bytes = kAnySize);

}  // namespace imagewright
