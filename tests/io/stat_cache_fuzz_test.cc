// What fuzzing the stat cache's files has found (tests/fuzz/stat_cache.cc).
#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <string_view>

#include "io/stat_cache.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

// Were two of a directory's entries the directory itself, who follows them would never end.
TEST(StatCacheFuzz, AListThatIsNoListOfNamesIsDamaged) {
  const auto is_damaged = [](std::initializer_list<std::string_view> names) {
    StatCache cache("", "");
    Listing listing;
    for (const std::string_view name : names) listing.add(name);
    DirectoryRecord record;
    record.count = static_cast<std::uint32_t>(names.size());
    cache.append(listing, nullptr, record);
    try {
      cache.read(record);
      return false;
    } catch (const CacheDamaged&) {
      return true;
    }
  };
  EXPECT_FALSE(is_damaged({}));
  EXPECT_FALSE(is_damaged({"a", "a-b", "b"}));
  EXPECT_TRUE(is_damaged({""}));
  EXPECT_TRUE(is_damaged({"", "a"}));
  EXPECT_TRUE(is_damaged({"a", "a"}));
  EXPECT_TRUE(is_damaged({"b", "a"}));
  EXPECT_TRUE(is_damaged({"a/b"}));
  EXPECT_TRUE(is_damaged({"..", "../a"}));
  EXPECT_TRUE(is_damaged({std::string_view("a\0b", 3)}));
}

// It was more than a string can hold: std::length_error, or all of the memory.
TEST(StatCacheFuzz, OfAListThatSaysItIsHugeOnlyWhatIsThereIsRead) {
  // A block's header (docs/formats.md) within a list so long that it is no longer in memory.
  std::string value(std::size_t{2} << 20U, 'x');
  const std::uint64_t size = ~std::uint64_t{0} >> 1U;
  std::memset(value.data(), 0, 32);
  std::memcpy(value.data() + 24, &size, sizeof size);
  Listing listing;
  ListedEntry& link = listing.add("a");
  link.type = EntryType::Symlink;
  link.extra = std::make_unique<ListedEntry::Extra>();
  link.extra->xattrs = {{"user.a", value}};
  StatCache cache("", "");
  DirectoryRecord record;
  record.count = 1;
  cache.append(listing, nullptr, record);
  EXPECT_EQ(cache.read(record).entries.size(), 1U);
  // The block's header, the entry's, its name, its empty target, its device, the number of
  // attributes, the attribute's name, and the length of its value.
  record.offset += 32 + 48 + 1 + 4 + 8 + 4 + (4 + 6) + 4;
  record.bytes = ~std::uint64_t{0};
  EXPECT_THROW(cache.read(record), CacheDamaged);
}

// (Copying nothing from nowhere is undefined, too: the sanitizer sees it here.)
TEST(StatCacheFuzz, OneWithoutRecordsIsRead) {
  const TempDirectory directory;
  StatCache cache(directory / "cache", "identity");
  cache.commit({});
  StatCache again(directory / "cache", "identity");
  EXPECT_TRUE(again.load());
  EXPECT_TRUE(again.records().empty());
}

}  // namespace
}  // namespace imagewright
