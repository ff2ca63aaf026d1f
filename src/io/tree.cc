#include "io/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "io/error.h"
#include "io/fd.h"
#include "io/interrupt.h"
#include "io/work_pool.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kNames = std::size_t{128} * 1024;  // a buffer of names
constexpr std::size_t kBatch = 32;                       // files read, or asked for, in one go
constexpr std::size_t kMostThreads = 8;                  // while the disk is slow

[[noreturn]] void fail(const std::string& message) {
  throw Error(Error::Kind::Source, message);
}

[[noreturn]] void cannot_read(const fs::path& root, std::string_view path) {
  fail(with_errno("cannot read '" + (path.empty() ? root : root / path).string() + "'"));
}

Fd open_root(const fs::path& root) {
  Fd fd(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) fail("the directory '" + root.string() + "' does not exist");
    if (errno == ENOTDIR) fail("'" + root.string() + "' is not a directory");
    cannot_read(root, "");
  }
  return fd;
}

// Opens a directory below the root, never through a symlink.
Fd open_directory(int root, std::string_view path) {
  open_how how = {};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  Fd fd;
  bool old_kernel = false;
  // As much of the path at a time as the system takes; from an old kernel one name at a time.
  while (!path.empty()) {
    const std::size_t most = old_kernel ? 0 : std::size_t{PATH_MAX} - 1;
    std::size_t end = path.size() > most ? path.rfind('/', most) : path.size();
    if (end == std::string_view::npos) end = std::min(path.find('/'), path.size());
    const std::string part(path.substr(0, end));
    const int from = fd ? fd.get() : root;
    Fd below(old_kernel
                 ? openat(from, part.c_str(), static_cast<int>(how.flags))
                 : static_cast<int>(syscall(SYS_openat2, from, part.c_str(), &how, sizeof how)));
    if (!below && !old_kernel && (errno == ENOSYS || errno == EPERM)) {
      old_kernel = true;
      continue;
    }
    if (!below) return below;
    fd = std::move(below);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return fd;
}

// What was there a moment ago is not, or is another thing, by now.
bool is_gone(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENXIO;
}

EntryType type_of(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return EntryType::Directory;
    case S_IFLNK:
      return EntryType::Symlink;
    case S_IFBLK:
      return EntryType::Block;
    case S_IFCHR:
      return EntryType::Character;
    default:
      return EntryType::File;
  }
}

struct Directory;

// What both rules say of a directory: what its children need to know.
struct Ignored {
  IgnoreRules::Matched by_rules;
  IgnoreRules::Matched by_reach;
};

// The entries of a directory that the cache does not know as it is.
struct Collected {
  Listing listing;
  std::vector<std::uint32_t> unread;  // of the listing: what has to be read
  std::atomic<std::size_t> next{0};   // the first of them that nobody reads yet
  std::vector<std::uint32_t> gone;    // of the listing: what was not there any more
  bool lost_trust = false;            // the cache trusts an entry that is not to be trusted now
};

// The newest of all stamps, and the file system that it is of.
struct Newest {
  FileTime time = 0;
  std::uint64_t device = 0;
};

// What a directory's entries come to, or a part of them.
struct Seen {
  Sum sum;
  std::uint32_t count = 0;
  bool untrusted = false;
  bool has_ignored = false;
  Newest newest;
  std::vector<std::shared_ptr<Directory>> subdirectories;

  void add(Seen&& part) {
    sum += part.sum;
    count += part.count;
    untrusted = untrusted || part.untrusted;
    has_ignored = has_ignored || part.has_ignored;
    if (part.newest.time > newest.time) newest = part.newest;
    std::move(part.subdirectories.begin(), part.subdirectories.end(),
              std::back_inserter(subdirectories));
  }
};

// A directory while it is looked at. It is listed; if it is not the one that the cache knows, its
// entries are collected and what the cache cannot tell of them is read.
struct Directory {
  std::string path;  // "": the root
  Ignored ignored;
  const DirectoryRecord* known = nullptr;
  std::atomic<bool> collecting{false};
  Fd fd;            // not for the root, which stays open
  int handle = -1;  // < 0: it is gone

  std::atomic<int> parts{0};  // threads at work on it
  std::mutex mutex;           // for all below, while several are
  Seen seen;
  std::unique_ptr<Collected> found;  // where entries are collected

  void collect() {
    if (!found) found = std::make_unique<Collected>();
    collecting = true;
  }
};

