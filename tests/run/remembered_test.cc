// What was found out elsewhere lately.
#include "run/remembered.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <thread>

namespace imagewright {
namespace {

using std::chrono::milliseconds;

GitSource source(const std::string& remote, const std::string& ref = "") {
  GitSource source;
  source.remote = remote;
  source.ref = ref;
  return source;
}

TEST(Remembered, ARefIsKnownUntilItIsDue) {
  Remembered remembered(milliseconds(600'000));
  const GitSource main = source("https://git.example/a.git", "main");
  EXPECT_FALSE(remembered.ref(main));
  remembered.keep(main, {{"c1", "refs/heads/main"}, ""}, {});
  ASSERT_TRUE(remembered.ref(main));
  EXPECT_EQ(remembered.ref(main)->at.commit, "c1");
  EXPECT_FALSE(remembered.ref(source("https://git.example/a.git", "other")));
  GitSource below = main;
  below.subdir = "below";  // the same question
  EXPECT_TRUE(remembered.ref(below));
  remembered.forget({source("x")});
  EXPECT_TRUE(remembered.ref(main));
  remembered.forget({main});
  EXPECT_FALSE(remembered.ref(main));
}

TEST(Remembered, WhatDoesNotAnswerIsNotAskedAtEachLook) {
  Remembered remembered(milliseconds(600'000));
  const GitSource gone = source("https://git.example/gone.git");
  remembered.keep(gone, {{}, "no answer"}, {});
  ASSERT_TRUE(remembered.ref(gone));
  EXPECT_EQ(remembered.ref(gone)->failure, "no answer");
  remembered.forget_all();
  EXPECT_FALSE(remembered.ref(gone));
}

TEST(Remembered, ARepositoryOnThisMachineIsAskedEachTime) {
  Remembered remembered(milliseconds(600'000));
  GitSource local = source("/srv/a.git");
  local.local = true;
  remembered.keep(local, {{"c1", ""}, ""}, {});
  EXPECT_FALSE(remembered.ref(local));
}

TEST(Remembered, ABaseIsKnownByNameAndPlatform) {
  Remembered remembered(milliseconds(600'000));
  Remembered::Base base;
  base.answer.kind = RegistryAnswer::Kind::Found;
  remembered.keep("debian", "linux/amd64", base, {});
  ASSERT_TRUE(remembered.base("debian", "linux/amd64"));
  EXPECT_EQ(remembered.base("debian", "linux/amd64")->answer.kind, RegistryAnswer::Kind::Found);
  EXPECT_FALSE(remembered.base("debian", "linux/arm64"));
}

TEST(Remembered, WhatWasAskedBeforeItWasDueIsNotKept) {
  Remembered remembered(milliseconds(600'000));
  const GitSource main = source("https://git.example/a.git", "main");
  const Remembered::Asking asked_in = remembered.asking();
  remembered.forget({main});
  remembered.keep(main, {{"old", ""}, ""}, asked_in);
  EXPECT_FALSE(remembered.ref(main));
  remembered.keep(main, {{"new", ""}, ""}, remembered.asking());
  EXPECT_TRUE(remembered.ref(main));
  remembered.forget_all();
  remembered.keep("debian", "linux/amd64", {}, asked_in);
  EXPECT_FALSE(remembered.base("debian", "linux/amd64"));
}

TEST(Remembered, WhoAsksAnewTakesWhatWasSaidJustNow) {
  Remembered remembered(milliseconds(600'000));
  const GitSource main = source("https://git.example/a.git", "main");
  remembered.keep(main, {{"c1", "refs/heads/main"}, ""}, {});
  remembered.keep("debian", "linux/amd64", {}, remembered.asking());
  EXPECT_TRUE(remembered.ref(main, Remembered::kJustNow));
  EXPECT_TRUE(remembered.base("debian", "linux/amd64", Remembered::kJustNow));
  std::this_thread::sleep_for(milliseconds(2));
  EXPECT_FALSE(remembered.ref(main, milliseconds(1)));
  EXPECT_FALSE(remembered.base("debian", "linux/amd64", milliseconds(1)));
  EXPECT_TRUE(remembered.ref(main));
  // Who pushed or asked is not told what was said before that.
  remembered.forget_all();
  EXPECT_FALSE(remembered.ref(main, Remembered::kJustNow));
}

TEST(Remembered, ACheckoutIsGivenAwayOnceAndOnlyTheLastOnesAreKept) {
  const std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("remembered-" + std::to_string(getpid()));
  {
    Remembered remembered(milliseconds(600'000));
    for (const char* tree : {"one", "two", "three", "four", "five"})
      remembered.keep_checkout(tree, std::make_unique<ScratchDirectory>(root));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root), {}), 4);
    EXPECT_EQ(remembered.take_checkout("one"), nullptr);
    auto taken = remembered.take_checkout("two");
    ASSERT_NE(taken, nullptr);
    EXPECT_TRUE(std::filesystem::exists(taken->path()));
    EXPECT_EQ(remembered.take_checkout("two"), nullptr);
    remembered.drop_old_checkouts();  // none is old
    EXPECT_NE(remembered.take_checkout("five"), nullptr);
  }
  EXPECT_TRUE(std::filesystem::is_empty(root));
  std::filesystem::remove(root);
}

TEST(Remembered, NothingIsKnownForEver) {
  Remembered remembered(milliseconds(0));
  const GitSource main = source("https://git.example/a.git", "main");
  remembered.keep(main, {{"c1", ""}, ""}, {});
  remembered.keep("debian", "linux/amd64", {}, remembered.asking());
  EXPECT_FALSE(remembered.ref(main));
  EXPECT_FALSE(remembered.base("debian", "linux/amd64"));
}

}  // namespace
}  // namespace imagewright
