// Fuzzes the stat cache's two files. Checksums guard every byte of them, so the input is not their
// bytes: it says what is done to a pair that a look at a small directory has written, and whether
// the checksums are made right again behind it. Whatever the pair is then, nothing but CacheDamaged
// comes of reading it; what is written into it reads back; and unless somebody forged checksums, a
// look with it gives what one without it gives.
#include "io/stat_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <thread>

#include "check.h"
#include "io/error.h"
#include "io/tree.h"
#include "io/tree_changes.h"
#include "temp_directory.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace imagewright::fuzz {
namespace {

namespace fs = std::filesystem;

// docs/formats.md, "Stat cache": written down once more, as whoever reads that page would.
constexpr std::size_t kDirsHeader = 96;
constexpr std::size_t kIdentityAt = 48;
constexpr std::size_t kListsIdAt = 64;
constexpr std::size_t kDirsChecksumAt = 80;
constexpr std::size_t kFilesHeader = 48;
constexpr std::size_t kBlockHeader = 32;
constexpr std::size_t kPart = 32;
constexpr std::uint32_t kParts = 1;
static_assert(sizeof(DirectoryRecord) == 120);

struct Pair {
  std::string dirs;
  std::string files;
  bool operator==(const Pair&) const = default;
};

template <typename T>
T get(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <typename T>
void put(std::string& bytes, std::size_t at, const T& value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <typename T>
void add(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

Sum hash(std::string_view bytes) {
  const XXH128_hash_t result = XXH3_128bits(bytes.data(), bytes.size());
  return {result.low64, result.high64};
}

// --- The input

// Zeros behind its end.
class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  bool at_end() const { return bytes_.empty(); }
  std::string_view take(std::size_t size) {
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  template <typename T>
  T number() {
    T value{};
    const std::string_view taken = take(sizeof value);
    std::memcpy(&value, taken.data(), taken.size());
    return value;
  }
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : number<std::uint16_t>() % limit; }
  // A number as those go wrong that say where something is, or how much.
  std::uint64_t place(std::uint64_t now, std::uint64_t all) {
    switch (number<std::uint8_t>() % 8) {
      case 0:
        return now + number<std::uint8_t>();
      case 1:
        return now - number<std::uint8_t>();
      case 2:
        return all - number<std::uint8_t>();
      case 3:
        return all + number<std::uint8_t>();
      case 4:
        return ~std::uint64_t{0} - number<std::uint8_t>();
      case 5:
        return std::uint64_t{1} << (number<std::uint8_t>() % 64);
      case 6:
        return number<std::uint16_t>();
      default:
        return number<std::uint64_t>();
    }
  }

 private:
  std::string_view bytes_;
};

// --- What is done to a pair

std::size_t record_count(const Pair& pair) {
  return pair.dirs.size() < kDirsHeader
             ? 0
             : (pair.dirs.size() - kDirsHeader) / sizeof(DirectoryRecord);
}

std::size_t record_at(std::size_t index) {
  return kDirsHeader + index * sizeof(DirectoryRecord);
}

void patch(std::string& bytes, Input& input) {
  if (bytes.empty()) return;
  const std::size_t at = input.below(bytes.size());
  const std::string_view with = input.take(1 + input.number<std::uint8_t>() % 16);
  bytes.replace(at, std::min(with.size(), bytes.size() - at), with);
}

void copy_record(Pair& pair, Input& input) {
  const std::size_t count = record_count(pair);
  if (count == 0) return;
  const std::size_t from = record_at(input.below(count));
  const std::string record = pair.dirs.substr(from, sizeof(DirectoryRecord));
  const std::size_t to = record_at(input.below(count));
  const bool instead = input.number<std::uint8_t>() % 2 == 0;
  pair.dirs.replace(to, instead ? record.size() : 0, record);
}

void forge_record(Pair& pair, Input& input) {
  const std::size_t count = record_count(pair);
  if (count == 0) return;
  const std::size_t at = record_at(input.below(count));
  auto record = get<DirectoryRecord>(pair.dirs, at);
  switch (input.number<std::uint8_t>() % 6) {
    case 0:
      record.offset = input.place(record.offset, pair.files.size());
      break;
    case 1:
      record.bytes = input.place(record.bytes, pair.files.size());
      break;
    case 2:
      record.count = static_cast<std::uint32_t>(input.place(record.count, count));
      break;
    case 3:
      record.flags = input.number<std::uint32_t>();
      break;
    case 4:
      record.sum.low += 1;  // its list is read then
      break;
    default:
      record.key = {input.place(record.key.low, 0), record.key.high};
  }
  put(pair.dirs, at, record);
}

std::string forged_entry(Input& input) {
  std::string entry;
  const auto type = static_cast<std::uint8_t>(input.number<std::uint8_t>() % 6);
  const auto flags = input.number<std::uint8_t>();
  const std::string_view name = input.take(input.number<std::uint8_t>() % 8);
  add(entry, type);
  add(entry, flags);
  add(entry, static_cast<std::uint16_t>(name.size()));
  add(entry, std::uint32_t{0100644});
  for (int i = 0; i < 5; ++i) add(entry, std::uint64_t{1});
  entry += name;
  if (type == 0) entry.append(32, 'd');
  if ((flags & 4) == 0) return entry;
  const auto field = [&](std::string_view value, std::uint32_t more) {
    add(entry, static_cast<std::uint32_t>(value.size()) + more);
    entry += value;
  };
  field(input.take(input.number<std::uint8_t>() % 4), 0);
  add(entry, std::uint64_t{259});
  const std::uint32_t attributes = input.number<std::uint8_t>() % 4;
  add(entry, attributes + (input.number<std::uint8_t>() == 255 ? 0x7fffffff : 0));
  for (std::uint32_t i = 0; i < attributes; ++i) {
    field("user.a", 0);
    field("value", input.number<std::uint8_t>() == 255 ? 0xfffffff0 : 0);
  }
  return entry;
}

// At the end of the lists, and the record says so.
void add_block(Pair& pair, std::size_t record_place, std::uint32_t kind, std::uint32_t count,
               std::string_view payload) {
  auto record = get<DirectoryRecord>(pair.dirs, record_place);
  record.offset = pair.files.size();
  record.bytes = kBlockHeader + payload.size();
  if (kind == kParts) record.bytes += pair.files.size();
  if (kind != kParts) record.count = count;
  put(pair.dirs, record_place, record);
  add(pair.files, Sum{});
  add(pair.files, kind);
  add(pair.files, count);
  add(pair.files, static_cast<std::uint64_t>(payload.size()));
  pair.files += payload;
}

void forge_list(Pair& pair, Input& input) {
  const std::size_t count = record_count(pair);
  if (count == 0) return;
  const std::size_t at = record_at(input.below(count));
  const std::uint32_t entries = input.number<std::uint8_t>() % 8;
  std::string payload;
  for (std::uint32_t i = 0; i < entries; ++i) payload += forged_entry(input);
  add_block(pair, at, 0, entries, payload);
}

// Parts that are the lists which the records have now, its own among them.
void forge_parts(Pair& pair, Input& input) {
  const std::size_t count = record_count(pair);
  if (count == 0) return;
  const std::size_t at = record_at(input.below(count));
  const std::uint32_t parts = input.number<std::uint8_t>() % 32;
  std::string payload;
  for (std::uint32_t i = 0; i < parts; ++i) {
    const auto of = get<DirectoryRecord>(pair.dirs, record_at(input.below(count)));
    add(payload, Sum{});
    add(payload,
        input.number<std::uint8_t>() < 200 ? of.offset : input.place(of.offset, pair.files.size()));
    add(payload, of.bytes);
  }
  add_block(pair, at, kParts, parts, payload);
}

void mutate(Pair& pair, Input& input) {
  // Enough that a cache is written anew for what it holds in vain.
  constexpr std::size_t kMuch = std::size_t{1100} * 1024;
  const auto what = input.number<std::uint8_t>();
  // (Seldom: it takes time.)
  if (what == 255) return pair.files.resize(std::max(pair.files.size(), kMuch));
  switch (what % 9) {
    case 0:
      return patch(pair.dirs, input);
    case 1:
    case 2:
      return patch(pair.files, input);
    case 3:
      return pair.dirs.resize(input.below(pair.dirs.size() + 1));
    case 4:
      return pair.files.resize(input.below(pair.files.size() + 1));
    case 5:
      return copy_record(pair, input);
    case 6:
      return forge_record(pair, input);
    case 7:
      return forge_list(pair, input);
    default:
      return forge_parts(pair, input);
  }
}

// Makes a block's checksum right. Zero: there is no block.
Sum fix_block(std::string& files, const Sum& key, std::uint64_t offset) {
  if (offset > files.size() || files.size() - offset < kBlockHeader) return {};
  const auto at = static_cast<std::size_t>(offset);
  const std::size_t all = files.size() - at - kBlockHeader;
  const auto size = get<std::uint64_t>(files, at + 24);
  if (size > all) return {};
  std::string bytes;
  add(bytes, key);
  bytes.append(files, at + sizeof(Sum),
               kBlockHeader - sizeof(Sum) + static_cast<std::size_t>(size));
  const Sum checksum = hash(bytes);
  put(files, at, checksum);
  return checksum;
}

void fix_lists(Pair& pair) {
  for (std::size_t i = 0; i < record_count(pair); ++i) {
    const auto record = get<DirectoryRecord>(pair.dirs, record_at(i));
    if (fix_block(pair.files, record.key, record.offset) == Sum{}) continue;
    const auto at = static_cast<std::size_t>(record.offset);
    if (get<std::uint32_t>(pair.files, at + 16) != kParts) continue;
    const auto size = static_cast<std::size_t>(get<std::uint64_t>(pair.files, at + 24));
    for (std::size_t part = 0; part < size / kPart; ++part) {
      const std::size_t place = at + kBlockHeader + part * kPart;
      const auto offset = get<std::uint64_t>(pair.files, place + sizeof(Sum));
      put(pair.files, place, fix_block(pair.files, record.key, offset));
    }
    fix_block(pair.files, record.key, record.offset);
  }
}

void fix_dirs(std::string& dirs) {
  if (dirs.size() < kDirsHeader) return;
  put(dirs, 40, (dirs.size() - kDirsHeader) / sizeof(DirectoryRecord));
  put(dirs, kDirsChecksumAt, Sum{});
  put(dirs, kDirsChecksumAt, hash(dirs));
}

// --- The directory and what is known of it

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_pair(const fs::path& place, const Pair& pair) {
  const auto write = [&](const char* extension, const std::string& bytes) {
    const fs::path path = place.string() + extension;
    unlink(path.c_str());  // it may be linked to from elsewhere
    std::ofstream(path, std::ios::binary) << bytes;
  };
  write(".dirs", pair.dirs);
  write(".files", pair.files);
}

Pair read_pair(const fs::path& place) {
  return {bytes_of(place.string() + ".dirs"), bytes_of(place.string() + ".files")};
}

std::string text_of(const std::vector<Entry>& entries) {
  std::string text;
  for (const Entry& entry : entries) {
    text += entry.path + '\0' + word(entry.type) + std::to_string(entry.mode) + ' ' +
            std::to_string(entry.size) + ' ' + entry.target + '\0' + hex(entry.content) + '\n';
  }
  return text;
}

std::string text_of(const ContextChanges& changes) {
  std::string text;
  for (const ContextChange& change : changes.entries) {
    text += word(change.kind) + (' ' + change.path) + '\n';
  }
  return text;
}

// Made once. Its files are older than a tick of the clock, so that what is known of them counts.
class World {
 public:
  World() : clock_({directory_.path()}) {
    fs::create_directory(directory_ / "cache");
    request_.root = directory_ / "tree";
    request_.rules = std::move(*IgnoreRules::parse("left\n!left/back\n*.log\n"));
    request_.clock = &clock_;
    for (const char* name : {"a/one", "a/two", "a/gone", "b/c/deep/file", "b/c/x.log", "left/back",
                             "left/out", "left/below/file", "same/1", "same/2", "top"}) {
      directory_.write(std::string("tree/") + name, name);
    }
    fs::create_symlink("../a/one", directory_ / "tree/b/link");
    fs::create_directory(directory_ / "tree/empty");
    settle();
    // An empty cache with a seed that is the same each time: an input stays what it is.
    write_pair(place(), empty());
    StatCache before(place(), identity());
    FUZZ_CHECK(before.load());
    const Sum empty_key = before.key_of("");
    request_.cache = place();
    read_tree(request_);
    pairs_[0] = read_pair(place());
    directory_.write("tree/a/two", "TWO!!");
    fs::remove(directory_ / "tree/a/gone");
    directory_.write("tree/b/c/new", "new");
    directory_.write("tree/left/back", "forth");
    settle();
    read_tree(request_);
    pairs_[1] = read_pair(place());

    request_.cache.clear();
    now_ = read_tree(request_);
    entries_ = text_of(now_.entries(request_));
    request_.cache = place();
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      write_pair(place(), pairs_[i]);
      StatCache known(place(), identity());
      FUZZ_CHECK(known.load() && known.key_of("") == empty_key);
      const auto found = changes_since(place(), root_of(place()), now_);
      FUZZ_CHECK(found.has_value());
      changes_[i] = text_of(*found);
      FUZZ_CHECK(changes_[i].empty() == (i == 1), changes_[i]);
    }
  }

  fs::path place() const { return directory_ / "cache/pair"; }
  fs::path other_place() const { return directory_ / "cache/kept"; }
  const TreeRequest& request() const { return request_; }
  std::string identity() const { return fs::absolute(request_.root); }
  /// 0: of a look before something changed; 1: of one afterwards, with lists that nobody needs.
  const Pair& pair(std::size_t which) const { return pairs_.at(which); }
  const std::string& changes(std::size_t which) const { return changes_.at(which); }
  const Snapshot& now() const { return now_; }
  const std::string& entries() const { return entries_; }

  /// The tree digest that a pair says the root has; "": it says none.
  static std::string root_of(const fs::path& place) {
    const auto kept = StatCache::open_kept(place);
    const DirectoryRecord* root = kept ? kept->find(kept->key_of("")) : nullptr;
    return root != nullptr ? hex(root->tree) : "";
  }

 private:
  static void settle() { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }

  Pair empty() const {
    Pair pair;
    pair.dirs.assign("imagewright stat cache\0\0", 24);
    add(pair.dirs, std::uint32_t{1});
    add(pair.dirs, std::uint32_t{0x01020304});
    pair.files = pair.dirs;
    const Sum lists_id{5, 6};
    add(pair.files, lists_id);
    add(pair.dirs, std::uint64_t{7});
    pair.dirs.resize(kDirsHeader);
    put(pair.dirs, kIdentityAt, hash(identity()));
    put(pair.dirs, kListsIdAt, lists_id);
    fix_dirs(pair.dirs);
    FUZZ_CHECK(pair.files.size() == kFilesHeader);
    return pair;
  }

  TempDirectory directory_;
  FileClock clock_;
  TreeRequest request_;
  std::array<Pair, 2> pairs_;
  std::array<std::string, 2> changes_;
  Snapshot now_;
  std::string entries_;
};

const World& world() {
  static const World made;
  return made;
}

// --- What must hold

// All of it, to be compared.
std::string bytes_of(const Listing& listing) {
  std::string bytes;
  const auto field = [&](std::string_view text) {
    add(bytes, text.size());
    bytes += text;
  };
  Entry value;
  for (const ListedEntry& entry : listing.entries) {
    Listing::fill(entry, value);
    field(listing.name(entry));
    const FileStat& stat = entry.stat;
    for (const std::uint64_t number :
         {stat.device, stat.inode, stat.size, stat.mtime, stat.ctime, std::uint64_t{stat.mode}}) {
      add(bytes, number);
    }
    add(bytes, value.type);
    add(bytes, value.content);
    add(bytes, value.device);
    add(bytes, entry.trusted);
    add(bytes, entry.ignored);
    field(value.target);
    for (const auto& [name, content] : value.xattrs) {
      field(name);
      field(content);
    }
  }
  return bytes;
}

std::optional<Listing> listing_of(const StatCache& cache, const DirectoryRecord& record) {
  try {
    return cache.read(record);
  } catch (const CacheDamaged&) {
    return std::nullopt;
  }
}

// A list is by name, and its names are names: who follows it stays below where it begins, and
// comes to an end.
void check_listing(const Listing& listing, const DirectoryRecord& record) {
  FUZZ_CHECK(listing.entries.size() == record.count);
  std::string_view before;
  for (const ListedEntry& entry : listing.entries) {
    const std::string_view name = listing.name(entry);
    FUZZ_CHECK(name > before, before, name);
    FUZZ_CHECK(!contains(name, "/") && !contains(name, std::string_view("\0", 1)), name);
    before = name;
  }
}

bool are_same(const StatCache& a, const StatCache& b) {
  return std::equal(a.records().begin(), a.records().end(), b.records().begin(), b.records().end(),
                    [](const DirectoryRecord& one, const DirectoryRecord& other) {
                      return std::memcmp(&one, &other, sizeof one) == 0;
                    });
}

void check_reading(bool intact) {
  StatCache cache(world().place(), world().identity());
  const bool loaded = cache.load();
  FUZZ_CHECK(loaded || cache.records().empty());
  const auto kept = StatCache::open_kept(world().place());
  FUZZ_CHECK(!loaded || (kept && are_same(*kept, cache)));
  for (const DirectoryRecord& record : cache.records()) {
    const DirectoryRecord* found = cache.find(record.key);
    FUZZ_CHECK(found != nullptr || !intact);
    FUZZ_CHECK(found == nullptr || found->key == record.key);
    if (const auto listing = listing_of(cache, record)) check_listing(*listing, record);
  }
}

Listing wide_listing(std::size_t changed) {
  constexpr std::size_t kMany = 8200;
  Listing listing;
  for (std::size_t i = 0; i < kMany; ++i) {
    ListedEntry& entry = listing.add(std::to_string(100'000 + i));
    entry.stat.inode = i + (i == changed ? kMany : 0);
  }
  return listing;
}

using Lists = std::map<Sum, std::string>;  // as bytes, by their directories' keys

void check_lists(const StatCache& cache, const Lists& lists) {
  for (const auto& [key, bytes] : lists) {
    const DirectoryRecord* record = cache.find(key);
    FUZZ_CHECK(record != nullptr);
    const auto listing = listing_of(cache, *record);
    FUZZ_CHECK(listing.has_value());
    FUZZ_CHECK(bytes_of(*listing) == bytes, bytes_of(*listing), bytes);
  }
}

void append(StatCache& cache, const Listing& listing, DirectoryRecord& record, Lists& lists) {
  const DirectoryRecord old = record;
  record.count = static_cast<std::uint32_t>(listing.entries.size());
  cache.append(listing, &old, record);
  lists[record.key] = bytes_of(listing);
}

// What is written reads back, from the same cache and from what it left on the disk.
void check_writing(bool wide) {
  StatCache cache(world().place(), world().identity());
  cache.load();
  std::vector<DirectoryRecord> records = cache.records();
  const bool all_readable = std::all_of(
      records.begin(), records.end(),
      [&](const DirectoryRecord& record) { return listing_of(cache, record).has_value(); });
  const Sum root_key = cache.key_of("");
  Lists lists;
  try {
    for (DirectoryRecord& record : records) {
      auto listing = listing_of(cache, record);
      if (!listing) continue;
      const auto last =
          listing->entries.empty() ? "" : std::string(listing->name(listing->entries.back()));
      listing->add(last + "x").trusted = true;
      append(cache, *listing, record, lists);
      if (!wide && lists.size() < 4) continue;
      if (wide) append(cache, wide_listing(1), record, lists);
      // Of the second most is what the first had.
      if (wide) append(cache, wide_listing(2), record, lists);
      break;
    }
    cache.commit(records);
  } catch (const CacheDamaged&) {
    FUZZ_CHECK(!all_readable);
    return;
  }
  StatCache again(world().place(), world().identity());
  FUZZ_CHECK(again.load());
  FUZZ_CHECK(are_same(again, cache) && again.key_of("") == root_key);
  const auto& all = cache.records();
  // Of two with one key nobody can tell which is found.
  if (std::adjacent_find(all.begin(), all.end(), [](const auto& a, const auto& b) {
        return a.key == b.key;
      }) != all.end()) {
    return;
  }
  check_lists(cache, lists);
  check_lists(again, lists);
  if (!cache.keep(world().other_place())) return;
  const auto kept = StatCache::open_kept(world().other_place());
  FUZZ_CHECK(kept && kept->key_of("") == root_key);
  check_lists(*kept, lists);
}

// What changed since, by a pair that may be anything.
void check_changes(std::size_t which, bool intact) {
  const auto found = changes_since(world().place(), World::root_of(world().place()), world().now());
  if (intact && found) {
    FUZZ_CHECK(text_of(*found) == world().changes(which), text_of(*found), world().changes(which));
  }
}

void check_look(bool intact) {
  const TreeRequest& request = world().request();
  const Snapshot first = read_tree(request);
  // What it left on the disk is as good.
  const Snapshot second = read_tree(request);
  FUZZ_CHECK(second.digest() == first.digest(), hex(second.digest()), hex(first.digest()));
  FUZZ_CHECK(!touched_since(request, first));
  if (intact) {
    FUZZ_CHECK(first.digest() == world().now().digest(), hex(first.digest()));
    FUZZ_CHECK(text_of(first.entries(request)) == world().entries());
    FUZZ_CHECK(text_of(second.entries(request)) == world().entries());
    return;
  }
  try {
    first.entries(request);
  } catch (const Error& error) {
    check_message(error.what());
  }
}

void run(Input input) {
  const auto how = input.number<std::uint8_t>();
  const std::size_t which = how & 1U;
  // (Lists are only ever added: the older records fit to the newer lists, too. Not so the other
  // way round.)
  Pair pair{world().pair(which).dirs, world().pair((how >> 1U) & 1U).files};
  const Pair before = pair;
  for (int i = 0; i < 16 && !input.at_end(); ++i) mutate(pair, input);
  const bool lists_forged = (how & 4U) != 0;
  const bool dirs_forged = (how & 8U) != 0;
  if (lists_forged) fix_lists(pair);
  if (dirs_forged) fix_dirs(pair.dirs);
  const bool intact = (!lists_forged && !dirs_forged) || pair == before;

  write_pair(world().place(), pair);
  check_reading(intact);
  check_changes(which, intact);
  check_look(intact);
  write_pair(world().place(), pair);
  check_writing(how >= 252);  // seldom wide: it takes time
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace imagewright::fuzz;
  run(Input(as_text(data, size)));
  return 0;
}
