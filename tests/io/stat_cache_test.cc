#include "io/stat_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "temp_directory.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string number(std::size_t i) {
  const std::string digits = std::to_string(i);
  return std::string(8 - digits.size(), '0') + digits;
}

// One entry of each kind and with each thing that an entry can have, and `files` more.
Listing listing(std::size_t files, std::uint64_t size = 1) {
  Listing result;
  for (std::size_t i = 0; i < files; ++i) {
    ListedEntry& file = result.add(number(i));
    file.stat = {1, i, size, 3, 4, S_IFREG | 0644};
    file.content = sha256(number(i) + std::to_string(size));
    file.trusted = i % 3 != 0;
  }
  ListedEntry& directory = result.add("directory");
  directory.type = EntryType::Directory;
  directory.stat = {1, 2, 3, 4, 5, S_IFDIR | 0755};
  directory.ignored = true;
  ListedEntry& file = result.add("file\n\xff");
  file.stat = {~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, S_IFREG | 07777};
  file.trusted = true;
  file.content = sha256("content");
  file.extra = std::make_unique<ListedEntry::Extra>();
  file.extra->xattrs = {{"user.a", std::string("\0\1", 2)}, {"user.b", ""}};
  ListedEntry& link = result.add("link");
  link.type = EntryType::Symlink;
  link.extra = std::make_unique<ListedEntry::Extra>();
  link.extra->target = "../target";
  ListedEntry& device = result.add("null");
  device.type = EntryType::Character;
  device.extra = std::make_unique<ListedEntry::Extra>();
  device.extra->device = 259;
  result.sort();
  return result;
}

std::string text(const Listing& listing) {
  std::string all;
  for (const ListedEntry& entry : listing.entries) {
    Entry value;
    Listing::fill(entry, value);
    all += std::string(listing.name(entry)) + " " + word(value.type) + " " +
           std::to_string(value.mode) + " " + std::to_string(value.size) + " " + value.target +
           " " + std::to_string(value.device) + " " + hex(value.content) +
           (entry.trusted ? " trusted" : "") + (entry.ignored ? " ignored" : "") + " " +
           std::to_string(entry.stat.device) + " " + std::to_string(entry.stat.inode) + " " +
           std::to_string(entry.stat.mtime) + " " + std::to_string(entry.stat.ctime) + " " +
           std::to_string(entry.stat.mode);
    for (const auto& [key, bytes] : value.xattrs) all += " " + key + "=" + bytes;
    all += "\n";
  }
  return all;
}

DirectoryRecord append(StatCache& cache, const std::string& path, const Listing& listing,
                       const DirectoryRecord* old = nullptr) {
  DirectoryRecord record;
  record.key = cache.key_of(path);
  record.count = static_cast<std::uint32_t>(listing.entries.size());
  record.tree = sha256(path);
  cache.append(listing, old, record);
  return record;
}

// A cache that is kept at `place` and knows one directory.
std::unique_ptr<StatCache> kept(const fs::path& place, std::size_t files,
                                const std::string& identity = "identity") {
  auto cache = std::make_unique<StatCache>(place, identity);
  cache->commit({append(*cache, "d", listing(files))});
  return cache;
}

std::vector<std::string> names(const fs::path& directory) {
  std::vector<std::string> result;
  for (const auto& entry : fs::directory_iterator(directory)) {
    result.push_back(entry.path().filename().string());
  }
  std::sort(result.begin(), result.end());
  return result;
}

TEST(StatCache, SumsCanBeTakenBackInAnyOrder) {
  std::mt19937_64 random(1);
  std::vector<Sum> parts(100);
  Sum all;
  for (Sum& part : parts) {
    part = {random(), random()};
    all += part;
  }
  std::shuffle(parts.begin(), parts.end(), random);
  Sum again;
  for (const Sum& part : parts) again += part;
  EXPECT_EQ(again, all);
  for (const Sum& part : parts) all -= part;
  EXPECT_EQ(all, Sum{});
  Sum carried{~0ULL, 0};
  carried += Sum{1, 0};
  EXPECT_EQ(carried, (Sum{0, 1}));
}

