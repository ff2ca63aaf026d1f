// Reading one file such that what was read is what the file held at one moment, and the attributes
// that count beside its bytes. Knows nothing of directories or of what is read for what.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/digest.h"
#include "io/stat_cache.h"

namespace imagewright {

/// The bytes of one file, by fstat, read, fstat. Throws Error(Source), also for what is no file.
std::string read_file(const std::filesystem::path& path);
/// The same, with what the file system says of the file that has them.
std::pair<std::string, FileStat> read_file_and_stat(const std::filesystem::path& path);

using Xattrs = std::vector<std::pair<std::string, std::string>>;

/// The extended attributes that count, by name: not `com.apple.*`, `system.*` and `security.*`,
/// but `security.capability` (BuildKit's client). Of an open file; or of an entry of an open
/// directory, never of what it links to. nullopt: they cannot be read (errno).
std::optional<Xattrs> read_xattrs(int fd);
std::optional<Xattrs> read_xattrs(int directory, const std::string& name);

/// Where a symlink of an open directory points to. nullopt: errno.
std::optional<std::string> read_target(int directory, const std::string& name);

/// What statx says of an entry of a directory, or of an open file with the name "". Attributes are
/// asked of the server where there is one. nullopt: errno.
struct Statx {
  FileStat stat;
  std::uint64_t special = 0;  ///< a device's own number
  std::int64_t mtime = 0;     ///< nanoseconds since 1970; the nearest there is
  std::int64_t ctime = 0;
};
std::optional<Statx> read_stat(int directory, const char* name);

enum class ReadResult {
  Good,
  Changing,  ///< it was another thing each time, or no file any more
  Failed,    ///< errno
};

/// The digest and the attributes of an open file, as they are at one moment: read again if the file
/// changed meanwhile. `stat` is what is known of it; receives what the bytes belong to.
ReadResult read_content(int fd, Statx& stat, Digest& content, Xattrs& xattrs, Sha256& hash);

}  // namespace imagewright
