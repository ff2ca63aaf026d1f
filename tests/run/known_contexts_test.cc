#include "run/known_contexts.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "temp_directory.h"

namespace imagewright {
namespace {

KnownDirectory some(std::uint64_t number) {
  return {{number, {number + 1, number + 2}, {number + 3, number + 4}},
          {{sha256("a"), sha256("b")},
           "FROM " + std::to_string(number) + "\n",
           "for a target",
           {{LinkKind::Base, "x", "y", "linux/arm64", 3}, {LinkKind::DependsOn, "z", "z", "", 0}}},
          number % 2 == 0};
}

class KnownDirectoriesTest : public testing::Test {
 protected:
  std::string bytes() const {
    std::ifstream stream(file_, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  const TempDirectory directory_;
  const std::filesystem::path file_ = directory_ / "known";
};

TEST_F(KnownDirectoriesTest, WhatWasSavedIsFound) {
  KnownDirectories first(file_, "condition");
  EXPECT_FALSE(first.find("/a"));
  first.remember("/a", some(1));
  first.remember("/with\na newline", some(2));
  first.save();
  KnownDirectories second(file_, "condition");
  const auto found = second.find("/with\na newline");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->stamp.seed, 2U);
  EXPECT_EQ(found->stamp.sum, (Sum{3, 4}));
  EXPECT_EQ(found->stamp.witnesses, (Sum{5, 6}));
  EXPECT_EQ(found->context, some(2).context);
  EXPECT_TRUE(found->follows_links);
  ASSERT_TRUE(second.find("/a"));
  EXPECT_FALSE(second.find("/a")->follows_links);
  EXPECT_FALSE(second.find("/b"));
}

TEST_F(KnownDirectoriesTest, CanBeReadInTheBackground) {
  KnownDirectories first(file_, "condition");
  first.remember("/a", some(1));
  first.save();
  KnownDirectories second(file_, "condition");
  second.load_ahead();
  second.load_ahead();
  EXPECT_TRUE(second.find("/a"));
  KnownDirectories unused(file_, "condition");
  unused.load_ahead();
}

TEST_F(KnownDirectoriesTest, WhatIsNewTakesTheOldOnesPlaceAndLeavesTheOthers) {
  KnownDirectories first(file_, "condition");
  first.remember("/a", some(1));
  first.remember("/b", some(2));
  first.save();
  KnownDirectories second(file_, "condition");
  second.remember("/b", some(7));
  second.remember("/c", some(3));
  EXPECT_EQ(second.find("/b")->stamp.seed, 7U);
  second.save();
  EXPECT_EQ(second.find("/c")->stamp.seed, 3U);
  KnownDirectories third(file_, "condition");
  EXPECT_EQ(third.find("/a")->stamp.seed, 1U);
  EXPECT_EQ(third.find("/b")->stamp.seed, 7U);
  EXPECT_EQ(third.find("/c")->stamp.seed, 3U);
}

TEST_F(KnownDirectoriesTest, UnderAnotherConditionNothingIsKnown) {
  KnownDirectories first(file_, "condition");
  first.remember("/a", some(1));
  first.save();
  EXPECT_FALSE(KnownDirectories(file_, "another").find("/a"));
}

TEST_F(KnownDirectoriesTest, OfADamagedFileNothingIsKnown) {
  KnownDirectories first(file_, "condition");
  first.remember("/a", some(1));
  first.save();
  const std::string good = bytes();
  const auto knows = [&](const std::string& damaged) {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << damaged;
    return KnownDirectories(file_, "condition").find("/a").has_value();
  };
  ASSERT_TRUE(knows(good));
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(knows(damaged)) << "byte " << i;
    EXPECT_FALSE(knows(good.substr(0, i))) << i << " bytes";
  }
}

TEST_F(KnownDirectoriesTest, NothingNewWritesNothing) {
  KnownDirectories first(file_, "condition");
  first.remember("/a", some(1));
  first.save();
  std::filesystem::remove(file_);
  first.save();
  EXPECT_FALSE(std::filesystem::exists(file_));
  KnownDirectories nowhere(directory_ / "no/such/directory/known", "condition");
  nowhere.remember("/a", some(1));
  nowhere.save();
}

TEST(KnownTreeTest, IsFoundByTreeAndDockerfile) {
  const TempDirectory directory;
  const KnownContext context = some(1).context;
  EXPECT_FALSE(KnownTree(directory.path(), "tree", "Dockerfile", "/reach").find());
  KnownTree(directory.path(), "tree", "Dockerfile", "/reach").remember(context);
  EXPECT_EQ(KnownTree(directory.path(), "tree", "Dockerfile", "/reach").find(), context);
  EXPECT_FALSE(KnownTree(directory.path(), "tree", "", "/reach").find());
  EXPECT_FALSE(KnownTree(directory.path(), "tree", "Dockerfile", "").find());
  EXPECT_FALSE(KnownTree(directory.path(), "other", "Dockerfile", "/reach").find());
}

TEST_F(KnownDirectoriesTest, AVeryLongDockerfileIsNotKept) {
  KnownDirectory known = some(1);
  known.context.dockerfile.assign(KnownContext::kLongestDockerfile + 1, '#');
  KnownDirectories directories(file_, "condition");
  directories.remember("/a", known);
  EXPECT_FALSE(directories.find("/a"));
  KnownTree(directory_.path(), "tree", "Dockerfile", "/reach").remember(known.context);
  EXPECT_FALSE(KnownTree(directory_.path(), "tree", "Dockerfile", "/reach").find());
}

}  // namespace
}  // namespace imagewright