// A sum that left something out would take a changed entry for the old one.
TEST(StatCache, EverythingThatIsKnownOfAnEntryCountsForTheSum) {
  const TempDirectory directory;
  const StatCache cache(directory / "c", "");
  const FileStat stat = {1, 2, 3, 4, 5, 6};
  const Sum sum = cache.sum_of("name", stat, false);
  EXPECT_EQ(cache.sum_of("name", stat, false), sum);
  EXPECT_NE(cache.sum_of("nam", stat, false), sum);
  EXPECT_NE(cache.sum_of("name", stat, true), sum);
  for (auto change : {+[](FileStat& s) { ++s.device; }, +[](FileStat& s) { ++s.inode; },
                      +[](FileStat& s) { ++s.size; }, +[](FileStat& s) { ++s.mtime; },
                      +[](FileStat& s) { ++s.ctime; }, +[](FileStat& s) { ++s.mode; }}) {
    FileStat other = stat;
    change(other);
    EXPECT_NE(cache.sum_of("name", other, false), sum);
    EXPECT_FALSE(other == stat);
  }
  DirectoryRecord record;
  const Sum whole = cache.sum_of(record);
  DirectoryRecord more = record;
  more.count = 1;
  EXPECT_NE(cache.sum_of(more), whole);
  more = record;
  more.sum.high = 1;
  EXPECT_NE(cache.sum_of(more), whole);
  more = record;
  more.key.low = 1;
  EXPECT_NE(cache.sum_of(more), whole);
}

TEST(StatCache, EveryKindOfEntryComesBackAsItWas) {
  const TempDirectory directory;
  kept(directory / "c", 3);
  StatCache cache(directory / "c", "identity");
  ASSERT_TRUE(cache.load());
  const DirectoryRecord* record = cache.find(cache.key_of("d"));
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(record->tree, sha256("d"));
  EXPECT_EQ(text(cache.read(*record)), text(listing(3)));
  EXPECT_EQ(cache.find(cache.key_of("e")), nullptr);
  EXPECT_EQ(cache.find(cache.key_of("")), nullptr);
}

TEST(StatCache, EveryRecordIsFoundAndNoOther) {
  const TempDirectory directory;
  StatCache cache(directory / "c", "");
  EXPECT_EQ(cache.find({}), nullptr);
  for (const std::size_t count : {1U, 2U, 3U, 50U, 3000U}) {
    std::vector<DirectoryRecord> records(count);
    for (std::size_t i = 0; i < count; ++i) records[i].key = cache.key_of(number(i));
    // The ends, too.
    if (count > 2) {
      records[0].key = {0, 0};
      records[1].key = {~0ULL, ~0ULL};
    }
    cache.commit(records);
    for (const DirectoryRecord& record : records) {
      const DirectoryRecord* found = cache.find(record.key);
      ASSERT_NE(found, nullptr);
      ASSERT_EQ(found->key, record.key);
    }
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(cache.find(cache.key_of("other" + number(i))), nullptr);
    }
  }
}

// All keys in one corner: the guess of where one stands is wrong each time.
TEST(StatCache, RecordsAreFoundHoweverTheirKeysLie) {
  const TempDirectory directory;
  StatCache cache(directory / "c", "");
  for (const std::uint64_t from : {std::uint64_t{0}, ~std::uint64_t{0} - 2000}) {
    std::vector<DirectoryRecord> records(500);
    for (std::size_t i = 0; i < records.size(); ++i) records[i].key = {from + 2 * i + 1, i};
    cache.commit(records);
    for (std::size_t i = 0; i < records.size(); ++i) {
      ASSERT_NE(cache.find({from + 2 * i + 1, i}), nullptr);
      ASSERT_EQ(cache.find({from + 2 * i + 1, i + 1}), nullptr);
      ASSERT_EQ(cache.find({from + 2 * i, i}), nullptr);
    }
  }
}

