#include "core/change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace imagewright {
namespace {

using testing::ElementsAre;

std::string number(std::size_t i) {
  const std::string digits = std::to_string(i);
  return std::string(6 - digits.size(), '0') + digits;
}

TEST(Change, EveryKindHasAWordOfItsOwn) {
  EXPECT_STREQ(word(ChangeKind::Added), "added");
  EXPECT_STREQ(word(ChangeKind::Removed), "removed");
  EXPECT_STREQ(word(ChangeKind::Content), "content");
  EXPECT_STREQ(word(ChangeKind::Mode), "mode");
  EXPECT_STREQ(word(ChangeKind::Target), "target");
  EXPECT_STREQ(word(ChangeKind::Type), "type");
  EXPECT_STREQ(word(ChangeKind::Attributes), "attributes");
}

TEST(Change, AllButAddedAndRemovedIsChanged) {
  ContextChanges changes;
  EXPECT_TRUE(changes.empty());
  changes.add(ChangeKind::Added, "a");
  changes.add(ChangeKind::Removed, "b");
  changes.add(ChangeKind::Removed, "c");
  for (const auto kind : {ChangeKind::Content, ChangeKind::Mode, ChangeKind::Target,
                          ChangeKind::Type, ChangeKind::Attributes}) {
    changes.add(kind, std::string("d") + word(kind));
  }
  EXPECT_FALSE(changes.empty());
  EXPECT_EQ(changes.added, 1U);
  EXPECT_EQ(changes.removed, 2U);
  EXPECT_EQ(changes.changed, 5U);
}

TEST(Change, TheyAreByPathBytewiseWhateverTheOrderTheyCameIn) {
  ContextChanges changes;
  for (const char* path : {"b", "a/b", "\xc3\xa4", "a", "Z", "a.c"}) {
    changes.add(ChangeKind::Added, path);
  }
  std::vector<std::string> paths;
  for (const ContextChange& change : changes.entries) paths.push_back(change.path);
  EXPECT_THAT(paths, ElementsAre("Z", "a", "a.c", "a/b", "b", "\xc3\xa4"));
}

TEST(Change, TheFirstThousandByPathAreNamedAndAllAreCounted) {
  std::vector<std::size_t> order(3 * ContextChanges::kNamed);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  ContextChanges first;
  for (int round = 0; round < 3; ++round) {
    ContextChanges changes;
    for (const std::size_t i : order) {
      changes.add(i % 3 == 0 ? ChangeKind::Added : ChangeKind::Content, number(i));
    }
    EXPECT_EQ(changes.added, ContextChanges::kNamed);
    EXPECT_EQ(changes.changed, 2 * ContextChanges::kNamed);
    ASSERT_EQ(changes.entries.size(), ContextChanges::kNamed);
    for (std::size_t i = 0; i < changes.entries.size(); ++i) {
      ASSERT_EQ(changes.entries[i].path, number(i)) << "round " << round;
    }
    if (round == 0) first = changes;
    EXPECT_EQ(changes, first);
    // The next rounds: backwards, and shuffled.
    if (round == 0) {
      std::reverse(order.begin(), order.end());
    } else {
      std::shuffle(order.begin(), order.end(), std::mt19937(1));
    }
  }
}

TEST(Change, ALineNamesThreeAndSaysThatThereAreMore) {
  ContextChanges changes;
  changes.add(ChangeKind::Content, "src/a.cc");
  EXPECT_EQ(describe(changes), "1 changed: src/a.cc");
  changes.add(ChangeKind::Added, "src/b.cc");
  changes.add(ChangeKind::Removed, "src/c.cc");
  EXPECT_EQ(describe(changes), "1 changed, 1 added, 1 removed: src/a.cc, src/b.cc, src/c.cc");
  changes.add(ChangeKind::Mode, "src/d.cc");
  EXPECT_EQ(describe(changes), "2 changed, 1 added, 1 removed: src/a.cc, src/b.cc, src/c.cc, …");
}

TEST(Change, ANameWithANewlineStaysInItsLine) {
  ContextChanges changes;
  changes.add(ChangeKind::Added, "a\nb\x1b[31m\x7f");
  EXPECT_EQ(describe(changes), "1 added: a?b?[31m?");
}

}  // namespace
}  // namespace imagewright
