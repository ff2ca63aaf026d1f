#include "io/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "io/interrupt.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Event = Watch::Event;

void write(const fs::path& path, const std::string& text = "x") {
  std::ofstream(path) << text;
}

class WatchTest : public testing::Test {
 protected:
  WatchTest() { fs::create_directories(root_); }

  void set(const std::string& rules = "", const std::vector<fs::path>& files = {}) {
    watch_.set({{root_, *IgnoreRules::parse(rules)}}, files);
  }
  // What is there now. (An event is there as soon as the call that made it has returned.)
  bool has_changed() { return watch_.wait(1ms, 0ms) == Event::Changed; }

  TempDirectory directory_;
  fs::path root_ = directory_ / "tree";
  fs::path own_ = root_ / "cache";
  Watch watch_{{own_}, {"state.db"}};
};

TEST_F(WatchTest, FilesBelow) {
  fs::create_directories(root_ / "a/b");
  write(root_ / "a/b/file");
  set();
  EXPECT_EQ(watch_.problem(), "");
  EXPECT_FALSE(has_changed());
  write(root_ / "a/b/file", "other");
  EXPECT_TRUE(has_changed());
  EXPECT_FALSE(has_changed());
  chmod((root_ / "a/b/file").c_str(), 0600);
  EXPECT_TRUE(has_changed());
  fs::rename(root_ / "a/b/file", root_ / "a/moved");
  EXPECT_TRUE(has_changed());
  fs::create_symlink("nowhere", root_ / "link");
  EXPECT_TRUE(has_changed());
  fs::remove(root_ / "a/moved");
  EXPECT_TRUE(has_changed());
  fs::remove_all(root_ / "a");
  EXPECT_TRUE(has_changed());
  EXPECT_FALSE(has_changed());
}

TEST_F(WatchTest, DirectoriesThatCome) {
  set();
  fs::create_directories(root_ / "new/deep");
  write(root_ / "new/deep/file");
  EXPECT_TRUE(has_changed());
  // From the next time on they are watched, too.
  set();
  EXPECT_FALSE(has_changed());
  write(root_ / "new/deep/file", "other");
  EXPECT_TRUE(has_changed());
}

TEST_F(WatchTest, WhatIsIgnoredOrOurs) {
  fs::create_directories(root_ / "left/sub");
  fs::create_directories(own_ / "sub");
  set("left\n*.log\n");
  write(root_ / "left/file");
  write(root_ / "left/sub/file");
  write(root_ / "a.log");
  write(own_ / "file");
  write(own_ / "sub/file");
  write(root_ / "state.db");
  EXPECT_FALSE(has_changed());
  write(root_ / "a.txt");
  EXPECT_TRUE(has_changed());
  // What a `!` brings back.
  set("left\n!left/sub/kept\n");
  write(root_ / "left/sub/other");
  EXPECT_FALSE(has_changed());
  write(root_ / "left/sub/kept");
  EXPECT_TRUE(has_changed());
}

TEST_F(WatchTest, SingleFiles) {
  fs::create_directories(directory_ / "beside");
  fs::create_directories(directory_ / "real");
  write(directory_ / "real/target");
  fs::create_symlink("../real/target", directory_ / "beside/link");
  set("ignored", {root_ / "ignored", directory_ / "beside/config", directory_ / "beside/link"});
  write(root_ / "ignored");
  EXPECT_TRUE(has_changed());
  write(directory_ / "beside/other");
  EXPECT_FALSE(has_changed());
  write(directory_ / "beside/config");
  EXPECT_TRUE(has_changed());
  // As editors write it.
  write(directory_ / "beside/other");
  fs::rename(directory_ / "beside/other", directory_ / "beside/config");
  EXPECT_TRUE(has_changed());
  write(directory_ / "real/target", "other");
  EXPECT_TRUE(has_changed());
}

TEST_F(WatchTest, ARootThatIsMissingOrReplaced) {
  fs::remove_all(root_);
  set();
  EXPECT_FALSE(has_changed());
  fs::create_directories(root_);
  EXPECT_TRUE(has_changed());
  set();
  fs::create_directories(directory_ / "other");
  EXPECT_FALSE(has_changed());
  fs::rename(root_, directory_ / "away");
  EXPECT_TRUE(has_changed());
  fs::rename(directory_ / "other", root_);
  EXPECT_TRUE(has_changed());
  set();
  write(root_ / "file");
  EXPECT_TRUE(has_changed());
}

TEST_F(WatchTest, WhatIsWatchedNoMore) {
  fs::create_directories(directory_ / "second");
  watch_.set({{root_, {}}, {directory_ / "second", {}}}, {});
  write(directory_ / "second/file");
  EXPECT_TRUE(has_changed());
  set();
  write(directory_ / "second/file", "other");
  EXPECT_FALSE(has_changed());
}

TEST_F(WatchTest, ABurstIsOneChange) {
  set();
  std::thread writer([&] {
    for (int i = 0; i < 5; ++i) {
      write(root_ / std::to_string(i));
      std::this_thread::sleep_for(5ms);
    }
  });
  EXPECT_EQ(watch_.wait(10s, 500ms), Event::Changed);
  writer.join();
  EXPECT_FALSE(has_changed());
}

TEST_F(WatchTest, MoreThanTheKernelKeeps) {
  write(root_ / "a");
  write(root_ / "b");
  set();
  int most = 16384;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> most;
  if (most > 100'000) GTEST_SKIP() << "it keeps " << most;
  for (int i = 0; i <= most / 2; ++i) {
    chmod((root_ / "a").c_str(), 0600);
    chmod((root_ / "b").c_str(), 0600);
  }
  EXPECT_TRUE(has_changed());
  EXPECT_FALSE(has_changed());
}

TEST_F(WatchTest, AnotherThreadWakesIt) {
  set();
  watch_.wake();  // before it waits
  EXPECT_EQ(watch_.wait(10s, 0ms), Event::Woken);
  std::thread waker([this] { watch_.wake(); });
  EXPECT_EQ(watch_.wait(10s, 0ms), Event::Woken);
  waker.join();
  EXPECT_FALSE(has_changed());
}

}  // namespace
}  // namespace imagewright
