// Reading a build context from the disk: the walk, each file's content, and a stamp by which to
// tell later whether anything moved. Never steps outside the directory, never through a symlink
// below it, never skips what it cannot read. Knows nothing of images, Dockerfiles or state.
// A file is read between two fstats that must agree.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/ignore.h"

namespace imagewright {

struct TreeRequest {
  std::filesystem::path root;  ///< a directory; a symlink to one is followed here
  IgnoreRules rules;
  std::vector<std::string>
      excluded;  ///< file names left out wherever they stand, whatever the rules say
  std::vector<std::string> excluded_paths;  ///< the same for single paths
};

struct Snapshot {
  std::vector<Entry> entries;  ///< by path
  Digest stamp{};              ///< as tree_stamp gives it
};

/// Reads everything that counts. Throws Error(Source) naming the path: a root that is missing or no
/// directory, anything unreadable, FIFOs and sockets, a file that keeps changing while it is read.
/// What vanishes between listing and reading is not there. Files are read by as many threads as
/// there are cores. An interrupt (io/interrupt.h) ends it with an Error, too.
Snapshot read_tree(const TreeRequest& request);

/// A digest over what the file system says of every entry that counts (identity, size, times,
/// mode), without reading files. Any write moves a ctime, so equal stamps before and after mean
/// that nothing was touched in between. An interrupt does not hinder it. The root itself does not
/// count: our own state may lie in it. Throws as read_tree.
Digest tree_stamp(const TreeRequest& request);

/// The bytes of one file, by fstat, read, fstat. Throws Error(Source).
std::string read_file(const std::filesystem::path& path);

}  // namespace imagewright
