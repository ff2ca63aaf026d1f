#include "core/context.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

Entry file(const std::string& path, const std::string& bytes) {
  Entry entry;
  entry.path = path;
  entry.mode = 0644;
  entry.size = bytes.size();
  entry.content = sha256(bytes);
  return entry;
}

Entry directory(const std::string& path) {
  Entry entry;
  entry.path = path;
  entry.type = EntryType::Directory;
  entry.mode = 0755;
  return entry;
}

Digest digest(std::vector<Entry> entries) {
  sort_by_path(entries);
  return context_digest(entries);
}

const std::vector<Entry> kTree = {file("a", "1"), directory("d"), file("d/b", "2"),
                                  file("d-x", "3")};

TEST(Context, OrderIsByPathByteByByte) {
  std::vector<Entry> entries = {file("d/b", ""), file("d-x", ""), directory("d"), file("B", "")};
  sort_by_path(entries);
  EXPECT_EQ(entries[0].path, "B");
  EXPECT_EQ(entries[1].path, "d");
  EXPECT_EQ(entries[2].path, "d-x");
  EXPECT_EQ(entries[3].path, "d/b");
}

TEST(Context, TheDigestDoesNotDependOnTheOrderOfTheWalk) {
  std::vector<Entry> reversed(kTree.rbegin(), kTree.rend());
  EXPECT_EQ(digest(kTree), digest(reversed));
}

// The digest is part of the format: a change rebuilds every image once and needs a new
// kFingerprintFormat.
TEST(Context, TheDigestIsTheOneOfThisFormat) {
  EXPECT_EQ(hex(digest({})), hex([] {
              Sha256 own;
              own.update_field("imagewright context 1");
              const Digest digest = own.finish();
              return sha256({reinterpret_cast<const char*>(digest.data()), digest.size()});
            }()));
}

TEST(Context, EveryPropertyOfAnEntryCounts) {
  const Digest before = digest(kTree);
  const auto changed = [&](auto&& change, std::size_t which = 0) {
    std::vector<Entry> entries = kTree;
    change(entries[which]);
    return digest(entries) != before;
  };
  EXPECT_TRUE(changed([](Entry& entry) { entry.path = "A"; }));
  EXPECT_TRUE(changed([](Entry& entry) { entry.mode = 0755; }));
  EXPECT_TRUE(changed([](Entry& entry) { entry.content[31] ^= 1; }));
  EXPECT_TRUE(changed([](Entry& entry) { entry.xattrs.emplace_back("user.a", "b"); }));
  EXPECT_TRUE(changed([](Entry& entry) { entry.type = EntryType::Symlink; }));
  EXPECT_TRUE(changed([](Entry& entry) { entry.target = "b"; }));
  EXPECT_TRUE(changed([](Entry& entry) { entry.device = 1; }));
  EXPECT_TRUE(changed([](Entry& entry) { entry.mode = 0700; }, 1)) << "a directory's mode";
  EXPECT_TRUE(changed([](Entry& entry) { entry.content[0] ^= 1; }, 2)) << "a file further down";
}

TEST(Context, AnEmptyDirectoryCounts) {
  std::vector<Entry> entries = kTree;
  entries.push_back(directory("empty"));
  EXPECT_NE(digest(entries), digest(kTree));
}

TEST(Context, AFileMovedToAnotherDirectoryCounts) {
  EXPECT_NE(digest({directory("d"), directory("e"), file("d/b", "2")}),
            digest({directory("d"), directory("e"), file("e/b", "2")}));
}

TEST(Context, BordersBetweenFieldsCannotBeMovedByTheirBytes) {
  Entry one = file("a", "");
  one.xattrs = {{"user.a", "bc"}};
  Entry other = file("a", "");
  other.xattrs = {{"user.ab", "c"}};
  EXPECT_NE(digest({one}), digest({other}));
}

}  // namespace
}  // namespace imagewright
