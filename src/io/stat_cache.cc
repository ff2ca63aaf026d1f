#include "io/stat_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <initializer_list>
#include <mutex>
#include <random>
#include <system_error>
#include <thread>
#include <type_traits>
#include <unordered_map>

// All of it is inlined: a hash of a few dozen bytes costs less than a call would.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace imagewright {

namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 24> kMagic = {"imagewright stat cache"};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kByteOrder = 0x01020304;
// Lists are kept in memory up to this size, then in an unnamed file.
constexpr std::size_t kSpoolMemory = std::size_t{1} << 20;
// A wide directory's list is cut behind names that hash to a multiple of this: on average that many
// entries, and a new name moves one cut at most.
constexpr std::uint64_t kCut = 4096;
constexpr std::size_t kWide = 2 * kCut;
// Below this, what is no longer needed is not worth writing the rest anew.
constexpr std::uint64_t kMuchGarbage = std::uint64_t{1} << 20;
// How long to wait for another process that writes a cache.
constexpr auto kLockPatience = std::chrono::milliseconds(500);

constexpr std::uint32_t kEntries = 0;
constexpr std::uint32_t kParts = 1;

struct FilesHeader {
  std::array<char, 24> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t order = kByteOrder;
  Sum id;
};

struct BlockHeader {
  Sum checksum;  // over the directory's key, kind, count and the payload
  std::uint32_t kind = kEntries;
  std::uint32_t count = 0;  // entries, or parts
  std::uint64_t size = 0;   // of the payload
};

struct Part {
  Sum checksum;  // of its block, which has it, too
  std::uint64_t offset = 0;
  std::uint64_t size = 0;  // of the whole block
};

struct EntryHeader {
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint16_t name_size = 0;
  std::uint32_t mode = 0;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::uint64_t mtime = 0;
  std::uint64_t ctime = 0;
};
constexpr std::uint8_t kTrusted = 1;
constexpr std::uint8_t kIgnored = 2;
constexpr std::uint8_t kHasExtra = 4;

static_assert(std::has_unique_object_representations_v<DirectoryRecord>);
static_assert(std::has_unique_object_representations_v<FilesHeader>);
static_assert(std::has_unique_object_representations_v<BlockHeader>);
static_assert(std::has_unique_object_representations_v<Part>);
static_assert(std::has_unique_object_representations_v<EntryHeader>);

