#include "io/file_read.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string_view>

#include "io/error.h"
#include "io/fd.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

constexpr int kAttempts = 5;
constexpr std::size_t kBuffer = std::size_t{256} * 1024;

// Of a thread; not cleared when made: most files fill little of it.
char* buffer() {
  static thread_local const std::unique_ptr<char[]> bytes(new char[kBuffer]);
  return bytes.get();
}

// Reads an open file to its end. Less than was asked for, where the size says so too, is the end:
// no further read has to say it. (A size of 0 says nothing: some file systems have no other.)
// False: errno.
template <typename Sink>
bool read_to_end(int fd, std::uint64_t size, const Sink& sink) {
  for (std::uint64_t at = 0;;) {
    const ssize_t got = pread(fd, buffer(), kBuffer, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    sink(std::string_view(buffer(), static_cast<std::size_t>(got)));
    at += static_cast<std::uint64_t>(got);
    if (got == 0 || (static_cast<std::size_t>(got) < kBuffer && size > 0 && at >= size))
      return true;
  }
}

bool xattr_counts(std::string_view name) {
  if (name == "security.capability") return true;
  return !name.starts_with("security.") && !name.starts_with("system.") &&
         !name.starts_with("com.apple.");
}

// `list(buffer, size)` and `get(name, buffer, size)` are the system's calls, for a descriptor or
// for a path.
template <typename List, typename Get>
std::optional<Xattrs> xattrs(const List& list, const Get& get) {
  Xattrs result;
  std::string names;
  ssize_t size = 0;
  while ((size = list(nullptr, 0)) > 0) {
    names.resize(static_cast<std::size_t>(size));
    size = list(names.data(), names.size());
    if (size >= 0 || errno != ERANGE) break;
  }
  if (size < 0 && errno != ENOENT && errno != ENOTSUP) return std::nullopt;
  if (size <= 0) return result;  // none, gone meanwhile, or a file system that has none
  names.resize(static_cast<std::size_t>(size));
  std::string value(std::size_t{64} * 1024, '\0');  // the kernel's limit
  for (std::size_t at = 0; at < names.size();) {
    const std::string name(names.c_str() + at);
    at += name.size() + 1;
    if (!xattr_counts(name)) continue;
    const ssize_t got = get(name.c_str(), value.data(), value.size());
    if (got < 0 && errno != ENODATA && errno != ENOENT) return std::nullopt;
    if (got >= 0) result.emplace_back(name, value.substr(0, static_cast<std::size_t>(got)));
  }
  std::sort(result.begin(), result.end());
  return result;
}

// The nearest time that 64 bits can hold, for comparing which is older.
std::int64_t nearest(const statx_timestamp& time) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / kSecond - 1;
  return std::clamp<std::int64_t>(time.tv_sec, -kMost, kMost) * kSecond + time.tv_nsec;
}

// The time modulo 2^64 nanoseconds, for comparing whether it is the same.
std::uint64_t wrapped(const statx_timestamp& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U + time.tv_nsec;
}

}  // namespace

std::optional<Xattrs> read_xattrs(int fd) {
  return xattrs(
      [&](char* to, std::size_t size) { return flistxattr(fd, to, size); },
      [&](const char* key, char* to, std::size_t size) { return fgetxattr(fd, key, to, size); });
}

std::optional<Xattrs> read_xattrs(int directory, const std::string& name) {
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  return xattrs([&](char* to, std::size_t size) { return llistxattr(path.c_str(), to, size); },
                [&](const char* key, char* to, std::size_t size) {
                  return lgetxattr(path.c_str(), key, to, size);
                });
}

std::optional<std::string> read_target(int directory, const std::string& name) {
  std::string target(256, '\0');
  while (true) {
    const ssize_t got = readlinkat(directory, name.c_str(), target.data(), target.size());
    if (got < 0) return std::nullopt;
    if (static_cast<std::size_t>(got) < target.size()) {
      target.resize(static_cast<std::size_t>(got));
      return target;
    }
    target.resize(target.size() * 2);
  }
}

std::optional<Statx> read_stat(int directory, const char* name) {
  struct statx got;
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_FORCE_SYNC |
                    (name[0] == '\0' ? AT_EMPTY_PATH : 0);
  if (statx(directory, name, flags, STATX_BASIC_STATS, &got) != 0) return std::nullopt;
  Statx result;
  result.stat.device = makedev(got.stx_dev_major, got.stx_dev_minor);
  result.stat.inode = got.stx_ino;
  result.stat.size = got.stx_size;
  result.stat.mtime = wrapped(got.stx_mtime);
  result.stat.ctime = wrapped(got.stx_ctime);
  result.stat.mode = got.stx_mode;
  result.special = makedev(got.stx_rdev_major, got.stx_rdev_minor);
  result.mtime = nearest(got.stx_mtime);
  result.ctime = nearest(got.stx_ctime);
  return result;
}

ReadResult read_content(int fd, Statx& stat, Digest& content, Xattrs& xattrs, Sha256& hash) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const bool read = read_to_end(fd, stat.stat.size, [&](std::string_view bytes) {
      if (interrupted() != 0) throw Error(Error::Kind::Source, "interrupted");
      hash.update(bytes);
    });
    content = hash.finish();
    if (!read) return errno == EISDIR ? ReadResult::Changing : ReadResult::Failed;
    auto found = read_xattrs(fd);
    const auto after = read_stat(fd, "");
    if (!found || !after) return ReadResult::Failed;
    xattrs = std::move(*found);
    if (after->stat == stat.stat) return ReadResult::Good;
    stat = *after;
    if (!S_ISREG(stat.stat.mode)) return ReadResult::Changing;
  }
  return ReadResult::Changing;
}

std::string read_file(const std::filesystem::path& path) {
  return read_file_and_stat(path).first;
}

std::pair<std::string, FileStat> read_file_and_stat(const std::filesystem::path& path) {
  const auto fail = [&](const std::string& words) { throw Error(Error::Kind::Source, words); };
  const auto fail_as_no_file = [&] {
    fail("'" + path.string() + "' is a FIFO, a socket or a device, not a file");
  };
  const Fd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno == ENXIO) fail_as_no_file();
  if (!fd) fail(with_errno("cannot read '" + path.string() + "'"));
  std::string bytes;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    bytes.clear();
    const auto before = read_stat(fd.get(), "");
    // A FIFO would give nothing, a device no end.
    if (before && !S_ISREG(before->stat.mode) && !S_ISDIR(before->stat.mode)) fail_as_no_file();
    if (!before ||
        !read_to_end(fd.get(), before->stat.size, [&](std::string_view more) { bytes += more; })) {
      fail(with_errno("cannot read '" + path.string() + "'"));
    }
    const auto after = read_stat(fd.get(), "");
    if (after && after->stat == before->stat) return {std::move(bytes), after->stat};
  }
  fail("'" + path.string() + "' keeps changing while it is read");
  return {};
}

}  // namespace imagewright