TEST(StatCache, OneOfAnotherDirectoryIsAsGoodAsNone) {
  const TempDirectory directory;
  kept(directory / "c", 1, "/one");
  StatCache other(directory / "c", "/other");
  EXPECT_FALSE(other.load());
  EXPECT_TRUE(other.records().empty());
  EXPECT_NE(StatCache::open_kept(directory / "c"), nullptr) << "of whatever it was";
  EXPECT_EQ(StatCache::open_kept(directory / "d"), nullptr);
  EXPECT_EQ(StatCache::open_kept(""), nullptr);
}

TEST(StatCache, WhatCannotBeWrittenIsKeptInMemoryOnly) {
  const TempDirectory directory;
  directory.write("file", "");
  for (const fs::path& place : {directory / "file/c", fs::path("/proc/none/c"), fs::path()}) {
    auto cache = std::make_unique<StatCache>(place, "");
    // More than is held in memory, too.
    for (const std::size_t files : {3U, 14'000U}) {
      const DirectoryRecord record = append(*cache, "d", listing(files));
      cache->commit({record});
      ASSERT_EQ(text(cache->read(record)), text(listing(files))) << place;
    }
    EXPECT_FALSE(StatCache(place, "").load());
  }
}

TEST(StatCache, TheDirectoryForItIsMade) {
  const TempDirectory directory;
  kept(directory / "a/b/c", 1);
  EXPECT_TRUE(StatCache(directory / "a/b/c", "identity").load());
}

// --- Damage

TEST(StatCache, NoByteOfTheRecordsCanChangeUnnoticed) {
  const TempDirectory directory;
  kept(directory / "c", 1);
  const std::string good = bytes_of(directory / "c.dirs");
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      write_bytes(directory / "c.dirs", bad);
      StatCache cache(directory / "c", "identity");
      ASSERT_FALSE(cache.load()) << "byte " << i;
      ASSERT_TRUE(cache.records().empty());
    }
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    write_bytes(directory / "c.dirs", good.substr(0, size));
    ASSERT_FALSE(StatCache(directory / "c", "identity").load()) << size << " bytes";
  }
  write_bytes(directory / "c.dirs", good + std::string(sizeof(DirectoryRecord), '\0'));
  EXPECT_FALSE(StatCache(directory / "c", "identity").load());
  write_bytes(directory / "c.dirs", good);
  EXPECT_TRUE(StatCache(directory / "c", "identity").load());
}

TEST(StatCache, NoByteOfAListCanChangeUnnoticed) {
  const TempDirectory directory;
  kept(directory / "c", 1);
  const std::string good = bytes_of(directory / "c.files");
  StatCache known(directory / "c", "identity");
  ASSERT_TRUE(known.load());
  const DirectoryRecord record = known.records().front();
  const auto read = [&](const std::string& bytes) {
    write_bytes(directory / "c.files", bytes);
    StatCache cache(directory / "c", "identity");
    EXPECT_TRUE(cache.load());
    return text(cache.read(record));
  };
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      ASSERT_THROW(read(bad), CacheDamaged) << "byte " << i;
    }
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    ASSERT_THROW(read(good.substr(0, size)), CacheDamaged) << size << " bytes";
  }
  EXPECT_EQ(read(good), text(listing(1)));
  EXPECT_EQ(read(good + "more"), text(listing(1))) << "what another run began to append";
}

// It was read into memory whole before anything about it was looked at.
TEST(StatCache, AHugeFileInItsPlaceIsAsGoodAsNone) {
  const TempDirectory directory;
  kept(directory / "c", 1);
  const auto size = static_cast<off_t>(fs::file_size(directory / "c.dirs"));
  const off_t records = (off_t{1} << 42) / static_cast<off_t>(sizeof(DirectoryRecord));
  ASSERT_EQ(truncate((directory / "c.dirs").c_str(),
                     size + records * static_cast<off_t>(sizeof(DirectoryRecord))),
            0);
  EXPECT_FALSE(StatCache(directory / "c", "identity").load());
}

