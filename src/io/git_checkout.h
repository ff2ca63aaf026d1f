// A source's files with what its tree only points at: the submodules' own files, and the large
// files of Git LFS. Knows nothing of refs or images.
#pragma once

#include <filesystem>
#include <string>

#include "core/source.h"
#include "io/git_mirror.h"
#include "io/git_program.h"
#include "io/git_tree_writer.h"

namespace imagewright {

class GitCheckout {
 public:
  /// Borrows `program`. `cache` as of Git.
  GitCheckout(GitProgram& program, std::filesystem::path cache, std::size_t most_submodules = 1000)
      : program_(program), cache_(std::move(cache)), most_submodules_(most_submodules) {}

  /// Writes a tree of `source` as write_git_tree does, and into it what GitSource::submodules and
  /// GitSource::lfs ask for, in submodules, too. `mirror`, the source's, holds `commit` as a whole;
  /// `subdir` is where in it the tree stands ("" is the root). Throws Error(Source): what cannot be
  /// fetched, a submodule that `.gitmodules` does not name or that is on this machine, too many
  /// submodules, or some deeper than 16 in each other, a large file that is another one than its
  /// pointer says, no git-lfs.
  void write(GitMirror& mirror, const GitSource& source, const std::string& commit,
             const std::string& subdir, const std::string& tree,
             const std::filesystem::path& directory);

 private:
  struct Place;
  void write(const Place& place, int depth);
  void write_submodules(const Place& place, const WrittenTree& written, int depth);
  void fill_pointers(const Place& place, const WrittenTree& written);
  std::vector<TreePointer> large_files(const Place& place,
                                       const std::vector<TreePointer>& pointers) const;

  GitProgram& program_;
  std::filesystem::path cache_;
  std::size_t most_submodules_;
  std::size_t submodules_ = 0;
};

}  // namespace imagewright