// A piece of work: list a directory; scan names that were listed; read what is unread.
struct Work {
  enum class Kind { List, Scan, Read };
  Kind kind = Kind::List;
  std::shared_ptr<Directory> directory;
  std::unique_ptr<char[]> names;
  std::size_t size = 0;
};

struct LinuxDirent {
  std::uint64_t inode;
  std::int64_t offset;
  std::uint16_t size;
  std::uint8_t type;
  char name[1];
};

// A directory that was not as the cache knows it, or one above such a one.
struct Touched {
  DirectoryRecord record;
  // Its subdirectories by name, and whether they are ignored.
  std::vector<std::pair<std::string, bool>> subdirectories;
  bool listed = false;  // the two are of this look; else only the record is, and it is the cache's
  bool includes = false;  // it has an entry that is not ignored
};

}  // namespace

// One look at a directory and all below it.
class TreeLook {
 public:
  enum class Purpose { Digest, Stamp };

  TreeLook(const TreeRequest& request, StatCache& cache, Purpose purpose)
      : request_(request),
        cache_(cache),
        purpose_(purpose),
        root_(open_root(request.root)),
        seen_(purpose == Purpose::Digest ? cache.records().size() : 0),
        has_rules_(!request.rules.empty() || !request.reach.empty()),
        needs_paths_(has_rules_ || !request.excluded_paths.empty()) {
    started_ = std::chrono::steady_clock::now();
    // (A stamp needs no time but once, behind the walk.)
    if (purpose == Purpose::Stamp) return;
    const auto root = read_stat(root_.get(), "");
    if (!root) cannot_read(request.root, "");
    root_device_ = root->stat.device;
    root_tick_ = tick_of(root_device_);
  }

  void walk() {
    const auto handle = [this](Work work, auto& worker) { this->handle(std::move(work), worker); };
    static const std::size_t cores = std::thread::hardware_concurrency();
    WorkPool<Work, decltype(handle)> pool(handle, cores, kMostThreads);
    Work work;
    work.directory = std::make_shared<Directory>();
    pool.run(std::move(work));
  }