// A FIFO made it wait for ever.
TEST(StatCache, AnythingElseInItsPlaceIsAsGoodAsNone) {
  for (const bool fifo : {true, false}) {
    const TempDirectory directory;
    const auto make = [&](const char* name) {
      fs::remove(directory / name);
      ASSERT_EQ(
          fifo ? mkfifo((directory / name).c_str(), 0600) : mkdir((directory / name).c_str(), 0700),
          0);
    };
    kept(directory / "c", 1);
    StatCache loaded(directory / "c", "identity");
    ASSERT_TRUE(loaded.load());
    make("c.files");
    EXPECT_THROW(loaded.read(loaded.records().front()), CacheDamaged);
    make("c.dirs");
    StatCache cache(directory / "c", "identity");
    EXPECT_FALSE(cache.load());
    const DirectoryRecord record = append(cache, "d", listing(2));
    cache.commit({record});
    EXPECT_EQ(text(cache.read(record)), text(listing(2)));
  }
}

TEST(StatCache, RecordsOfAnotherFileOfListsAreNotReadFromIt) {
  const TempDirectory directory;
  kept(directory / "c", 1);
  const std::string records = bytes_of(directory / "c.dirs");
  kept(directory / "c", 1);
  write_bytes(directory / "c.dirs", records);
  StatCache cache(directory / "c", "identity");
  ASSERT_TRUE(cache.load());
  EXPECT_THROW(cache.read(cache.records().front()), CacheDamaged);
  DirectoryRecord record;
  EXPECT_THROW(cache.append(listing(1), nullptr, record), CacheDamaged);
  cache.reset();
  record = append(cache, "d", listing(2));
  EXPECT_EQ(text(cache.read(record)), text(listing(2)));
}

// One directory's list in another's place is whole, but not its own.
TEST(StatCache, AListIsReadOnlyForItsDirectory) {
  const TempDirectory directory;
  StatCache cache(directory / "c", "");
  const DirectoryRecord one = append(cache, "one", listing(1));
  const DirectoryRecord two = append(cache, "two", listing(1));
  cache.commit({one, two});
  DirectoryRecord wrong = one;
  wrong.offset = two.offset;
  EXPECT_THROW(cache.read(wrong), CacheDamaged);
  wrong = one;
  ++wrong.count;
  EXPECT_THROW(cache.read(wrong), CacheDamaged);
  for (const std::uint64_t offset :
       {one.offset + 1, ~std::uint64_t{0}, ~std::uint64_t{0} - 100, std::uint64_t{1} << 62}) {
    wrong = one;
    wrong.offset = offset;
    EXPECT_THROW(cache.read(wrong), CacheDamaged);
  }
}

// --- Growth

TEST(StatCache, OfAWideDirectoryOnlyThePartThatChangedIsWritten) {
  const TempDirectory directory;
  constexpr std::size_t kFiles = 20'000;
  kept(directory / "c", kFiles);
  const auto size = fs::file_size(directory / "c.files");
  StatCache cache(directory / "c", "identity");
  ASSERT_TRUE(cache.load());
  const DirectoryRecord old = cache.records().front();
  Listing changed = listing(kFiles);
  changed.entries[kFiles / 2].content = sha256("changed");
  const DirectoryRecord record = append(cache, "d", changed, &old);
  EXPECT_EQ(record.bytes, old.bytes) << "of its list in all";
  cache.commit({record});
  EXPECT_LT(fs::file_size(directory / "c.files") - size, size / 2);
  StatCache again(directory / "c", "identity");
  ASSERT_TRUE(again.load());
  EXPECT_EQ(text(again.read(again.records().front())), text(changed));
  EXPECT_EQ(text(again.read(old)), text(listing(kFiles)));
}

