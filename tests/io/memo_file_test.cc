#include "io/memo_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "temp_directory.h"

namespace imagewright {
namespace {

class MemoFileTest : public testing::Test {
 protected:
  std::string bytes() const {
    std::ifstream stream(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void write(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }

  const TempDirectory directory_;
  const std::filesystem::path path_ = directory_ / "some/where/memo";
};

TEST_F(MemoFileTest, WhatWasRememberedIsRecalled) {
  const MemoFile memo(path_, "about");
  EXPECT_EQ(memo.recall(), std::nullopt);
  memo.remember("content");
  EXPECT_EQ(memo.recall(), "content");
  EXPECT_EQ(MemoFile(path_, "about").recall(), "content");
  memo.remember("");
  EXPECT_EQ(memo.recall(), "") << "nothing is something, too";
}

TEST_F(MemoFileTest, OfAnotherThingNothingIsRecalled) {
  MemoFile(path_, "about").remember("content");
  EXPECT_EQ(MemoFile(path_, "another").recall(), std::nullopt);
  EXPECT_EQ(MemoFile(path_, "").recall(), std::nullopt);
  EXPECT_EQ(MemoFile(path_, "aboutc").recall(), std::nullopt);
}

TEST_F(MemoFileTest, TheBorderBetweenWhatItIsAboutAndTheContentCounts) {
  MemoFile(path_, "about").remember("content");
  const std::string whole = bytes();
  MemoFile(path_, "aboutc").remember("ontent");
  const std::string other = bytes();
  // The one's head before the other's content.
  write(whole.substr(0, whole.size() - 7) + other.substr(other.size() - 6));
  EXPECT_EQ(MemoFile(path_, "aboutc").recall(), std::nullopt);
}

TEST_F(MemoFileTest, OfADamagedFileNothingIsRecalled) {
  const MemoFile memo(path_, "about");
  memo.remember("content");
  const std::string good = bytes();
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    write(damaged);
    EXPECT_EQ(memo.recall(), std::nullopt) << "byte " << i;
    write(good.substr(0, i));
    EXPECT_EQ(memo.recall(), std::nullopt) << i << " bytes";
  }
  write(good + "x");
  EXPECT_EQ(memo.recall(), std::nullopt);
  write(good);
  EXPECT_EQ(memo.recall(), "content");
}

TEST_F(MemoFileTest, WhatCannotBeKeptIsNoError) {
  write("a file where a directory is wanted");
  std::filesystem::create_directories(path_.parent_path());
  write("in the way");
  const MemoFile memo(path_ / "below", "about");
  memo.remember("content");
  EXPECT_EQ(memo.recall(), std::nullopt);
  const MemoFile directory(directory_.path(), "about");
  EXPECT_EQ(directory.recall(), std::nullopt);
}

}  // namespace
}  // namespace imagewright