  // After the walk: the digests of what changed and of all above it. Throws CacheDamaged.
  Digest fold() {
    const DirectoryRecord* root = cache_.find(cache_.key_of(""));
    if (touched_.empty() && root != nullptr && matched_ == cache_.records().size()) {
      return root->tree;
    }
    add_ancestors();
    std::vector<std::string_view> paths;
    paths.reserve(touched_.size());
    for (const auto& [path, touched] : touched_) paths.push_back(path);
    // What is below a directory comes behind it, so in this order before it.
    std::sort(paths.begin(), paths.end(), std::greater<>());
    for (const std::string_view path : paths) fold(std::string(path));

    std::vector<DirectoryRecord> records;
    records.reserve(matched_ + touched_.size());
    const std::vector<DirectoryRecord>& known = cache_.records();
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (seen_[i].load(std::memory_order_relaxed)) records.push_back(known[i]);
    }
    for (const auto& [path, touched] : touched_) {
      records.push_back(touched.record);
    }
    const Digest digest = touched_.at("").record.tree;
    cache_.commit(std::move(records));
    return digest;
  }

  const Sum& stamp() const { return stamp_; }
  const Sum& witnesses() const { return witnesses_; }
  FileTime unsettled() const { return unsettled_; }

  // Was anything written so shortly before the look that a later write may leave the stamp as it
  // is?
  bool is_young() {
    if (request_.clock == nullptr) return true;
    const FileTick tick = tick_of(newest_.device);
    return newest_.time >= tick.now - tick.tick;
  }

 private:
  template <typename Worker>
  void handle(Work work, Worker& worker) {
    const std::shared_ptr<Directory> directory = std::move(work.directory);
    switch (work.kind) {
      case Work::Kind::List:
        if (purpose_ == Purpose::Digest && interrupted() != 0) fail("interrupted");
        list(directory, worker);
        break;
      case Work::Kind::Scan:
        scan(*directory, work.names.get(), work.size, worker);
        leave_scan(directory, worker);
        break;
      case Work::Kind::Read:
        read(directory, worker);
        break;
    }
  }

  // --- Listing

  template <typename Worker>
  void list(const std::shared_ptr<Directory>& directory, Worker& worker) {
    Directory& d = *directory;
    if (purpose_ == Purpose::Digest && !d.collecting) {
      d.known = cache_.find(cache_.key_of(d.path));
      if (d.known == nullptr || (d.known->flags & DirectoryRecord::kUntrusted) != 0) d.collect();
    }
    if (d.path.empty()) {
      d.handle = root_.get();
      if (root_listed_.exchange(true)) lseek(d.handle, 0, SEEK_SET);
    } else {
      d.fd = open_directory(root_.get(), d.path);
      d.handle = d.fd.get();
    }
    if (d.handle < 0) {
      if (!is_gone(errno)) cannot_read(request_.root, d.path);
      vanished(d);
    }
    d.parts = 1;
    static thread_local std::unique_ptr<char[]> names;
    while (d.handle >= 0) {
      if (!names) names.reset(new char[kNames]);
      const long got = syscall(SYS_getdents64, d.handle, names.get(), kNames);
      if (got == 0) break;
      if (got < 0) {
        if (!is_gone(errno)) cannot_read(request_.root, d.path);
        vanished(d);
        break;
      }
      const auto size = static_cast<std::size_t>(got);
      if (worker.others_will_wait() && size > kNames / 4) {
        d.parts.fetch_add(1);
        worker.give({Work::Kind::Scan, directory, std::move(names), size});
      } else {
        scan(d, names.get(), size, worker);
      }
    }
    leave_scan(directory, worker);
  }

  // It went between being seen and being listed: as if empty, and not to be believed next time.
  void vanished(Directory& d) {
    const std::lock_guard lock(d.mutex);
    if (purpose_ == Purpose::Digest) d.collect();
    d.seen.untrusted = true;
  }

  template <typename Worker>
  void scan(Directory& d, const char* names, std::size_t size, Worker& worker) {
    Seen seen;
    std::optional<Listing> listing;
    if (d.collecting) listing.emplace();
    std::string path;
    std::size_t done = 0;
    for (std::size_t at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const LinuxDirent*>(names + at);
      at += entry->size;
      ++done;
      const char* c_name = entry->name;
      if (c_name[0] == '.' && (c_name[1] == '\0' || (c_name[1] == '.' && c_name[2] == '\0')))
        continue;
      const std::string_view name(c_name);
      if (is_excluded(name)) continue;
      if (d.path.empty() && is_witness(name)) hear_witness(c_name);
      const bool may_be_directory = entry->type == DT_DIR || entry->type == DT_UNKNOWN;
      bool ignored = false;
      bool prune = false;
      Ignored of_entry;
      if (needs_paths_) {
        path.assign(d.path);
        if (!path.empty()) path += '/';
        path += name;
        if (is_excluded_path(path)) continue;
        if (has_rules_) {
          std::tie(ignored, prune) = judge(path, d.ignored, may_be_directory ? &of_entry : nullptr);
          if (ignored && (!may_be_directory || prune)) continue;
        }
      }
      const auto stat = read_stat(d.handle, c_name);
      if (!stat) {
        if (errno == ENOENT) continue;
        cannot_read(request_.root, path_below(d.path, name));
      }
      const EntryType type = type_of(stat->stat.mode);
      if (ignored && type != EntryType::Directory) continue;
      if (type == EntryType::File && !S_ISREG(stat->stat.mode)) refuse(d, name, stat->stat.mode);
      seen.sum += cache_.sum_of(name, stat->stat, ignored);
      ++seen.count;
      const bool trusted = is_trusted(*stat);
      // (What is collected says so entry by entry.)
      seen.untrusted = seen.untrusted || (!trusted && !listing);
      seen.has_ignored = seen.has_ignored || ignored;
      if (const FileTime time = std::max(stat->ctime, stat->mtime); time > seen.newest.time) {
        seen.newest = {time, stat->stat.device};
      }
      if (type == EntryType::Directory) {
        auto& below = seen.subdirectories.emplace_back(std::make_shared<Directory>());
        below->path = path_below(d.path, name);
        // (What getdents did not call a directory may have become one.)
        if (has_rules_ && !may_be_directory) judge(below->path, d.ignored, &of_entry);
        below->ignored = std::move(of_entry);
      }
      if (!listing) continue;
      ListedEntry& listed = listing->add(name);
      listed.stat = stat->stat;
      listed.type = type;
      listed.ignored = ignored;
      listed.trusted = trusted;
      if (type == EntryType::Block || type == EntryType::Character) {
        listed.extra = std::make_unique<ListedEntry::Extra>();
        listed.extra->device = stat->special;
      }
    }
    worker.did(done);
    const std::lock_guard lock(d.mutex);
    d.seen.add(std::move(seen));
    if (!listing) return;
    Listing& all = d.found->listing;
    if (all.entries.empty()) {
      all = std::move(*listing);
      return;
    }
    const auto shift = static_cast<std::uint32_t>(all.names.size());
    all.names += listing->names;
    for (ListedEntry& listed : listing->entries) {
      listed.name_at += shift;
      all.entries.push_back(std::move(listed));
    }
  }

  template <typename Worker>
  void leave_scan(const std::shared_ptr<Directory>& directory, Worker& worker) {
    Directory& d = *directory;
    if (d.parts.fetch_sub(1) != 1) return;
    if (purpose_ == Purpose::Stamp) {
      DirectoryRecord record;
      record.key = cache_.key_of(d.path);
      record.sum = d.seen.sum;
      record.count = d.seen.count;
      add_to_stamp(record);
      note_newest(d.seen.newest);
      descend(d, worker);
      return;
    }
    if (d.collecting) {
      collected(directory, worker);
      return;
    }
    if (d.known->sum == d.seen.sum && d.known->count == d.seen.count && !d.seen.untrusted) {
      match(*d.known);
      descend(d, worker);
      return;
    }
    d.collect();
    d.seen = {};
    list(directory, worker);
  }

  template <typename Worker>
  void descend(Directory& d, Worker& worker) {
    for (auto& below : d.seen.subdirectories)
      worker.push({Work::Kind::List, std::move(below), nullptr, 0});
    d.seen.subdirectories.clear();
    d.fd.reset();
  }

  // Is an entry ignored, and can it be left unread if it is a directory? `below`: where what its
  // children need goes; nullptr: it has none.
  std::pair<bool, bool> judge(const std::string& path, const Ignored& above, Ignored* below) const {
    bool ignored = false, prune = false;
    const auto by = [&](const IgnoreRules& rules, const IgnoreRules::Matched& parent,
                        IgnoreRules::Matched* matched) {
      if (rules.empty() || !rules.match(path, parent, matched)) return;
      ignored = true;
      prune = prune || (below != nullptr && rules.can_prune(path));
    };
    by(request_.rules, above.by_rules, below != nullptr ? &below->by_rules : nullptr);
    by(request_.reach, above.by_reach, below != nullptr ? &below->by_reach : nullptr);
    return {ignored, prune};
  }

  bool is_excluded(std::string_view name) const {
    return std::find(request_.excluded.begin(), request_.excluded.end(), name) !=
           request_.excluded.end();
  }
  bool is_excluded_path(const std::string& path) const {
    return std::find(request_.excluded_paths.begin(), request_.excluded_paths.end(), path) !=
           request_.excluded_paths.end();
  }

  bool is_witness(std::string_view name) const {
    return purpose_ == Purpose::Stamp &&
           std::find(request_.witnesses.begin(), request_.witnesses.end(), name) !=
               request_.witnesses.end();
  }
  void hear_witness(const char* name) {
    const auto stat = read_stat(root_.get(), name);
    if (!stat) {
      if (errno == ENOENT) return;
      cannot_read(request_.root, name);
    }
    note_newest({std::max(stat->ctime, stat->mtime), stat->stat.device});
    const Sum sum = cache_.sum_of(name, stat->stat, false);
    const std::lock_guard lock(mutex_);
    witnesses_ += sum;
  }

  [[noreturn]] void refuse(const Directory& d, std::string_view name, std::uint32_t mode) const {
    fail("'" + path_below(request_.root, path_below(d.path, name)) + "' is a " +
         (S_ISFIFO(mode) ? "FIFO" : "socket") +
         ": no image can hold it; name it in the ignore file");
  }

  // --- Reading

  // The entries are all there. What the cache knows of them is taken over.
  template <typename Worker>
  void collected(const std::shared_ptr<Directory>& directory, Worker& worker) {
    Directory& d = *directory;
    Collected& c = *d.found;
    c.listing.sort();
    Listing old;
    if (d.known != nullptr) old = cache_.read(*d.known);
    auto before = old.entries.begin();
    std::uint32_t number = 0;
    for (ListedEntry& entry : c.listing.entries) {
      const std::string_view name = c.listing.name(entry);
      while (before != old.entries.end() && old.name(*before) < name) ++before;
      const bool known = before != old.entries.end() && old.name(*before) == name &&
                         before->stat == entry.stat && before->trusted;
      // (The clock was set back: written again, it may get these stamps again.)
      c.lost_trust = c.lost_trust || (known && !entry.trusted);
      if (known && entry.trusted) {
        entry.content = before->content;
        entry.extra = std::move(before->extra);
      } else {
        c.unread.push_back(number);
      }
      ++number;
    }
    old = {};
    std::vector<std::shared_ptr<Directory>> below = std::move(d.seen.subdirectories);
    d.seen.subdirectories.clear();
    for (auto& subdirectory : below) {
      worker.push({Work::Kind::List, std::move(subdirectory), nullptr, 0});
    }
    d.parts = 1;
    read(directory, worker);
  }

  template <typename Worker>
  void read(const std::shared_ptr<Directory>& directory, Worker& worker) {
    Directory& d = *directory;
    Collected& c = *d.found;
    std::array<Fd, kBatch> ahead;
    for (;;) {
      const std::size_t begin = c.next.fetch_add(kBatch);
      if (begin >= c.unread.size()) break;
      const std::size_t end = std::min(begin + kBatch, c.unread.size());
      if (end + kBatch < c.unread.size() && worker.others_wait()) {
        d.parts.fetch_add(1);
        worker.give({Work::Kind::Read, directory, nullptr, 0});
      }
      // The disk is asked for all of them before the first is waited for.
      if (worker.disk_is_slow()) {
        const int most = descriptors() / 2;
        for (std::size_t i = begin; i < end; ++i) {
          Fd fd = open_file(d, c.unread[i]);
          // (The lowest that is free is given out: the rest is left to those who need one.)
          if (fd.get() >= most) break;
          if (fd) posix_fadvise(fd.get(), 0, 0, POSIX_FADV_WILLNEED);
          ahead[i - begin] = std::move(fd);
        }
      }
      for (std::size_t i = begin; i < end; ++i) {
        if (interrupted() != 0) fail("interrupted");
        Fd fd = std::move(ahead[i - begin]);
        worker.did(8 + static_cast<std::size_t>(c.listing.entries[c.unread[i]].stat.size / 2048));
        read_entry(d, c.unread[i], std::move(fd));
      }
    }
    if (d.parts.fetch_sub(1) == 1) complete(d);
  }

  // How many this process may have.
  static int descriptors() {
    rlimit limit = {};
    getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, INT_MAX));
  }

  static std::string name_of(const Directory& d, const ListedEntry& entry) {
    return std::string(d.found->listing.name(entry));
  }

  Fd open_file(const Directory& d, std::uint32_t index) const {
    const ListedEntry& entry = d.found->listing.entries[index];
    if (entry.type != EntryType::File) return {};
    // O_NONBLOCK: what was a file a moment ago may be a FIFO now.
    return Fd(openat(d.handle, name_of(d, entry).c_str(),
                     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  }

  void read_entry(Directory& d, std::uint32_t index, Fd fd) {
    ListedEntry& entry = d.found->listing.entries[index];
    const std::string name = name_of(d, entry);
    const auto gone = [&] {
      const std::lock_guard lock(d.mutex);
      d.found->gone.push_back(index);
    };
    Xattrs found;
    if (entry.type == EntryType::File) {
      if (!fd) fd = open_file(d, index);
      if (!fd) {
        if (!is_gone(errno)) cannot_read(request_.root, path_below(d.path, name));
        return gone();
      }
      static thread_local Sha256 hash;
      Statx stat;
      stat.stat = entry.stat;
      switch (read_content(fd.get(), stat, entry.content, found, hash)) {
        case ReadResult::Good:
          break;
        case ReadResult::Changing:
          fail("'" + path_below(request_.root, path_below(d.path, name)) +
               "' keeps changing while it is read");
        case ReadResult::Failed:
          cannot_read(request_.root, path_below(d.path, name));
      }
      if (stat.stat != entry.stat) {
        const std::lock_guard lock(d.mutex);
        d.seen.sum -= cache_.sum_of(name, entry.stat, false);
        d.seen.sum += cache_.sum_of(name, stat.stat, false);
        entry.stat = stat.stat;
        entry.trusted = is_trusted(stat);
      }
    } else {
      if (entry.type == EntryType::Symlink) {
        auto target = read_target(d.handle, name);
        if (!target) {
          if (!is_gone(errno) && errno != EINVAL)
            cannot_read(request_.root, path_below(d.path, name));
          return gone();
        }
        entry.extra = std::make_unique<ListedEntry::Extra>();
        entry.extra->target = std::move(*target);
      }
      auto attributes = read_xattrs(d.handle, name);
      if (!attributes) cannot_read(request_.root, path_below(d.path, name));
      found = std::move(*attributes);
    }
    if (found.empty()) return;
    if (!entry.extra) entry.extra = std::make_unique<ListedEntry::Extra>();
    entry.extra->xattrs = std::move(found);
  }

  // All of it is known: its record, and its list in the cache.
  void complete(Directory& d) {
    Collected& c = *d.found;
    d.fd.reset();
    remove_gone(d);
    Touched touched;
    touched.listed = true;
    DirectoryRecord& record = touched.record;
    record.key = cache_.key_of(d.path);
    record.sum = d.seen.sum;
    record.count = static_cast<std::uint32_t>(c.listing.entries.size());
    bool untrusted = d.seen.untrusted;
    FileTime youngest = 0;
    OwnDigest own;
    Entry value;
    for (const ListedEntry& entry : c.listing.entries) {
      untrusted = untrusted || !entry.trusted;
      // (Near enough: a ctime is of these years.)
      const auto ctime = static_cast<FileTime>(entry.stat.ctime);
      if (request_.clock != nullptr && !entry.trusted && ctime >= limit_of(entry.stat.device)) {
        youngest = std::max(youngest, ctime);
      }
      touched.includes = touched.includes || !entry.ignored;
      if (entry.type == EntryType::Directory) {
        touched.subdirectories.emplace_back(c.listing.name(entry), entry.ignored);
      }
      if (d.seen.has_ignored) continue;  // then `fold` knows what counts
      Listing::fill(entry, value);
      own.add(c.listing.name(entry), value);
    }
    if (!d.seen.has_ignored) record.own = own.finish();
    record.flags = (untrusted ? DirectoryRecord::kUntrusted : 0U) |
                   (d.seen.has_ignored ? DirectoryRecord::kHasIgnored : 0U);
    note_youngest(youngest);

    const DirectoryRecord* known = d.known;
    const auto kMine = DirectoryRecord::kUntrusted | DirectoryRecord::kHasIgnored;
    if (known != nullptr && !d.seen.has_ignored && !c.lost_trust && known->sum == record.sum &&
        known->count == record.count && known->own == record.own &&
        (known->flags & kMine) == record.flags) {
      match(*known);
      return;
    }
    cache_.append(c.listing, known, record);
    d.found.reset();
    add_to_stamp(record);
    const std::lock_guard lock(mutex_);
    touched_.emplace(d.path, std::move(touched));
  }

  static void remove_gone(Directory& d) {
    Collected& c = *d.found;
    if (c.gone.empty()) return;
    d.seen.untrusted = true;
    std::sort(c.gone.begin(), c.gone.end());
    std::deque<ListedEntry> left;
    for (std::uint32_t i = 0; i < c.listing.entries.size(); ++i) {
      if (!std::binary_search(c.gone.begin(), c.gone.end(), i)) {
        left.push_back(std::move(c.listing.entries[i]));
      }
    }
    c.listing.entries = std::move(left);
  }

  // --- Folding

  // Everything above what was touched gets a new tree digest.
  void add_ancestors() {
    std::vector<std::string> paths;
    paths.reserve(touched_.size());
    for (const auto& [path, touched] : touched_) paths.push_back(path);
    if (paths.empty()) paths.emplace_back("/");  // what the cache knows too much leaves the root
    for (std::string& path : paths) {
      while (!path.empty()) {
        const std::size_t slash = path.rfind('/');
        path.resize(slash == std::string::npos ? 0 : slash);
        const auto [place, is_new] = touched_.try_emplace(path);
        if (!is_new) break;
        const DirectoryRecord& known = cache_.record_of(path);
        place->second.record = known;
        seen_[static_cast<std::size_t>(&known - cache_.records().data())] = false;
      }
    }
  }

  const DirectoryRecord& record_of(const std::string& path) const {
    const auto touched = touched_.find(path);
    return touched != touched_.end() ? touched->second.record : cache_.record_of(path);
  }

  void fold(const std::string& path) {
    Touched& touched = touched_.at(path);
    DirectoryRecord& record = touched.record;
    Listing listing;
    const bool has_ignored = (record.flags & DirectoryRecord::kHasIgnored) != 0;
    if (!touched.listed || has_ignored) listing = cache_.read(record);
    if (!touched.listed) {
      for (const ListedEntry& entry : listing.entries) {
        touched.includes = touched.includes || !entry.ignored;
        if (entry.type == EntryType::Directory) {
          touched.subdirectories.emplace_back(listing.name(entry), entry.ignored);
        }
      }
    }
    std::vector<Digest> below;
    bool includes = touched.includes;
    const auto counts = [&](std::string_view name) {
      return record_of(path_below(path, name)).includes_something();
    };
    for (const auto& [name, ignored] : touched.subdirectories) {
      if (ignored && !counts(name)) continue;
      includes = true;
      below.push_back(record_of(path_below(path, name)).tree);
    }
    if (has_ignored) {
      OwnDigest own;
      Entry value;
      for (const ListedEntry& entry : listing.entries) {
        const std::string_view name = listing.name(entry);
        if (entry.ignored && !counts(name)) continue;
        Listing::fill(entry, value);
        own.add(name, value);
      }
      record.own = own.finish();
    }
    record.tree = tree_digest(record.own, below);
    record.flags &= ~static_cast<std::uint32_t>(DirectoryRecord::kIncludesSomething);
    if (includes) record.flags |= DirectoryRecord::kIncludesSomething;
  }

  // --- What the threads tell together

  void match(const DirectoryRecord& known) {
    seen_[static_cast<std::size_t>(&known - cache_.records().data())].store(
        true, std::memory_order_relaxed);
    const Sum sum = cache_.sum_of(known);
    const std::lock_guard lock(mutex_);
    ++matched_;
    stamp_ += sum;
  }

  void add_to_stamp(const DirectoryRecord& record) {
    const Sum sum = cache_.sum_of(record);
    const std::lock_guard lock(mutex_);
    stamp_ += sum;
  }

  void note_newest(const Newest& newest) {
    const std::lock_guard lock(mutex_);
    if (newest.time > newest_.time) newest_ = newest;
  }

  void note_youngest(FileTime time) {
    const std::lock_guard lock(mutex_);
    unsettled_ = std::max(unsettled_, time);
  }

  // --- Time

  // A later write would move its stamps: they are older than a tick before the look.
  bool is_trusted(const Statx& stat) {
    const FileTime limit = limit_of(stat.stat.device);
    return stat.mtime < limit && stat.ctime < limit;
  }

  FileTime limit_of(std::uint64_t device) {
    if (request_.clock == nullptr || purpose_ == Purpose::Stamp) return 0;
    const FileTick tick = device == root_device_ ? root_tick_ : tick_of(device);
    return tick.now - tick.tick;
  }

  // As it was when the look began.
  FileTick tick_of(std::uint64_t device) {
    if (request_.clock == nullptr) return {};
    const std::lock_guard lock(mutex_);
    const auto known = ticks_.find(device);
    if (known != ticks_.end()) return known->second;
    FileTick tick = request_.clock->read(device);
    tick.now -= std::chrono::nanoseconds(std::chrono::steady_clock::now() - started_).count();
    return ticks_.emplace(device, tick).first->second;
  }

  const TreeRequest& request_;
  StatCache& cache_;
  const Purpose purpose_;
  const Fd root_;
  std::vector<std::atomic<bool>> seen_;  // which of the cache's records were met
  const bool has_rules_;
  const bool needs_paths_;
  std::chrono::steady_clock::time_point started_;
  std::uint64_t root_device_ = 0;
  FileTick root_tick_;
  std::atomic<bool> root_listed_{false};

  std::mutex mutex_;  // for all below, during the walk
  std::map<std::uint64_t, FileTick> ticks_;
  std::size_t matched_ = 0;
  std::unordered_map<std::string, Touched> touched_;
  Sum stamp_;
  Sum witnesses_;
  FileTime unsettled_ = 0;
  Newest newest_;  // where only a stamp was asked for
};

void TreeStamp::add_witness(std::string_view name, const FileStat& stat) {
  witnesses += StatCache::for_stamps(seed)->sum_of(name, stat, false);
}

Snapshot read_tree(const TreeRequest& request) {
  Snapshot snapshot;
  std::error_code ignored;
  snapshot.cache_ = std::make_shared<StatCache>(request.cache, fs::absolute(request.root, ignored));
  snapshot.cache_->load();
  for (bool again = false;; again = true) {
    try {
      TreeLook look(request, *snapshot.cache_, TreeLook::Purpose::Digest);
      look.walk();
      snapshot.digest_ = look.fold();
      snapshot.stamp_ = look.stamp();
      snapshot.unsettled_ = look.unsettled();
      return snapshot;
    } catch (const CacheDamaged&) {
      if (again) fail("cannot keep the list of files of '" + request.root + "'");
      snapshot.cache_->reset();
    }
  }
}

bool touched_since(const TreeRequest& request, const Snapshot& before) {
  TreeLook look(request, *before.cache_, TreeLook::Purpose::Stamp);
  look.walk();
  if (look.stamp() != before.stamp_) return true;
  // Where the clock was set back, stamps may repeat: then only the content tells.
  return before.unsettled_ != 0 && read_tree(request).digest() != before.digest_;
}

bool touched_since(const TreeRequest& request, const TreeStamp& before) {
  const auto hashes = StatCache::for_stamps(before.seed);
  TreeLook look(request, *hashes, TreeLook::Purpose::Stamp);
  look.walk();
  // (What was just written may have been so twice: once before the clock was set back.)
  return look.stamp() != before.sum || look.witnesses() != before.witnesses || look.is_young();
}

bool wait_until_settled(const TreeRequest& request, const Snapshot& snapshot) {
  constexpr FileTime kMost = 2'100'000'000;
  if (snapshot.unsettled_ == 0 || request.clock == nullptr) return false;
  struct stat status = {};
  if (stat(request.root.c_str(), &status) != 0) return false;
  bool waited = false;
  while (interrupted() == 0) {
    const FileTick tick = request.clock->read(static_cast<std::uint64_t>(status.st_dev));
    const FileTime left = snapshot.unsettled_ - (tick.now - tick.tick);
    // A stamp of the future: the clock was set back, and waiting is no use.
    if (left > kMost) return waited;
    if (left < 0) return true;
    std::this_thread::sleep_for(std::chrono::nanoseconds(left + 1'000'000));
    waited = true;
  }
  return waited;
}

std::vector<Entry> Snapshot::entries(const TreeRequest& request) const {
  std::vector<Entry> all;
  const auto collect = [&](const StatCache& cache) {
    std::vector<std::string> directories(1);
    while (!directories.empty()) {
      const std::string directory = std::move(directories.back());
      directories.pop_back();
      const Listing listing = cache.read_counting(directory);
      for (const ListedEntry& listed : listing.entries) {
        std::string path = path_below(directory, listing.name(listed));
        if (listed.type == EntryType::Directory) directories.push_back(path);
        Entry& entry = all.emplace_back();
        Listing::fill(listed, entry);
        entry.path = std::move(path);
      }
    }
  };
  try {
    collect(*cache_);
  } catch (const CacheDamaged&) {
    // What was kept on the disk is not what it was: look again, without it.
    all.clear();
    StatCache fresh("", "");
    TreeLook look(request, fresh, TreeLook::Purpose::Digest);
    look.walk();
    if (look.fold() != digest_) {
      fail("'" + request.root + "' changed since it was looked at");
    }
    collect(fresh);
  }
  sort_by_path(all);
  return all;
}

std::optional<TreeStamp> Snapshot::stamp() const {
  const auto& records = cache_->records();
  const bool untrusted =
      std::any_of(records.begin(), records.end(), [](const DirectoryRecord& record) {
        return (record.flags & DirectoryRecord::kUntrusted) != 0;
      });
  if (untrusted) return std::nullopt;
  return TreeStamp{cache_->seed(), stamp_, {}};
}

std::optional<Digest> Snapshot::content_of(const std::string& name) const {
  try {
    const Listing listing = cache_->read(cache_->record_of(""));
    for (const ListedEntry& entry : listing.entries) {
      if (entry.type == EntryType::File && listing.name(entry) == name) return entry.content;
    }
  } catch (const CacheDamaged&) {
  }
  return std::nullopt;
}

bool Snapshot::has_directory(const std::string& name) const {
  const DirectoryRecord* record = cache_->find(cache_->key_of(name));
  return record != nullptr && record->includes_something();
}

}  // namespace imagewright