TEST(StatCache, WhatIsNoLongerNeededIsSweptOutAndTheRestStays) {
  const TempDirectory directory;
  constexpr std::size_t kFiles = 8'000;
  kept(directory / "c", kFiles);
  std::uint64_t largest = 0;
  bool swept = false;
  std::uint64_t before = 0;
  for (std::uint64_t round = 1; round < 10; ++round) {
    StatCache cache(directory / "c", "identity");
    ASSERT_TRUE(cache.load());
    std::vector<DirectoryRecord> records = {append(cache, "d", listing(kFiles, round))};
    if (const DirectoryRecord* stays = cache.find(cache.key_of("stays"))) {
      records.push_back(*stays);
    } else {
      records.push_back(append(cache, "stays", listing(100)));
    }
    cache.commit(records);
    const std::uint64_t size = fs::file_size(directory / "c.files");
    largest = std::max(largest, size);
    if (size < before) {
      swept = true;
      ASSERT_EQ(text(cache.read(*cache.find(cache.key_of("d")))), text(listing(kFiles, round)));
    }
    before = size;
    ASSERT_EQ(text(cache.read(*cache.find(cache.key_of("stays")))), text(listing(100)));
  }
  EXPECT_TRUE(swept);
  EXPECT_LT(largest, 5 * before);
  EXPECT_THAT(names(directory.path()), testing::ElementsAre("c.dirs", "c.files", "lock"));
}

// --- Kept under another name