template <typename T>
std::string_view as_bytes(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

Sum hash(std::string_view bytes, std::uint64_t seed) {
  const XXH128_hash_t result = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
  return {result.low64, result.high64};
}

// Of the parts as if they were one.
Sum checksum_of(std::initializer_list<std::string_view> parts) {
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_128bits_reset(&state);
  for (const std::string_view part : parts) {
    XXH3_128bits_update(&state, part.data(), part.size());
  }
  const XXH128_hash_t result = XXH3_128bits_digest(&state);
  return {result.low64, result.high64};
}

std::uint64_t random_number() {
  // (The device is slow: once a thread.)
  static thread_local std::mt19937_64 numbers = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return numbers();
}

Sum random_id() {
  return {random_number(), random_number()};
}

// Takes values off the front of bytes that may be anything.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view take(std::size_t size) {
    if (size > bytes_.size()) throw CacheDamaged{};
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  std::string_view field() { return take(take<std::uint32_t>()); }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

void add_field(std::string& bytes, std::string_view field) {
  const auto size = static_cast<std::uint32_t>(field.size());
  bytes += as_bytes(size);
  bytes += field;
}

void encode(const Listing& listing, const ListedEntry& entry, std::string& bytes) {
  EntryHeader header;
  header.type = static_cast<std::uint8_t>(entry.type);
  header.flags =
      static_cast<std::uint8_t>((entry.trusted ? kTrusted : 0) | (entry.ignored ? kIgnored : 0) |
                                (entry.extra ? kHasExtra : 0));
  header.name_size = entry.name_size;
  header.mode = entry.stat.mode;
  header.device = entry.stat.device;
  header.inode = entry.stat.inode;
  header.size = entry.stat.size;
  header.mtime = entry.stat.mtime;
  header.ctime = entry.stat.ctime;
  bytes += as_bytes(header);
  bytes += listing.name(entry);
  if (entry.type == EntryType::File) bytes += as_bytes(entry.content);
  if (!entry.extra) return;
  add_field(bytes, entry.extra->target);
  bytes += as_bytes(entry.extra->device);
  const auto count = static_cast<std::uint32_t>(entry.extra->xattrs.size());
  bytes += as_bytes(count);
  for (const auto& [name, value] : entry.extra->xattrs) {
    add_field(bytes, name);
    add_field(bytes, value);
  }
}

void decode(Reader& reader, Listing& listing) {
  const auto header = reader.take<EntryHeader>();
  if (header.type > static_cast<std::uint8_t>(EntryType::Character)) throw CacheDamaged{};
  const std::string_view name = reader.take(header.name_size);
  // Whoever follows a list must come to an end, and stay below where it begins.
  const std::string_view before =
      listing.entries.empty() ? "" : listing.name(listing.entries.back());
  if (name <= before || name.find('/') != std::string_view::npos ||
      name.find('\0') != std::string_view::npos) {
    throw CacheDamaged{};
  }
  ListedEntry& entry = listing.add(name);
  entry.type = static_cast<EntryType>(header.type);
  entry.trusted = (header.flags & kTrusted) != 0;
  entry.ignored = (header.flags & kIgnored) != 0;
  entry.stat = {header.device, header.inode, header.size, header.mtime, header.ctime, header.mode};
  if (entry.type == EntryType::File) entry.content = reader.take<Digest>();
  if ((header.flags & kHasExtra) == 0) return;
  entry.extra = std::make_unique<ListedEntry::Extra>();
  entry.extra->target = reader.field();
  entry.extra->device = reader.take<std::uint64_t>();
  for (auto count = reader.take<std::uint32_t>(); count > 0; --count) {
    const std::string_view attribute = reader.field();
    entry.extra->xattrs.emplace_back(attribute, reader.field());
  }
}

// Opens a file, and waits for nothing that is in its place.
Fd open_file(const fs::path& path, int how) {
  return Fd(open(path.c_str(), how | O_NONBLOCK | O_CLOEXEC));
}

// The lock for writing caches in a directory, for the moment that it takes. nullopt: not now.
std::optional<Fd> lock_directory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  Fd lock(open((directory / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return std::nullopt;
  const auto give_up = std::chrono::steady_clock::now() + kLockPatience;
  while (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return std::nullopt;
    if (std::chrono::steady_clock::now() > give_up) return std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return lock;
}

// The name under which a file is made before it gets its own. The same for all places of a
// directory: only who has its lock writes there, and what a killed run leaves does not add up. What
// has it now is gone: it may be a link to a file that is in use.
fs::path fresh_name(const fs::path& place) {
  fs::path fresh = place.parent_path() / "new";
  unlink(fresh.c_str());
  return fresh;
}

// A link under a temporary name, then renamed: the place is never without a file.
bool link_over(const fs::path& from, const fs::path& to) {
  const fs::path fresh = fresh_name(to);
  const bool done =
      link(from.c_str(), fresh.c_str()) == 0 && rename(fresh.c_str(), to.c_str()) == 0;
  unlink(fresh.c_str());  // where both were the same file already, renaming leaves it
  return done;
}

}  // namespace

Sum& Sum::operator+=(const Sum& other) {
  low += other.low;
  high += other.high + (low < other.low ? 1 : 0);
  return *this;
}

Sum& Sum::operator-=(const Sum& other) {
  high -= other.high + (low < other.low ? 1 : 0);
  low -= other.low;
  return *this;
}

ListedEntry& Listing::add(std::string_view entry_name) {
  ListedEntry& entry = entries.emplace_back();
  entry.name_at = static_cast<std::uint32_t>(names.size());
  entry.name_size = static_cast<std::uint16_t>(entry_name.size());
  names += entry_name;
  return entry;
}

void Listing::sort() {
  std::sort(entries.begin(), entries.end(),
            [this](const ListedEntry& a, const ListedEntry& b) { return name(a) < name(b); });
}

void Listing::fill(const ListedEntry& listed, Entry& entry) {
  entry.type = listed.type;
  entry.mode = listed.stat.mode & 07777;
  entry.size = listed.type == EntryType::File ? listed.stat.size : 0;
  entry.content = listed.content;
  entry.device = listed.extra ? listed.extra->device : 0;
  if (listed.extra) {
    entry.target = listed.extra->target;
    entry.xattrs = listed.extra->xattrs;
  } else {
    entry.target.clear();
    entry.xattrs.clear();
  }
}

// The lists written since the file was opened, as they will stand behind it.
class StatCache::Spool {
 public:
  // The directory is for the unnamed file; empty: in memory.
  Spool(fs::path directory, std::uint64_t base) : directory_(std::move(directory)), base_(base) {}

  std::uint64_t append(std::string_view bytes) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t offset = base_ + written_ + pending_.size();
    pending_ += bytes;
    if (pending_.size() > kSpoolMemory) flush();
    return offset;
  }

  std::string read(std::uint64_t offset, std::size_t size) {
    const std::lock_guard lock(mutex_);
    offset -= base_;
    if (offset >= written_) {
      offset -= written_;
      if (offset > pending_.size()) return "";
      return pending_.substr(static_cast<std::size_t>(offset), size);
    }
    // (The size may be that of a damaged record.)
    return read_at(fd_.get(), offset,
                   static_cast<std::size_t>(std::min<std::uint64_t>(size, written_ - offset)));
  }

  std::uint64_t size() const { return written_ + pending_.size(); }

  // All of it, at `offset` of a file.
  bool copy_to(int to, std::uint64_t offset) {
    std::uint64_t done = 0;
    while (done < written_) {
      const std::string bytes =
          read_at(fd_.get(), done,
                  static_cast<std::size_t>(std::min<std::uint64_t>(written_ - done, kSpoolMemory)));
      if (bytes.empty() || !write_at(to, offset + done, bytes)) return false;
      done += bytes.size();
    }
    return write_at(to, offset + done, pending_);
  }

  // Gives the unnamed file a name, if it is one that can have one and begins with all that a file
  // must. False: it has to be copied.
  bool link_to(const fs::path& path) {
    flush();
    if (!linkable_ || !pending_.empty()) return false;
    const std::string own = "/proc/self/fd/" + std::to_string(fd_.get());
    return linkat(AT_FDCWD, own.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0;
  }
  Fd release() { return std::move(fd_); }

 private:
  // What cannot be written stays in memory: then the disk is full, and it must do.
  void flush() {
    if (!fd_ && !open_unnamed()) return;
    if (!write_at(fd_.get(), written_, pending_)) return;
    written_ += pending_.size();
    pending_.clear();
  }

  bool open_unnamed() {
    if (!directory_.empty()) {
      std::error_code ignored;
      fs::create_directories(directory_, ignored);
      fd_ = Fd(open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
      linkable_ = static_cast<bool>(fd_) && base_ == 0;
    }
    if (!fd_) fd_ = Fd(memfd_create("imagewright-lists", MFD_CLOEXEC));
    return static_cast<bool>(fd_);
  }

  std::mutex mutex_;
  fs::path directory_;
  std::uint64_t base_;
  std::uint64_t written_ = 0;  // what is in the file
  std::string pending_;        // what is not yet
  Fd fd_;
  bool linkable_ = false;
};

struct StatCache::Header {
  std::array<char, 24> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t order = kByteOrder;
  std::uint64_t seed = 0;
  std::uint64_t count = 0;
  Sum identity;
  Sum lists_id;
  Sum checksum;  // over this, with zeros here, and the records
};

StatCache::StatCache(fs::path place, std::string identity)
    : place_(std::move(place)), identity_(std::move(identity)) {
  reset();
}

StatCache::~StatCache() = default;

std::unique_ptr<StatCache> StatCache::for_stamps(std::uint64_t seed) {
  std::unique_ptr<StatCache> cache(new StatCache);
  cache->seed_ = seed;
  return cache;
}

void StatCache::reset() {
  seed_ = random_number();
  records_.clear();
  lists_id_ = random_id();
  saved_ = {};
  lists_.reset();
  // A new file begins with its header.
  spool_ = std::make_unique<Spool>(place_.parent_path(), 0);
  FilesHeader header;
  header.id = lists_id_;
  spool_->append(as_bytes(header));
  base_ = 0;
}

bool StatCache::load() {
  return load(false);
}

std::unique_ptr<StatCache> StatCache::open_kept(const fs::path& place) {
  auto kept = std::make_unique<StatCache>(place, "");
  return kept->load(true) ? std::move(kept) : nullptr;
}

bool StatCache::load(bool any_identity) {
  if (place_.empty()) return false;
  const Fd fd = open_file(file(".dirs"), O_RDONLY);
  struct stat status = {};
  if (!fd || fstat(fd.get(), &status) != 0) return false;
  const auto size = static_cast<std::uint64_t>(std::max<off_t>(status.st_size, 0));
  Header header;
  const std::string begin = read_at(fd.get(), 0, sizeof header);
  if (size < sizeof header || begin.size() != sizeof header) return false;
  std::memcpy(&header, begin.data(), sizeof header);
  // (What is not ours may be of any size: it is not read.)
  if (header.magic != kMagic || header.version != kVersion || header.order != kByteOrder ||
      (size - sizeof header) % sizeof(DirectoryRecord) != 0 ||
      header.count != (size - sizeof header) / sizeof(DirectoryRecord) ||
      (!any_identity && header.identity != hash(identity_, 0))) {
    return false;
  }
  const auto length = static_cast<std::size_t>(size - sizeof header);
  const std::string records = read_at(fd.get(), sizeof header, length);
  if (records.size() != length) return false;
  const Sum checksum = header.checksum;
  header.checksum = {};
  if (checksum != checksum_of({as_bytes(header), records})) return false;

  seed_ = header.seed;
  lists_id_ = header.lists_id;
  saved_ = checksum;
  records_.resize(header.count);
  if (!records.empty()) std::memcpy(records_.data(), records.data(), records.size());
  spool_.reset();
  lists_.reset();
  base_ = 0;
  return true;
}

fs::path StatCache::file(const char* extension) const {
  return place_.string() + extension;
}

Sum StatCache::key_of(std::string_view path) const {
  return hash(path, seed_);
}

Sum StatCache::sum_of(std::string_view name, const FileStat& stat, bool ignored) const {
  const std::array<std::uint64_t, 6> fields = {
      stat.device, stat.inode, stat.size,
      stat.mtime,  stat.ctime, stat.mode | (ignored ? std::uint64_t{1} << 32U : 0)};
  std::array<char, sizeof fields + 256> bytes;  // a name has at most 255
  const std::size_t size = std::min<std::size_t>(name.size(), 256);
  std::memcpy(bytes.data(), fields.data(), sizeof fields);
  std::memcpy(bytes.data() + sizeof fields, name.data(), size);
  return hash({bytes.data(), sizeof fields + size}, seed_);
}

Sum StatCache::sum_of(const DirectoryRecord& record) const {
  const std::array<std::uint64_t, 5> fields = {record.key.low, record.key.high, record.sum.low,
                                               record.sum.high, record.count};
  return hash(as_bytes(fields), seed_);
}

const DirectoryRecord* StatCache::find(const Sum& key) const {
  if (records_.empty()) return nullptr;
  // Keys are evenly spread: where one should stand is known to within a few places.
  const auto count = static_cast<double>(records_.size());
  auto guess =
      static_cast<std::size_t>(static_cast<double>(key.low) / 18446744073709551616.0 * count);
  guess = std::min(guess, records_.size() - 1);
  const auto at = [&](std::size_t i) -> const Sum& { return records_[i].key; };
  std::size_t low = guess;
  std::size_t high = guess + 1;
  for (std::size_t step = 8; low > 0 && key < at(low); step *= 2) low -= std::min(low, step);
  for (std::size_t step = 8; high < records_.size() && at(high) < key; step *= 2) {
    high = std::min(records_.size(), high + step);
  }
  const auto end =
      records_.begin() + static_cast<std::ptrdiff_t>(std::min(high + 1, records_.size()));
  const auto found = std::lower_bound(
      records_.begin() + static_cast<std::ptrdiff_t>(low), end, key,
      [](const DirectoryRecord& record, const Sum& wanted) { return record.key < wanted; });
  return found != records_.end() && found->key == key ? &*found : nullptr;
}

// Opens the file of lists, if it is the one that the records speak of. Under the mutex.
bool StatCache::open_lists() const {
  if (lists_) return true;
  Fd fd = open_file(file(".files"), O_RDONLY);
  FilesHeader header;
  if (!fd) return false;
  const std::string bytes = read_at(fd.get(), 0, sizeof header);
  if (bytes.size() != sizeof header) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kMagic || header.version != kVersion || header.order != kByteOrder ||
      header.id != lists_id_) {
    return false;
  }
  lists_ = std::move(fd);
  return true;
}

std::string StatCache::bytes_at(std::uint64_t offset, std::uint64_t size) const {
  std::string bytes;
  Spool* spool = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (spool_ && offset >= base_) {
      spool = spool_.get();
    } else if (!open_lists()) {
      throw CacheDamaged{};
    }
  }
  if (spool != nullptr) {
    bytes = spool->read(offset, static_cast<std::size_t>(size));
  } else {
    struct stat status = {};
    if (fstat(lists_.get(), &status) != 0 || offset > static_cast<std::uint64_t>(status.st_size) ||
        size > static_cast<std::uint64_t>(status.st_size) - offset) {
      throw CacheDamaged{};
    }
    bytes = read_at(lists_.get(), offset, static_cast<std::size_t>(size));
  }
  if (bytes.size() != size) throw CacheDamaged{};
  return bytes;
}

namespace {

Sum block_checksum(const Sum& key, const BlockHeader& header, std::string_view payload) {
  const std::string_view rest = as_bytes(header).substr(sizeof header.checksum);
  return checksum_of({as_bytes(key), rest, payload});
}

}  // namespace

// The kind and the payload of a block of a directory.
std::pair<std::uint32_t, std::string> StatCache::block_at(const DirectoryRecord& record,
                                                          std::uint64_t offset) const {
  BlockHeader header;
  std::memcpy(&header, bytes_at(offset, sizeof header).data(), sizeof header);
  if (header.size > record.bytes) throw CacheDamaged{};
  std::string payload = bytes_at(offset + sizeof header, header.size);
  if (block_checksum(record.key, header, payload) != header.checksum) throw CacheDamaged{};
  return {header.kind, std::move(payload)};
}

Listing StatCache::read(const DirectoryRecord& record) const {
  Listing listing;
  const auto take_entries = [&](std::string_view payload) {
    Reader reader(payload);
    while (!reader.at_end()) decode(reader, listing);
  };
  const auto [kind, payload] = block_at(record, record.offset);
  if (kind == kEntries) {
    take_entries(payload);
  } else {
    Reader parts(payload);
    while (!parts.at_end()) {
      const auto [part_kind, entries] = block_at(record, parts.take<Part>().offset);
      if (part_kind != kEntries) throw CacheDamaged{};
      take_entries(entries);
    }
  }
  if (listing.entries.size() != record.count) throw CacheDamaged{};
  return listing;
}

const DirectoryRecord& StatCache::record_of(std::string_view path) const {
  const DirectoryRecord* record = find(key_of(path));
  if (record == nullptr) throw CacheDamaged{};
  return *record;
}

Listing StatCache::read_counting(const std::string& path) const {
  Listing listing = read(record_of(path));
  std::erase_if(listing.entries, [&](const ListedEntry& entry) {
    return entry.ignored && !record_of(path_below(path, listing.name(entry))).includes_something();
  });
  return listing;
}

void StatCache::append(const Listing& listing, const DirectoryRecord* old,
                       DirectoryRecord& record) {
  {
    const std::lock_guard lock(mutex_);
    if (!spool_) {
      struct stat status = {};
      if (!open_lists() || fstat(lists_.get(), &status) != 0) throw CacheDamaged{};
      base_ = static_cast<std::uint64_t>(status.st_size);
      spool_ = std::make_unique<Spool>(place_.parent_path(), base_);
    }
  }
  const auto block = [&](std::uint32_t kind, std::uint32_t count, std::string_view payload) {
    BlockHeader header;
    header.kind = kind;
    header.count = count;
    header.size = payload.size();
    header.checksum = block_checksum(record.key, header, payload);
    return header;
  };
  const auto write = [&](const BlockHeader& header, const std::string& payload) {
    return spool_->append(std::string(as_bytes(header)) + payload);
  };
  std::string payload;
  if (listing.entries.size() <= kWide) {
    for (const ListedEntry& entry : listing.entries) encode(listing, entry, payload);
    const auto header =
        block(kEntries, static_cast<std::uint32_t>(listing.entries.size()), payload);
    record.offset = write(header, payload);
    record.bytes = sizeof header + payload.size();
    return;
  }

  // Parts that were written before, by their checksum.
  std::vector<Part> known;
  if (old != nullptr) {
    const auto [kind, parts] = block_at(*old, old->offset);
    Reader reader(parts);
    while (kind == kParts && !reader.at_end()) known.push_back(reader.take<Part>());
  }
  std::string index;
  std::uint32_t count = 0;
  std::uint32_t in_part = 0;
  record.bytes = 0;
  const auto end_part = [&] {
    const auto header = block(kEntries, in_part, payload);
    Part part{header.checksum, 0, sizeof header + payload.size()};
    const auto same = std::find_if(known.begin(), known.end(), [&](const Part& other) {
      return other.checksum == part.checksum && other.size == part.size;
    });
    part.offset = same != known.end() ? same->offset : write(header, payload);
    index += as_bytes(part);
    record.bytes += part.size;
    payload.clear();
    in_part = 0;
    ++count;
  };
  for (const ListedEntry& entry : listing.entries) {
    encode(listing, entry, payload);
    ++in_part;
    if (hash(listing.name(entry), 0).low % kCut == 0 || in_part == 4 * kCut) end_part();
  }
  if (in_part > 0) end_part();
  const auto header = block(kParts, count, index);
  record.offset = write(header, index);
  record.bytes += sizeof header + index.size();
}

void StatCache::commit(std::vector<DirectoryRecord> records) {
  std::sort(records.begin(), records.end(),
            [](const DirectoryRecord& a, const DirectoryRecord& b) { return a.key < b.key; });
  records_ = std::move(records);
  if (!place_.empty()) save();
}

// Writes what is new to the place. False: not now, or not there.
bool StatCache::save() {
  const auto lock = lock_directory(place_.parent_path());
  if (!lock) return false;
  std::uint64_t live = 0;
  for (const DirectoryRecord& record : records_) live += record.bytes;
  const std::uint64_t all = base_ + (spool_ ? spool_->size() : 0);
  if (base_ > 0 && all > live + std::max(live, kMuchGarbage)) {
    StatCache fresh(place_, identity_);
    if (!write_all(place_, fresh)) return false;
    records_ = std::move(fresh.records_);
    seed_ = fresh.seed_;
    lists_id_ = fresh.lists_id_;
    saved_ = fresh.saved_;
    lists_ = std::move(fresh.lists_);
    spool_.reset();
    base_ = 0;
    return true;
  }
  if (spool_ && !append_to_file()) return false;
  return write_records(place_);
}

// The lists that are new go to the end of the file, or become the file. Under the lock.
bool StatCache::append_to_file() {
  const fs::path path = file(".files");
  if (base_ == 0) {
    const fs::path fresh = fresh_name(path);
    Fd fd;
    if (spool_->link_to(fresh)) {
      fd = spool_->release();
    } else {
      fd = Fd(open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
      if (!fd || !spool_->copy_to(fd.get(), 0)) {
        unlink(fresh.c_str());
        return false;
      }
    }
    const bool renamed = rename(fresh.c_str(), path.c_str()) == 0;
    lists_ = std::move(fd);
    if (!renamed) {
      // They are in that file, if only for us.
      unlink(fresh.c_str());
      spool_.reset();
      return false;
    }
  } else {
    // If it is another file by now, or longer, another run wrote: what it wrote stays.
    const Fd fd = open_file(path, O_WRONLY);
    struct stat now = {};
    struct stat ours = {};
    if (!fd || fstat(fd.get(), &now) != 0 || fstat(lists_.get(), &ours) != 0 ||
        now.st_ino != ours.st_ino || now.st_dev != ours.st_dev ||
        static_cast<std::uint64_t>(now.st_size) != base_ || !spool_->copy_to(fd.get(), base_)) {
      return false;
    }
  }
  spool_.reset();
  base_ = 0;
  return true;
}

bool StatCache::write_records(const fs::path& place) {
  Header header;
  header.seed = seed_;
  header.count = records_.size();
  header.identity = hash(identity_, 0);
  header.lists_id = lists_id_;
  const std::string_view records(reinterpret_cast<const char*>(records_.data()),
                                 records_.size() * sizeof(DirectoryRecord));
  header.checksum = checksum_of({as_bytes(header), records});

  const fs::path path = place.string() + ".dirs";
  const fs::path fresh = fresh_name(path);
  {
    const Fd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd || !write_at(fd.get(), 0, as_bytes(header)) ||
        !write_at(fd.get(), sizeof header, records)) {
      unlink(fresh.c_str());
      return false;
    }
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    unlink(fresh.c_str());
    return false;
  }
  saved_ = header.checksum;
  return true;
}

// Writes all of it to a place, without what is no longer needed, by way of a cache of its own
// there. Under the lock. Throws CacheDamaged.
bool StatCache::write_all(const fs::path& place, StatCache& into) const {
  into.seed_ = seed_;  // sums and keys stay what they are
  into.records_ = records_;
  for (DirectoryRecord& record : into.records_) {
    const DirectoryRecord before = record;
    into.append(read(before), nullptr, record);
  }
  return into.append_to_file() && into.write_records(place);
}

// Is little in the file of lists no longer needed? Wants them to be open.
bool StatCache::is_lean() const {
  constexpr std::uint64_t kPart = 8;
  constexpr std::uint64_t kLittle = std::uint64_t{1} << 20;
  std::uint64_t live = 0;
  for (const DirectoryRecord& record : records_) live += record.bytes;
  struct stat status = {};
  return fstat(lists_.get(), &status) == 0 &&
         static_cast<std::uint64_t>(status.st_size) <= live + std::max(live / kPart, kLittle);
}

bool StatCache::keep(const fs::path& place) const {
  const auto lock = lock_directory(place.parent_path());
  if (!lock) return false;
  // What is on the disk now may be another run's.
  StatCache disk(place_, identity_);
  const bool ours = !spool_ && disk.load() && disk.saved_ == saved_ && disk.open_lists();
  // (A link would hold on to what is no longer needed, when the cache has let go of it.)
  if (ours && disk.is_lean() && link_over(file(".files"), place.string() + ".files") &&
      link_over(file(".dirs"), place.string() + ".dirs")) {
    return true;
  }
  try {
    StatCache copy(place, identity_);
    return write_all(place, copy);
  } catch (const CacheDamaged&) {
    return false;
  }
}

}  // namespace imagewright
