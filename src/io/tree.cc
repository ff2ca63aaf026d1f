#include "io/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "io/error.h"
#include "io/fd.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

constexpr int kReadAttempts = 5;

// One thing seen by the walk: what is known without reading it.
struct Seen {
  Entry entry;
  struct stat status = {};
  bool vanished = false;
};

// A directory still to be listed: its path ("" is the root) and what the rules said of it. An
// ignored one is listed only for what a `!` rule may bring back, and is itself an entry only then.
struct Pending {
  std::string path;
  IgnoreRules::Matched matched;
};

[[noreturn]] void fail(const std::string& message) {
  throw Error(Error::Kind::Source, message);
}

[[noreturn]] void cannot_read(const std::filesystem::path& root, const std::string& path) {
  fail(with_errno("cannot read '" + (path.empty() ? root : root / path).string() + "'"));
}

void stop_if_interrupted() {
  if (interrupted() != 0) fail("interrupted");
}

Fd open_root(const std::filesystem::path& root) {
  Fd fd(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) fail("the directory '" + root.string() + "' does not exist");
    if (errno == ENOTDIR) fail("'" + root.string() + "' is not a directory");
    cannot_read(root, "");
  }
  return fd;
}

// Opens a directory below the root one part at a time, so that no symlink can lead elsewhere and no
// path is too long.
Fd open_directory(int root, std::string_view path) {
  Fd fd(openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  while (fd && !path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string part(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
    fd = Fd(openat(fd.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  return fd;
}

// What was a directory a moment ago is none, or another thing, by now.
bool is_gone(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

// nullopt: it cannot be listed (errno).
std::optional<std::vector<std::string>> names_in(int directory) {
  std::vector<std::string> names;
  // closedir closes its descriptor: it gets one of its own.
  Fd own(fcntl(directory, F_DUPFD_CLOEXEC, 0));
  if (!own) return std::nullopt;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(own.get()), closedir);
  if (!stream) return std::nullopt;
  own.release();
  rewinddir(stream.get());
  errno = 0;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return std::nullopt;
  return names;
}

using Xattrs = std::vector<std::pair<std::string, std::string>>;

bool xattr_counts(std::string_view name) {
  const auto begins = [&](std::string_view prefix) {
    return name.substr(0, prefix.size()) == prefix;
  };
  if (name == "security.capability") return true;
  return !begins("security.") && !begins("system.") && !begins("com.apple.");
}

// The extended attributes that count, sorted. `list(buffer, size)` and `get(name, buffer, size)`
// are the system's calls, for a descriptor or for a path.
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

// Of an entry of an open directory, never of what it links to.
std::optional<Xattrs> xattrs_of(int directory, const std::string& name) {
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  return xattrs([&](char* to, std::size_t size) { return llistxattr(path.c_str(), to, size); },
                [&](const char* key, char* to, std::size_t size) {
                  return lgetxattr(path.c_str(), key, to, size);
                });
}

std::optional<Xattrs> xattrs_of(int fd) {
  return xattrs(
      [&](char* to, std::size_t size) { return flistxattr(fd, to, size); },
      [&](const char* key, char* to, std::size_t size) { return fgetxattr(fd, key, to, size); });
}

// The walk. Gives every entry that counts, parents before what is in them, unread.
class Walk {
 public:
  Walk(const TreeRequest& request, bool with_details)
      : request_(request), with_details_(with_details), root_(open_root(request.root)) {}

  std::vector<Seen> run() {
    std::vector<Pending> pending(1);
    while (!pending.empty()) {
      if (with_details_) stop_if_interrupted();
      const Pending directory = std::move(pending.back());
      pending.pop_back();
      list(directory, pending);
    }
    drop_unneeded_directories();
    return std::move(seen_);
  }

  int root() const { return root_.get(); }

 private:
  void list(const Pending& directory, std::vector<Pending>& pending) {
    const Fd fd = open_directory(root_.get(), directory.path);
    if (!fd) {
      if (is_gone(errno)) return;
      cannot_read(request_.root, directory.path);
    }
    const auto names = names_in(fd.get());
    if (!names) cannot_read(request_.root, directory.path);
    for (const std::string& name : *names) {
      if (std::find(request_.excluded.begin(), request_.excluded.end(), name) !=
          request_.excluded.end())
        continue;
      const std::string path = directory.path.empty() ? name : directory.path + "/" + name;
      if (std::find(request_.excluded_paths.begin(), request_.excluded_paths.end(), path) !=
          request_.excluded_paths.end()) {
        continue;
      }
      Pending below{path, {}};
      const bool ignored =
          !request_.rules.empty() && request_.rules.match(path, directory.matched, &below.matched);
      struct stat status = {};
      if (fstatat(fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;
        cannot_read(request_.root, path);
      }
      if (S_ISDIR(status.st_mode)) {
        if (ignored && request_.rules.can_prune(path)) continue;
        pending.push_back(std::move(below));
      } else if (ignored) {
        continue;
      }
      if (ignored) maybe_needed_.insert(path);
      add(fd.get(), name, path, status);
    }
  }

  void add(int directory, const std::string& name, const std::string& path,
           const struct stat& status) {
    Seen seen;
    seen.status = status;
    seen.entry.path = path;
    seen.entry.mode = status.st_mode & 07777;
    switch (status.st_mode & S_IFMT) {
      case S_IFREG:
        seen.entry.size = static_cast<std::uint64_t>(status.st_size);
        break;
      case S_IFDIR:
        seen.entry.type = EntryType::Directory;
        break;
      case S_IFLNK:
        seen.entry.type = EntryType::Symlink;
        if (with_details_) seen.entry.target = target_of(directory, name, path, status);
        break;
      case S_IFBLK:
      case S_IFCHR:
        seen.entry.type = S_ISBLK(status.st_mode) ? EntryType::Block : EntryType::Character;
        seen.entry.device = status.st_rdev;
        break;
      default:
        fail("'" + (request_.root / path).string() + "' is a " +
             (S_ISFIFO(status.st_mode) ? "FIFO" : "socket") +
             ": no image can hold it; name it in the ignore file");
    }
    if (with_details_ && !S_ISREG(status.st_mode)) {
      auto found = xattrs_of(directory, name);
      if (!found) cannot_read(request_.root, path);
      seen.entry.xattrs = std::move(*found);
    }
    seen_.push_back(std::move(seen));
  }

  std::string target_of(int directory, const std::string& name, const std::string& path,
                        const struct stat& status) {
    std::string target(static_cast<std::size_t>(status.st_size) + 1, '\0');
    while (true) {
      const ssize_t got = readlinkat(directory, name.c_str(), target.data(), target.size());
      if (got < 0) cannot_read(request_.root, path);
      if (static_cast<std::size_t>(got) < target.size()) {
        target.resize(static_cast<std::size_t>(got));
        return target;
      }
      target.resize(target.size() * 2);
    }
  }

  // An ignored directory is sent only as the parent of something that is not.
  void drop_unneeded_directories() {
    if (maybe_needed_.empty()) return;
    std::set<std::string> needed;
    for (const Seen& seen : seen_) {
      if (maybe_needed_.count(seen.entry.path) != 0) continue;
      std::string path = seen.entry.path;
      for (std::size_t slash = path.rfind('/'); slash != std::string::npos;
           slash = path.rfind('/')) {
        path.resize(slash);
        if (!needed.insert(path).second) break;
      }
    }
    const auto unneeded = [&](const Seen& seen) {
      return maybe_needed_.count(seen.entry.path) != 0 && needed.count(seen.entry.path) == 0;
    };
    seen_.erase(std::remove_if(seen_.begin(), seen_.end(), unneeded), seen_.end());
  }

  const TreeRequest& request_;
  const bool with_details_;
  Fd root_;
  std::vector<Seen> seen_;
  std::set<std::string> maybe_needed_;  // ignored directories that were looked into
};

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec && a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
         a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

// Reads an open file to its end through `sink`, and once more if it changed meanwhile. Gives the
// stat that the bytes belong to. False: it keeps changing, or cannot be read (errno).
template <typename Restart, typename Sink>
bool read_stable(int fd, struct stat& status, const Restart& restart, const Sink& sink) {
  static thread_local std::array<char, std::size_t{128} * 1024> buffer;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    restart();
    if (fstat(fd, &status) != 0) return false;
    // Less than was asked for, where the size says so too, is the end: no further read has to say
    // it.
    ssize_t got = 1;
    for (off_t at = 0; got > 0; at += got) {
      do {
        got = pread(fd, buffer.data(), buffer.size(), at);
      } while (got < 0 && errno == EINTR);
      if (got < 0) return false;
      sink(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
      if (got < static_cast<ssize_t>(buffer.size()) && at + got >= status.st_size) break;
    }
    struct stat after = {};
    if (fstat(fd, &after) != 0) return false;
    if (same_file(status, after)) return true;
  }
  errno = EBUSY;
  return false;
}

void read_entry(const TreeRequest& request, int directory, Seen& seen, Sha256& hash) {
  const std::string& path = seen.entry.path;
  const std::string name = path.substr(path.rfind('/') + 1);
  // O_NONBLOCK: what was a file a moment ago may be a FIFO now.
  const Fd fd(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) {
      seen.vanished = true;
      return;
    }
    cannot_read(request.root, path);
  }
  const bool read = read_stable(
      fd.get(), seen.status, [&] { hash.finish(); },
      [&](std::string_view bytes) {
        stop_if_interrupted();
        hash.update(bytes);
      });
  if (!read || !S_ISREG(seen.status.st_mode)) {
    if (errno != EBUSY && !read) cannot_read(request.root, path);
    fail("'" + (request.root / path).string() + "' keeps changing while it is read");
  }
  seen.entry.content = hash.finish();
  seen.entry.mode = seen.status.st_mode & 07777;
  seen.entry.size = static_cast<std::uint64_t>(seen.status.st_size);
  auto found = xattrs_of(fd.get());
  if (!found) cannot_read(request.root, path);
  seen.entry.xattrs = std::move(*found);
}

// Reads all files, a run of one directory's files at a time, by several threads. The first error is
// thrown.
class Reader {
 public:
  Reader(const TreeRequest& request, int root, std::vector<Seen>& seen)
      : request_(request), root_(root), seen_(seen) {}

  void run() {
    split();
    const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
    const std::size_t threads = std::min(cores, runs_.size());
    {
      std::vector<std::jthread> others;
      try {
        for (std::size_t i = 1; i < threads; ++i) others.emplace_back([this] { work(); });
      } catch (const std::system_error&) {
        // No further thread is to be had: those that there are do it all.
      }
      work();
    }
    if (error_) std::rethrow_exception(error_);
  }

 private:
  static constexpr std::size_t kRun = 64;

  // Runs of at most kRun files that stand in one directory and one after the other.
  void split() {
    std::string_view directory;
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      if (seen_[i].entry.type != EntryType::File) continue;
      const std::string_view here = directory_of(seen_[i]);
      if (runs_.empty() || here != directory || runs_.back().size() >= kRun) runs_.emplace_back();
      directory = here;
      runs_.back().push_back(i);
    }
  }

  static std::string_view directory_of(const Seen& seen) {
    const std::size_t slash = seen.entry.path.rfind('/');
    return slash == std::string::npos ? std::string_view()
                                      : std::string_view(seen.entry.path).substr(0, slash);
  }

  void work() {
    try {
      Sha256 hash;
      for (std::size_t run = next_++; run < runs_.size() && !stop_; run = next_++) {
        stop_if_interrupted();
        const Fd directory = open_directory(root_, directory_of(seen_[runs_[run].front()]));
        if (!directory && !is_gone(errno)) {
          cannot_read(request_.root, std::string(directory_of(seen_[runs_[run].front()])));
        }
        for (const std::size_t i : runs_[run]) {
          if (stop_) return;
          if (directory) {
            read_entry(request_, directory.get(), seen_[i], hash);
          } else {
            seen_[i].vanished = true;
          }
        }
      }
    } catch (...) {
      stop_ = true;
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  const TreeRequest& request_;
  int root_;
  std::vector<Seen>& seen_;
  std::vector<std::vector<std::size_t>> runs_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

Digest stamp_of(std::vector<Seen>& all) {
  std::sort(all.begin(), all.end(),
            [](const Seen& a, const Seen& b) { return a.entry.path < b.entry.path; });
  Sha256 hash;
  for (const Seen& seen : all) {
    if (seen.vanished) continue;
    const struct stat& s = seen.status;
    hash.update_field(seen.entry.path);
    for (const std::uint64_t number :
         {static_cast<std::uint64_t>(s.st_dev), static_cast<std::uint64_t>(s.st_ino),
          static_cast<std::uint64_t>(s.st_mode), static_cast<std::uint64_t>(s.st_size),
          static_cast<std::uint64_t>(s.st_mtim.tv_sec),
          static_cast<std::uint64_t>(s.st_mtim.tv_nsec),
          static_cast<std::uint64_t>(s.st_ctim.tv_sec),
          static_cast<std::uint64_t>(s.st_ctim.tv_nsec)}) {
      hash.update_number(number);
    }
  }
  return hash.finish();
}

}  // namespace

Snapshot read_tree(const TreeRequest& request) {
  Walk walk(request, true);
  std::vector<Seen> all = walk.run();
  Reader(request, walk.root(), all).run();
  Snapshot snapshot;
  snapshot.stamp = stamp_of(all);
  snapshot.entries.reserve(all.size());
  for (Seen& seen : all) {
    if (!seen.vanished) snapshot.entries.push_back(std::move(seen.entry));
  }
  sort_by_path(snapshot.entries);
  return snapshot;
}

Digest tree_stamp(const TreeRequest& request) {
  std::vector<Seen> all = Walk(request, false).run();
  return stamp_of(all);
}

std::string read_file(const std::filesystem::path& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) fail(with_errno("cannot read '" + path.string() + "'"));
  std::string bytes;
  struct stat status = {};
  const bool read = read_stable(
      fd.get(), status, [&] { bytes.clear(); }, [&](std::string_view more) { bytes += more; });
  if (!read) fail(with_errno("cannot read '" + path.string() + "'"));
  return bytes;
}

}  // namespace imagewright