TEST(StatCache, WhatIsKeptStaysWhateverComesLater) {
  const TempDirectory directory;
  const auto cache = kept(directory / "c", 10);
  ASSERT_TRUE(cache->keep(directory / "kept"));
  ASSERT_TRUE(cache->keep(directory / "kept")) << "a second time";
  const auto check = [&](const std::string& when) {
    const auto old = StatCache::open_kept(directory / "kept");
    ASSERT_NE(old, nullptr) << when;
    ASSERT_EQ(text(old->read(old->records().front())), text(listing(10))) << when;
  };
  check("at once");
  StatCache later(directory / "c", "identity");
  ASSERT_TRUE(later.load());
  later.commit({append(later, "d", listing(20))});
  check("after a change");
  for (int i = 0; i < 10; ++i) {
    later.commit({append(later, "d", listing(10'000, static_cast<std::uint64_t>(i)))});
  }
  check("after it was swept out");
  later.reset();
  later.commit({append(later, "d", listing(30))});
  check("after it was written anew");
  fs::remove(directory / "c.dirs");
  fs::remove(directory / "c.files");
  check("after it was deleted");
}

// A link to a file of which half is no longer needed would be twice what it says.
TEST(StatCache, WhatIsKeptHoldsLittleThatIsNoLongerNeeded) {
  const TempDirectory directory;
  constexpr int kDirectories = 100;
  std::vector<DirectoryRecord> records;
  StatCache first(directory / "c", "identity");
  for (int i = 0; i < kDirectories; ++i)
    records.push_back(append(first, std::to_string(i), listing(500)));
  first.commit(records);
  StatCache cache(directory / "c", "identity");
  ASSERT_TRUE(cache.load());
  for (int i = 0; i < kDirectories * 9 / 10; ++i)
    records[static_cast<std::size_t>(i)] = append(cache, std::to_string(i), listing(500, 1));
  std::uint64_t live = 0;
  for (const DirectoryRecord& record : records) live += record.bytes;
  cache.commit(records);
  ASSERT_GT(live, std::uint64_t{2} << 20) << "too little for this test";
  ASSERT_GT(fs::file_size(directory / "c.files"), live + live / 2);
  ASSERT_TRUE(cache.keep(directory / "kept"));
  EXPECT_LT(fs::file_size(directory / "kept.files"), live + live / 4);
  const auto old = StatCache::open_kept(directory / "kept");
  ASSERT_NE(old, nullptr);
  for (const DirectoryRecord& record : old->records()) {
    const std::string its = text(old->read(record));
    ASSERT_TRUE(its == text(listing(500)) || its == text(listing(500, 1)));
  }
}

TEST(StatCache, KeepingKeepsWhatItSaysNotWhatAnotherRunWrote) {
  const TempDirectory directory;
  const auto cache = kept(directory / "c", 10);
  StatCache other(directory / "c", "identity");
  ASSERT_TRUE(other.load());
  other.commit({append(other, "d", listing(20))});
  ASSERT_TRUE(cache->keep(directory / "kept"));
  const auto old = StatCache::open_kept(directory / "kept");
  ASSERT_NE(old, nullptr);
  EXPECT_EQ(text(old->read(old->records().front())), text(listing(10)));
}

TEST(StatCache, WhatIsInMemoryOnlyCanBeKept) {
  const TempDirectory directory;
  StatCache cache("", "");
  cache.commit({append(cache, "d", listing(20'000))});
  ASSERT_TRUE(cache.keep(directory / "new/kept"));
  const auto old = StatCache::open_kept(directory / "new/kept");
  ASSERT_NE(old, nullptr);
  EXPECT_EQ(text(old->read(old->records().front())), text(listing(20'000)));
  directory.write("file", "");
  EXPECT_FALSE(cache.keep(directory / "file/kept"));
}

// A link that a run left when it was killed was written through: into the cache itself.
TEST(StatCache, ALinkLeftByAKilledRunIsNotWrittenThrough) {
  const TempDirectory directory;
  kept(directory / "c", 10);
  const std::string records = bytes_of(directory / "c.dirs");
  const std::string lists = bytes_of(directory / "c.files");
  // Whatever the temporary names: every one that a keeping run can leave.
  for (const char* name : {"kept.dirs.new", "new.dirs", "new"}) {
    fs::create_hard_link(directory / "c.dirs", directory / name);
  }
  for (const char* name : {"kept.files.new", "new.files"}) {
    fs::create_hard_link(directory / "c.files", directory / name);
  }
  StatCache memory("", "other");
  memory.commit({append(memory, "d", listing(5))});
  ASSERT_TRUE(memory.keep(directory / "kept"));
  EXPECT_EQ(bytes_of(directory / "c.dirs"), records);
  EXPECT_EQ(bytes_of(directory / "c.files"), lists);
}

// --- Several at once

TEST(StatCache, OfTwoRunsTheOneThatComesLaterDoesNotHarmTheFirst) {
  const TempDirectory directory;
  kept(directory / "c", 10);
  StatCache one(directory / "c", "identity");
  StatCache two(directory / "c", "identity");
  ASSERT_TRUE(one.load());
  ASSERT_TRUE(two.load());
  const DirectoryRecord of_one = append(one, "d", listing(20));
  const DirectoryRecord of_two = append(two, "d", listing(30));
  one.commit({of_one});
  two.commit({of_two});
  EXPECT_EQ(text(one.read(of_one)), text(listing(20)));
  EXPECT_EQ(text(two.read(of_two)), text(listing(30)));
  StatCache after(directory / "c", "identity");
  ASSERT_TRUE(after.load());
  EXPECT_EQ(text(after.read(after.records().front())), text(listing(20)));
}

TEST(StatCache, OneWhoseFileWasReplacedKeepsWhatItHasReadAndSaysSoOfTheRest) {
  const TempDirectory directory;
  kept(directory / "c", 10);
  StatCache reader(directory / "c", "identity");
  StatCache late(directory / "c", "identity");
  ASSERT_TRUE(reader.load());
  ASSERT_TRUE(late.load());
  const DirectoryRecord record = reader.records().front();
  EXPECT_EQ(text(reader.read(record)), text(listing(10)));
  kept(directory / "c", 10);  // as long as the one before
  EXPECT_EQ(text(reader.read(record)), text(listing(10)));
  EXPECT_THROW(late.read(record), CacheDamaged);
  // What it writes now does not go into the other's file.
  const std::string other = bytes_of(directory / "c.files");
  reader.commit({append(reader, "d", listing(40))});
  EXPECT_EQ(bytes_of(directory / "c.files"), other);
  EXPECT_EQ(text(reader.read(reader.records().front())), text(listing(40)));
}

TEST(StatCache, WhileAnotherWritesItIsNotWritten) {
  const TempDirectory directory;
  kept(directory / "c", 10);
  const std::string records = bytes_of(directory / "c.dirs");
  const int lock = open((directory / "lock").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  StatCache cache(directory / "c", "identity");
  ASSERT_TRUE(cache.load());
  const DirectoryRecord record = append(cache, "d", listing(20));
  cache.commit({record});
  EXPECT_EQ(bytes_of(directory / "c.dirs"), records);
  EXPECT_EQ(text(cache.read(record)), text(listing(20)));
  close(lock);
  cache.commit({record});
  EXPECT_NE(bytes_of(directory / "c.dirs"), records);
}

TEST(StatCache, SeveralThreadsMayReadAndAppend) {
  const TempDirectory directory;
  {
    StatCache cache(directory / "c", "identity");
    std::vector<DirectoryRecord> records;
    for (std::size_t i = 0; i < 100; ++i) records.push_back(append(cache, number(i), listing(i)));
    cache.commit(records);
  }
  StatCache cache(directory / "c", "identity");
  ASSERT_TRUE(cache.load());
  std::vector<DirectoryRecord> records(100);
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::size_t k = next++; k < records.size(); k = next++) {
        const DirectoryRecord* old = cache.find(cache.key_of(number(k)));
        ASSERT_NE(old, nullptr);
        ASSERT_EQ(text(cache.read(*old)), text(listing(k)));
        records[k] = append(cache, number(k), listing(200 - k), old);
        ASSERT_EQ(text(cache.read(records[k])), text(listing(200 - k)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  cache.commit(records);
  StatCache again(directory / "c", "identity");
  ASSERT_TRUE(again.load());
  for (std::size_t k = 0; k < records.size(); ++k) {
    EXPECT_EQ(text(again.read(*again.find(again.key_of(number(k))))), text(listing(200 - k)));
  }
}

// --- Killed

// Whatever the moment: the file of records is whole, its list is what was once written or says that
// it is not, and what is left of it is as much as one run leaves.
TEST(StatCache, KilledWhileItIsWrittenItIsWhole) {
  const TempDirectory directory;
  kept(directory / "c", 500);
  std::mt19937 random(7);
  constexpr int kRounds = 40;
  int damaged = 0;
  // Of which of the listings it is.
  const auto check = [](const StatCache& cache) {
    const Listing read = cache.read(cache.records().front());
    ASSERT_EQ(text(read), text(listing(500, read.entries.front().stat.size)));
  };
  for (int round = 0; round < kRounds; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (std::uint64_t i = 0;; ++i) {
        StatCache cache(directory / "c", "identity");
        cache.load();
        // (Killed just before, it may have the records of another file of lists: then all anew.)
        try {
          cache.commit({append(cache, "d", listing(500, i))});
        } catch (const CacheDamaged&) {
          cache.reset();
          cache.commit({append(cache, "d", listing(500, i))});
        }
        // Another name each time, as contexts have.
        cache.keep(directory / ("kept" + std::to_string(i % 5)));
      }
    }
    usleep(static_cast<useconds_t>(500 + random() % 8000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    StatCache cache(directory / "c", "identity");
    ASSERT_TRUE(cache.load()) << "round " << round;
    std::vector<std::unique_ptr<StatCache>> all;
    for (int i = 0; i < 5; ++i) {
      all.push_back(StatCache::open_kept(directory / ("kept" + std::to_string(i))));
    }
    try {
      check(cache);
      for (const auto& one : all) {
        if (one) check(*one);
      }
    } catch (const CacheDamaged&) {
      ++damaged;
    }
  }
  EXPECT_LT(damaged, kRounds * 3 / 4);  // (under load more of them are hit while they write)
  std::size_t temporary = 0;
  for (const std::string& name : names(directory.path())) {
    if (name.find("new") != std::string::npos) ++temporary;
  }
  EXPECT_LE(temporary, 2U) << testing::PrintToString(names(directory.path()));
}

}  // namespace
}  // namespace imagewright
