// A build context as values: what an engine gets to see of a directory, entry by entry, and the
// digest over it. Knows nothing of disks, ignore rules or git. What counts, as in BuildKit's
// cache/contenthash: path, type, mode, size, link target, device numbers, xattrs, content; no
// times, no owner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/digest.h"

namespace imagewright {

enum class EntryType { File, Directory, Symlink, Block, Character };

/// "file", "dir", "symlink", "block", "char".
const char* word(EntryType type);

struct Entry {
  std::string
      path;  ///< relative to the context's root, `/`-separated, bytes as the file system has them
  EntryType type = EntryType::File;
  std::uint32_t mode = 0;    ///< the permission bits: mode & 07777
  std::uint64_t size = 0;    ///< a file's bytes; else 0
  std::string target;        ///< a symlink's
  std::uint64_t device = 0;  ///< a device's number
  Digest content{};          ///< a file's SHA-256
  /// Extended attributes that count, by name.
  std::vector<std::pair<std::string, std::string>> xattrs;
};

/// The digest of one directory alone: over its entries, without what is below its subdirectories.
class OwnDigest {
 public:
  OwnDigest();
  /// In the order of their names, bytewise. Of `entry` the path does not count, but `name` does.
  void add(std::string_view name, const Entry& entry);
  /// Starts anew, too.
  Digest finish();

 private:
  Sha256 hash_;
  std::string bytes_;
};

/// A directory with all that is below it: over its own digest and its subdirectories' tree digests
/// by name.
Digest tree_digest(const Digest& own, const std::vector<Digest>& subdirectories);

/// The path of an entry of a directory, whose own path is "" if it is the root.
std::string path_below(std::string_view directory, std::string_view name);

/// By path, bytewise. The order of every list of entries that leaves this project.
void sort_by_path(std::vector<Entry>& entries);

/// The digest of a whole context: the root's tree digest. The root itself is no entry. `entries`
/// must be sorted by path, and hold every directory above an entry.
Digest context_digest(const std::vector<Entry>& entries);

}  // namespace imagewright
