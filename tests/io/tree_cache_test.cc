// read_tree with a cache against read_tree without one: whatever was done to the directory, to its
// times, to the clock or to the cache, the answers are the same.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <iterator>
#include <random>
#include <thread>

#include "io/error.h"
#include "io/tree.h"
#include "temp_directory.h"
#include "tree_edits.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr FileTime kSecond = 1'000'000'000;
constexpr FileTime kTick = 20'000'000;

// A clock that says what it is told to.
class SetClock : public FileClock {
 public:
  SetClock() : FileClock({}) {}
  FileTick read(std::uint64_t) override { return {now, kTick}; }
  std::atomic<FileTime> now{0};
};

struct stat stat_of(const fs::path& path) {
  struct stat status = {};
  EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
  return status;
}

FileTime in_nanoseconds(const timespec& time) {
  return time.tv_sec * kSecond + time.tv_nsec;
}

FileTime ctime_of(const fs::path& path) {
  return in_nanoseconds(stat_of(path).st_ctim);
}

void set_mtime_of(const fs::path& path, const timespec& time) {
  const timespec times[2] = {{0, UTIME_OMIT}, time};
  EXPECT_EQ(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void append_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::app) << bytes;
}

// Its bytes, in place: the same file, of the same size.
void overwrite(const fs::path& path, const std::string& bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  EXPECT_EQ(pwrite(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  close(fd);
}

std::size_t open_files() {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), {}));
}

// What a file holds changes while nothing that the file system says of it does, as for two writes
// in one tick of a coarse clock: a page that is mapped and was written to already.
class SilentFile {
 public:
  SilentFile(const fs::path& path, char first) : path_(path) {
    write_bytes(path, std::string(1, first));
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    void* mapped = mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) std::abort();
    byte_ = static_cast<volatile char*>(mapped);
    *byte_ = first;
    before_ = stat_of(path);
  }
  ~SilentFile() { munmap(const_cast<char*>(byte_), 1); }
  SilentFile(const SilentFile&) = delete;
  SilentFile& operator=(const SilentFile&) = delete;

  void write(char value) { *byte_ = value; }
  void set_mtime(const timespec& time) {
    set_mtime_of(path_, time);
    before_ = stat_of(path_);
  }
  FileTime ctime() const { return in_nanoseconds(before_.st_ctim); }
  // (The kernel may have written the page back.)
  bool still_silent() const {
    const auto now = stat_of(path_);
    return in_nanoseconds(now.st_ctim) == in_nanoseconds(before_.st_ctim) &&
           in_nanoseconds(now.st_mtim) == in_nanoseconds(before_.st_mtim);
  }

 private:
  fs::path path_;
  volatile char* byte_ = nullptr;
  struct stat before_ = {};
};

class TreeCache : public testing::Test {
 protected:
  TreeRequest request(FileClock* clock) {
    TreeRequest result;
    result.root = tree.path();
    result.rules = std::move(*IgnoreRules::parse(ignore));
    result.cache = place();
    result.clock = clock;
    return result;
  }
  fs::path place() const { return home / "contexts/one"; }

  Digest cached(FileClock& clock) { return read_tree(request(&clock)).digest(); }
  Digest cached() { return cached(real); }
  Digest scratch() {
    TreeRequest whole = request(nullptr);
    whole.cache.clear();
    return read_tree(whole).digest();
  }

  // Until nothing of it is held to be just written.
  void settle() {
    settled.now = settled_time();
    for (int i = 0; i < 500 && !read_tree(request(&real)).stamp(); ++i) usleep(5000);
    ASSERT_TRUE(read_tree(request(&real)).stamp());
  }
  FileTime settled_time() const {
    timespec time = {};
    clock_gettime(CLOCK_REALTIME, &time);
    return in_nanoseconds(time) + 3600 * kSecond;
  }

  // The digest, and also the list behind it, is that of a look at everything.
  void expect_right(FileClock& clock, const std::string& when) {
    const TreeRequest with = request(&clock);
    const Snapshot snapshot = read_tree(with);
    TreeRequest without = request(nullptr);
    without.cache.clear();
    const Snapshot whole = read_tree(without);
    ASSERT_EQ(hex(snapshot.digest()), hex(whole.digest())) << when;
    ASSERT_EQ(hex(context_digest(snapshot.entries(with))), hex(whole.digest())) << when;
  }

  const TempDirectory tree;
  const TempDirectory home;
  std::string ignore;
  FileClock real{{home.path()}};
  SetClock settled;
};

// --- One after the other: what a cache could take for the old file

TEST_F(TreeCache, AnUnchangedTreeIsNotReadAgain) {
  tree.write("d/file", "bytes");
  settle();
  // (A file that could not be read would be an error.)
  SetClock clock;
  clock.now = settled_time();
  const Digest before = cached(clock);
  const std::string records = bytes_of(place().string() + ".dirs");
  EXPECT_EQ(cached(clock), before);
  EXPECT_EQ(bytes_of(place().string() + ".dirs"), records);
  EXPECT_EQ(before, scratch());
}

TEST_F(TreeCache, AnEditOfTheSameSizeAndMtimeIsSeen) {
  tree.write("d/file", "1");
  settle();
  for (const char* bytes : {"2", "3", "4"}) {
    const auto before = stat_of(tree / "d/file");
    overwrite(tree / "d/file", bytes);
    set_mtime_of(tree / "d/file", before.st_mtim);
    ASSERT_EQ(in_nanoseconds(stat_of(tree / "d/file").st_mtim), in_nanoseconds(before.st_mtim));
    EXPECT_EQ(cached(), scratch());
    settle();
    EXPECT_EQ(cached(), scratch());
  }
}

TEST_F(TreeCache, AFileRenamedOverAnotherIsSeen) {
  tree.write("d/file", "1");
  settle();
  for (const char* bytes : {"2", "3"}) {
    const auto before = stat_of(tree / "d/file");
    tree.write("d/next", bytes);
    set_mtime_of(tree / "d/next", before.st_mtim);
    fs::rename(tree / "d/next", tree / "d/file");
    EXPECT_EQ(cached(), scratch());
    settle();
  }
  // One that was there before, and is known.
  tree.write("d/old", "4");
  set_mtime_of(tree / "d/old", stat_of(tree / "d/file").st_mtim);
  settle();
  fs::rename(tree / "d/old", tree / "d/file");
  EXPECT_EQ(cached(), scratch());
}

TEST_F(TreeCache, AnInodeThatIsUsedAgainIsAnotherFile) {
  tree.write("file", "1");
  const auto first = stat_of(tree / "file");
  bool reused = false;
  for (int i = 0; i < 50; ++i) {
    if (i % 10 == 0) settle();
    ASSERT_EQ(cached(), scratch());
    const auto inode = stat_of(tree / "file").st_ino;
    unlink((tree / "file").c_str());
    tree.write("file", std::to_string(i % 10));
    set_mtime_of(tree / "file", first.st_mtim);
    reused = reused || stat_of(tree / "file").st_ino == inode;
    ASSERT_EQ(cached(), scratch()) << i;
  }
  if (!reused) GTEST_SKIP() << "this file system never gave an inode's number again";
}

TEST_F(TreeCache, AnEntryThatComesWhileTheDirectorysTimesStayIsSeen) {
  tree.write("d/e/file", "1");
  settle();
  const auto before = stat_of(tree / "d/e");
  tree.write("d/e/other", "2");
  set_mtime_of(tree / "d/e", before.st_mtim);
  EXPECT_EQ(cached(), scratch());
  settle();
  unlink((tree / "d/e/other").c_str());
  set_mtime_of(tree / "d/e", before.st_mtim);
  EXPECT_EQ(cached(), scratch());
}

TEST_F(TreeCache, TwoFilesThatSwapNamesAreSeen) {
  tree.write("d/one", "1");
  tree.write("d/two", "2");
  tree.write("e/in", "3");
  tree.write("f/in", "4");
  const timespec time = {1000, 0};
  for (const char* name : {"d/one", "d/two", "e/in", "f/in"}) set_mtime_of(tree / name, time);
  settle();
  fs::rename(tree / "d/one", tree / "d/x");
  fs::rename(tree / "d/two", tree / "d/one");
  fs::rename(tree / "d/x", tree / "d/two");
  EXPECT_EQ(cached(), scratch());
  settle();
  fs::rename(tree / "e", tree / "x");
  fs::rename(tree / "f", tree / "e");
  fs::rename(tree / "x", tree / "f");
  EXPECT_EQ(cached(), scratch());
}

TEST_F(TreeCache, AHardLinkThatIsWrittenToThroughItsOtherNameIsSeen) {
  tree.write("d/file", "1");
  tree.write("e/f", "");
  home.write("outside", "1");
  fs::create_hard_link(home / "outside", tree / "d/linked");
  fs::create_hard_link(tree / "d/file", tree / "e/linked");
  settle();
  const auto before = stat_of(home / "outside");
  overwrite(home / "outside", "2");
  set_mtime_of(home / "outside", before.st_mtim);
  EXPECT_EQ(cached(), scratch());
  settle();
  overwrite(tree / "d/file", "3");
  EXPECT_EQ(cached(), scratch());
}

TEST_F(TreeCache, AnAttributeAModeOrATargetAloneIsSeen) {
  tree.write("d/file", "1");
  fs::create_symlink("one", tree / "d/link");
  settle();
  chmod((tree / "d/file").c_str(), 0600);
  EXPECT_EQ(cached(), scratch());
  settle();
  unlink((tree / "d/link").c_str());
  fs::create_symlink("two", tree / "d/link");
  EXPECT_EQ(cached(), scratch());
  settle();
  chmod((tree / "d").c_str(), 0700);
  EXPECT_EQ(cached(), scratch());
  settle();
  for (const char* name : {"d/file", "d"}) {
    if (setxattr((tree / name).c_str(), "user.note", "1", 1, 0) != 0) {
      GTEST_SKIP() << "this file system has no user attributes";
    }
    EXPECT_EQ(cached(), scratch());
    settle();
    setxattr((tree / name).c_str(), "user.note", "2", 1, 0);
    EXPECT_EQ(cached(), scratch());
    settle();
    removexattr((tree / name).c_str(), "user.note");
    EXPECT_EQ(cached(), scratch());
    settle();
  }
}

TEST_F(TreeCache, AFileThatBecomesUnreadableIsAnErrorUntilItCanBeReadAgain) {
  tree.write("d/file", "1");
  chmod(tree.path().c_str(), 0755);
  settle();
  const Digest before = cached();
  if (getuid() == 0) {
    // Nobody's, as root can read anything; the cache is then one that cannot be written.
    ASSERT_EQ(chown((tree / "d/file").c_str(), 65534, 65534), 0);
    chmod(home.path().c_str(), 0755);
    chmod((home / "contexts").c_str(), 0755);
    for (const auto& entry : fs::directory_iterator(home / "contexts")) {
      chmod(entry.path().c_str(), 0644);
    }
  }
  chmod((tree / "d/file").c_str(), 0);
  if (getuid() == 0) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  std::string message;
  for (int i = 0; i < 2; ++i) {
    try {
      cached();
    } catch (const Error& error) {
      message = error.what();
    }
    EXPECT_THAT(message, HasSubstr("d/file"));
    EXPECT_THAT(message, HasSubstr("Permission denied"));
  }
  if (getuid() == 0) {
    ASSERT_EQ(seteuid(0), 0);
  }
  chmod((tree / "d/file").c_str(), 0644);
  EXPECT_EQ(cached(), before);
  overwrite(tree / "d/file", "2");
  EXPECT_NE(cached(), before);
  EXPECT_EQ(cached(), scratch());
}

TEST_F(TreeCache, AnotherIgnoreFileIsAnotherAnswer) {
  for (const char* name :
       {"node/keep/a", "node/drop/b", "node/drop/deep/c", "src/x.log", "src/y"}) {
    tree.write(name, name);
  }
  settle();
  for (int round = 0; round < 2; ++round) {
    for (const char* rules :
         {"", "node\n", "node\n!node/keep\n", "*.log\n", "**/*.log\n", "node\n!node/drop/deep/c\n",
          "*\n", "*\n!src\n", "node/*\n!node/keep/a\n", "src\nnode\n!node/none\n"}) {
      ignore = rules;
      SetClock clock;
      clock.now = settled_time();
      expect_right(clock, rules);
      expect_right(real, rules);
    }
  }
}

TEST_F(TreeCache, AnotherDirectoryOfTheSameNameIsAnotherAnswer) {
  // Two that differ only in their bytes, behind one link.
  tree.write("one/file", "1");
  tree.write("two/file", "2");
  fs::create_directory_symlink("one", tree / "current");
  settle();
  TreeRequest behind = request(&real);
  behind.root = tree / "current";
  const Digest one = read_tree(behind).digest();
  unlink((tree / "current").c_str());
  fs::create_directory_symlink("two", tree / "current");
  const Digest two = read_tree(behind).digest();
  EXPECT_NE(one, two);
  behind.cache.clear();
  EXPECT_EQ(read_tree(behind).digest(), two);
}

// --- The clock

TEST_F(TreeCache, AWriteInTheSameTickIsSeen) {
  // By the real clock: the look must come within the tick, or there is nothing to see.
  int seen = 0;
  for (int i = 0; i < 200 && seen < 20; ++i) {
    SilentFile file(tree / "file", 'a');
    cached();
    const FileTick tick = FileClock({home.path()}).read(stat_of(home.path()).st_dev);
    file.write('b');
    const Digest after = cached();
    if (file.ctime() < tick.now - tick.tick || !file.still_silent()) continue;
    ++seen;
    ASSERT_EQ(after, scratch()) << i;
  }
  EXPECT_GT(seen, 0);
}

TEST_F(TreeCache, WritesOneRightAfterTheOtherAreAllSeen) {
  tree.write("d/file", "0");
  const auto time = stat_of(tree / "d/file").st_mtim;
  for (int i = 0; i < 300; ++i) {
    overwrite(tree / "d/file", std::to_string(i % 10));
    if (i % 2 == 0) set_mtime_of(tree / "d/file", time);
    ASSERT_EQ(cached(), scratch()) << i;
  }
}

// What is trusted, and what is not yet.
TEST_F(TreeCache, AFileIsTrustedOnlyOnceItIsOlderThanATick) {
  SilentFile file(tree / "d", 'a');
  SetClock clock;
  clock.now = file.ctime() + kTick;
  cached(clock);
  file.write('b');
  ASSERT_TRUE(file.still_silent());
  clock.now = file.ctime() + kTick + kSecond;
  EXPECT_EQ(cached(clock), scratch()) << "read as old as a tick, not older";
  file.write('c');
  ASSERT_TRUE(file.still_silent());
  EXPECT_NE(cached(clock), scratch()) << "(else this would prove nothing: it is trusted now)";
}

TEST_F(TreeCache, AStampOfTheFutureIsNotTrusted) {
  SilentFile file(tree / "d", 'a');
  SetClock clock;
  clock.now = file.ctime() - 100 * kSecond;
  for (const char byte : {'b', 'c', 'd'}) {
    cached(clock);
    file.write(byte);
    ASSERT_TRUE(file.still_silent());
    ASSERT_EQ(cached(clock), scratch());
  }
}

TEST_F(TreeCache, AnMtimeOfTheFutureIsNotTrusted) {
  tree.write("d/file", "1");
  set_mtime_of(tree / "d/file", {4'000'000'000, 0});
  usleep(50'000);
  cached();
  EXPECT_FALSE(read_tree(request(&real)).stamp());
  overwrite(tree / "d/file", "2");
  set_mtime_of(tree / "d/file", {4'000'000'000, 0});
  EXPECT_EQ(cached(), scratch());
}

// An edit whose mtime was restored, and another one in the same tick.
TEST_F(TreeCache, AnOldMtimeIsNoReasonToTrust) {
  SilentFile file(tree / "d", 'a');
  file.set_mtime({1000, 0});
  SetClock clock;
  clock.now = file.ctime() + 1;
  cached(clock);
  file.write('b');
  ASSERT_TRUE(file.still_silent());
  clock.now = file.ctime() + kSecond;
  EXPECT_EQ(cached(clock), scratch());
}

// It was trusted, then the clock was set back to when it was written, and it was written again.
TEST_F(TreeCache, WhatIsWrittenAfterTheClockWasSetBackIsSeen) {
  SilentFile file(tree / "file", 'a');
  SetClock clock;
  clock.now = file.ctime() + 3600 * kSecond;
  cached(clock);
  clock.now = file.ctime() + 1;
  file.write('b');
  ASSERT_TRUE(file.still_silent());
  EXPECT_EQ(cached(clock), scratch());
  clock.now = file.ctime() + 3600 * kSecond;
  EXPECT_EQ(cached(clock), scratch());
}

// The same, but what was looked at in between was not written down when it was all the same; then
// the first look was believed again.
TEST_F(TreeCache, WhatLostItsTrustDoesNotGetItBackWithoutBeingRead) {
  SilentFile file(tree / "file", 'a');
  tree.write("never", "");
  set_mtime_of(tree / "never", {9'000'000'000, 0});
  SetClock clock;
  clock.now = file.ctime() + 3600 * kSecond;
  cached(clock);
  clock.now = file.ctime() + 1;
  cached(clock);
  file.write('b');
  ASSERT_TRUE(file.still_silent());
  clock.now = file.ctime() + 3600 * kSecond;
  EXPECT_EQ(cached(clock), scratch());
}

TEST_F(TreeCache, WithoutAClockEverythingIsRead) {
  SilentFile file(tree / "d", 'a');
  for (const char byte : {'b', 'c', 'd'}) {
    read_tree(request(nullptr));
    file.write(byte);
    ASSERT_TRUE(file.still_silent());
    EXPECT_EQ(read_tree(request(nullptr)).digest(), scratch());
  }
}

TEST_F(TreeCache, WhatWasJustWrittenIsNotSettledUntilATickIsOver) {
  tree.write("d/file", "1");
  const Snapshot fresh = read_tree(request(&real));
  EXPECT_TRUE(wait_until_settled(request(&real), fresh));
  const FileTick tick = FileClock({home.path()}).read(stat_of(home.path()).st_dev);
  EXPECT_LT(ctime_of(tree / "d/file"), tick.now - tick.tick);
  settle();
  EXPECT_FALSE(wait_until_settled(request(&real), read_tree(request(&real))));
}

// Equal stamps prove nothing while a further write could leave them as they are.
TEST_F(TreeCache, AWriteInTheSameTickAsTheLookIsNoticedAfterTheBuild) {
  SilentFile file(tree / "file", 'a');
  SetClock clock;
  clock.now = file.ctime() + 1;
  const Snapshot before = read_tree(request(&clock));
  file.write('b');
  ASSERT_TRUE(file.still_silent());
  EXPECT_TRUE(touched_since(request(&clock), before));
}

// A stamp is believed without a look at the cache; so it must not be one that may come again.
TEST_F(TreeCache, AStampIsNotBelievedOfWhatWasWrittenSoShortlyBefore) {
  SilentFile file(tree / "file", 'a');
  SetClock clock;
  clock.now = file.ctime() + 3600 * kSecond;
  const auto stamp = read_tree(request(&clock)).stamp();
  ASSERT_TRUE(stamp) << "an hour later it is trusted";
  EXPECT_FALSE(touched_since(request(&clock), *stamp));
  clock.now = file.ctime() + 1;
  file.write('b');
  ASSERT_TRUE(file.still_silent());
  EXPECT_TRUE(touched_since(request(&clock), *stamp));
  EXPECT_TRUE(touched_since(request(nullptr), *stamp)) << "without a clock";
}

// --- While it is looked at

TEST_F(TreeCache, EditsDuringTheWalkAreSeenAfterwards) {
  const unsigned seed = random_seed();
  for (unsigned round = 0; round < 12; ++round) {
    std::atomic<bool> stop{false};
    std::thread editor([&] {
      TreeEdits edits(tree.path(), seed + round);
      while (!stop) edits.step();
    });
    for (int i = 0; i < 15; ++i) {
      try {
        cached();
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), Error::Kind::Source);
        EXPECT_THAT(error.what(), HasSubstr(tree.path().string()));
      }
    }
    stop = true;
    editor.join();
    expect_right(real, "IMAGEWRIGHT_SEED=" + std::to_string(seed) + ", at once");
    expect_right(real, "IMAGEWRIGHT_SEED=" + std::to_string(seed) + ", again");
  }
}

TEST_F(TreeCache, WhatIsSwappedForALinkDuringTheWalkLeadsNowhere) {
  constexpr int kSwapped = 30;
  const TempDirectory outside;
  outside.write("secret", "out");
  for (int i = 0; i < kSwapped; ++i) {
    const std::string number = std::to_string(i);
    tree.write("d" + number + "/file", "in");
    fs::create_directory_symlink(outside.path(), tree / ("to_d" + number));
    tree.write("f" + number, "in");
    fs::create_symlink(outside / "secret", tree / ("to_f" + number));
  }
  std::atomic<bool> stop{false};
  std::thread swapper([&] {
    while (!stop) {
      for (int i = 0; i < kSwapped; ++i) {
        for (const char* kind : {"d", "f"}) {
          const std::string name = kind + std::to_string(i);
          renameat2(AT_FDCWD, (tree / name).c_str(), AT_FDCWD, (tree / ("to_" + name)).c_str(),
                    RENAME_EXCHANGE);
        }
      }
    }
  });
  int whole = 0;
  for (int i = 0; i < 300 && !HasFailure(); ++i) {
    const TreeRequest with = request(&real);
    try {
      const Snapshot snapshot = read_tree(with);
      for (const Entry& entry : snapshot.entries(with)) {
        EXPECT_EQ(entry.path.find("secret"), std::string::npos) << entry.path;
        if (entry.type == EntryType::File) {
          EXPECT_EQ(entry.content, sha256("in")) << entry.path;
        }
      }
      ++whole;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::Source);
    }
  }
  stop = true;
  swapper.join();
  EXPECT_GT(whole, 0);
  expect_right(real, "afterwards");
}

// --- Random histories

class TreeHistory : public TreeCache, public testing::WithParamInterface<const char*> {};

TEST_P(TreeHistory, After2000StepsItIsWhatALookAtEverythingSays) {
  ignore = GetParam();
  const unsigned seed = random_seed();
  TreeEdits edits(tree.path(), seed);
  const std::string why = "IMAGEWRIGHT_SEED=" + std::to_string(seed) + "\n";
  std::string steps;
  for (int step = 0; step < 2000; ++step) {
    steps += edits.step() + "\n";
    if (step % 40 == 39) {
      // Now and then all of it comes to be trusted.
      usleep(25'000);
      cached();
    }
    if (edits.below(4) == 0) {
      ASSERT_NO_FATAL_FAILURE(expect_right(real, why + steps));
      steps.clear();
    }
    if (edits.below(150) == 0) fs::remove(place().string() + (step % 2 == 0 ? ".dirs" : ".files"));
  }
}

INSTANTIATE_TEST_SUITE_P(, TreeHistory,
                         testing::Values("", "a\n!a/b\n*.log\n!**/c/*.log\nb/*/c\n", "*\n!a/b/c\n"),
                         [](const auto& instance) {
                           return std::string("Rules") + std::to_string(instance.index);
                         });

// --- The cache

// The files of a cache at one moment.
struct Kept {
  std::string dirs;
  std::string files;
};

class TreeCacheFiles : public TreeCache {
 protected:
  Kept kept() const { return {bytes_of(dirs()), bytes_of(files())}; }
  void put(const Kept& kept) const {
    write_bytes(dirs(), kept.dirs);
    write_bytes(files(), kept.files);
  }
  fs::path dirs() const { return place().string() + ".dirs"; }
  fs::path files() const { return place().string() + ".files"; }

  // Nothing changed; and something did, so that lists are read.
  void expect_right_with(const Kept& damaged, const std::string& when) {
    put(damaged);
    const TreeRequest with = request(&settled);
    const Snapshot snapshot = read_tree(with);
    ASSERT_EQ(hex(snapshot.digest()), hex(whole)) << when;
    ASSERT_EQ(hex(context_digest(snapshot.entries(with))), hex(whole)) << when;
    // What it wrote over it is right, too. (Not each time: it takes as long again.)
    if (++looks % 8 == 0) {
      ASSERT_EQ(hex(cached(settled)), hex(whole)) << when;
    }
  }

  int looks = 0;

  Digest whole{};
};

TEST_F(TreeCacheFiles, NoByteThatIsFlippedOrMissingGivesAnotherAnswer) {
  tree.write("a", "1");
  tree.write("d/b", "2");
  tree.write("d/e/c", "3");
  fs::create_symlink("a", tree / "link");
  settled.now = settled_time();
  cached(settled);
  const Kept good = kept();
  std::mt19937 random(3);
  for (const bool changed : {false, true}) {
    if (changed) tree.write("d/b", "4");
    whole = scratch();
    expect_right_with(good, "as it was");
    for (std::size_t i = 0; i < good.dirs.size() + good.files.size(); ++i) {
      Kept bad = good;
      std::string& file = i < good.dirs.size() ? bad.dirs : bad.files;
      const std::size_t at = i < good.dirs.size() ? i : i - good.dirs.size();
      file[at] = static_cast<char>(file[at] ^ (1 + static_cast<int>(random() % 255)));
      const std::string when = (i < good.dirs.size() ? "dirs " : "files ") + std::to_string(at);
      ASSERT_NO_FATAL_FAILURE(expect_right_with(bad, "flipped: " + when));
      bad = good;
      (i < good.dirs.size() ? bad.dirs : bad.files).resize(at);
      ASSERT_NO_FATAL_FAILURE(expect_right_with(bad, "cut: " + when));
    }
  }
}

TEST_F(TreeCacheFiles, ALargeOneThatIsDamagedGivesNoOtherAnswer) {
  const unsigned seed = random_seed();
  std::mt19937 random(seed);
  for (int i = 0; i < 600; ++i) {
    tree.write(
        "d" + std::to_string(i % 20) + "/e" + std::to_string(i % 3) + "/" + std::to_string(i),
        std::to_string(i));
  }
  settled.now = settled_time();
  cached(settled);
  const Kept good = kept();
  for (int round = 0; round < 40; ++round) {
    tree.write("d" + std::to_string(random() % 20) + "/e0/x", std::to_string(round));
    whole = scratch();
    Kept bad = good;
    for (unsigned i = 0; i < 1 + random() % 3; ++i) {
      std::string& file = random() % 3 == 0 ? bad.dirs : bad.files;
      const std::size_t at = random() % file.size();
      switch (random() % 4) {
        case 0:
          file.resize(at + 1);
          break;
        case 1:
          file.replace(at, std::min<std::size_t>(file.size() - at, 200), 200, '\0');
          break;
        default:
          file[at] = static_cast<char>(file[at] ^ (1 << random() % 8));
      }
    }
    ASSERT_NO_FATAL_FAILURE(expect_right_with(
        bad, "IMAGEWRIGHT_SEED=" + std::to_string(seed) + ", " + std::to_string(round)));
  }
}

// Whatever was restored of it from whichever time.
TEST_F(TreeCacheFiles, FilesOfDifferentTimesGiveNoOtherAnswer) {
  const unsigned seed = random_seed();
  std::mt19937 random(seed);
  TreeEdits edits(tree.path(), seed);
  std::vector<Kept> times;
  for (int round = 0; round < 250; ++round) {
    const int steps = 1 + static_cast<int>(random() % 6);
    for (int i = 0; i < steps; ++i) edits.step();
    if (round % 5 == 0) usleep(25'000);
    if (!times.empty() && random() % 2 == 0) {
      const Kept& one = times[random() % times.size()];
      const Kept& other = times[random() % times.size()];
      put({one.dirs, other.files});
    }
    ASSERT_NO_FATAL_FAILURE(expect_right(real, "IMAGEWRIGHT_SEED=" + std::to_string(seed)));
    times.push_back(kept());
    if (times.size() > 20) times.erase(times.begin() + static_cast<int>(random() % 20));
    if (round % 60 == 59) fs::remove(dirs());
  }
}

TEST_F(TreeCacheFiles, ItCanBeDeletedAtAnyTime) {
  tree.write("d/a", "1");
  tree.write("e/b", "1");
  settle();
  const TreeRequest with = request(&real);
  const Snapshot before = read_tree(with);
  fs::remove_all(home / "contexts");
  // The entries were never read, and their list is gone: a look at everything tells them again.
  EXPECT_EQ(context_digest(before.entries(with)), before.digest());
  EXPECT_FALSE(touched_since(with, before));
  tree.write("d/a", "2");
  EXPECT_EQ(cached(), scratch());
  EXPECT_TRUE(fs::exists(dirs())) << "and it is there again";
}

TEST_F(TreeCacheFiles, EntriesThatCannotBeToldAnyMoreAreAnError) {
  tree.write("d/a", "1");
  settle();
  const TreeRequest with = request(&real);
  const Snapshot before = read_tree(with);
  write_bytes(files(), "garbage");
  tree.write("d/a", "2");
  try {
    before.entries(with);
    FAIL() << "entries of a tree that is no more";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("changed since it was looked at"));
  }
}

TEST_F(TreeCacheFiles, OneThatCannotBeWrittenGivesTheSameAnswers) {
  tree.write("d/a", "1");
  write_bytes(home / "contexts", "a file in the directory's place");
  expect_right(real, "new");
  tree.write("d/a", "2");
  expect_right(real, "changed");
  fs::remove(home / "contexts");
  fs::create_directories(dirs());
  fs::create_directories(files());
  expect_right(real, "directories in the files' places");
  tree.write("d/a", "3");
  expect_right(real, "changed again");
}

TEST_F(TreeCacheFiles, ItDoesNotGrowWithoutBounds) {
  for (int i = 0; i < 2000; ++i) tree.write("d/" + std::to_string(i), "");
  settle();
  const auto size = fs::file_size(files());
  std::uintmax_t largest = 0;
  for (int i = 0; i < 40; ++i) {
    append_bytes(tree / "d/0", "x");
    ASSERT_EQ(cached(), scratch()) << i;
    largest = std::max(largest, fs::file_size(files()));
  }
  EXPECT_GT(largest, 3 * size) << "(else nothing was swept out)";
  EXPECT_LT(largest, 3 * size + (2U << 20));
  expect_right(real, "at the end");
}

TEST_F(TreeCacheFiles, NoDescriptorIsLost) {
  for (int i = 0; i < 100; ++i)
    tree.write("d" + std::to_string(i % 10) + "/" + std::to_string(i), "");
  cached();
  const std::size_t before = open_files();
  for (int i = 0; i < 30; ++i) {
    tree.write("d1/x", std::to_string(i));
    if (i % 3 == 0) write_bytes(files(), "garbage");
    if (i % 5 == 0) {
      ASSERT_EQ(mkfifo((tree / "d2/pipe").c_str(), 0600), 0);
      EXPECT_THROW(cached(), Error);
      unlink((tree / "d2/pipe").c_str());
    }
    cached();
  }
  EXPECT_EQ(open_files(), before);
}

// --- Several runs at once

TEST_F(TreeCacheFiles, TwoRunsAtOnceGiveTheSameAnswer) {
  const unsigned seed = random_seed();
  TreeEdits edits(tree.path(), seed);
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 10; ++i) edits.step();
    if (round % 10 == 9) fs::remove(dirs());
    whole = scratch();
    std::vector<std::thread> runs;
    for (int i = 0; i < 3; ++i) {
      runs.emplace_back([&] {
        for (int k = 0; k < 3; ++k) EXPECT_EQ(hex(cached()), hex(whole));
      });
    }
    for (std::thread& run : runs) run.join();
    ASSERT_NO_FATAL_FAILURE(expect_right(real, "IMAGEWRIGHT_SEED=" + std::to_string(seed)));
  }
}

// Runs of their own processes, each of which edits files that only it looks at, beside those that
// all have: all of them write the one cache.
TEST_F(TreeCacheFiles, ProcessesThatWriteItAtOnceGiveTheRightAnswers) {
  constexpr int kProcesses = 3;
  for (int i = 0; i < 200; ++i) tree.write("all/" + std::to_string(i), "x");
  std::vector<pid_t> children;
  for (int number = 0; number < kProcesses; ++number) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // (Rules of its own: what the others edit is not part of it.)
      const std::string own = "own" + std::to_string(number);
      ignore = "own*\n!" + own + "\n";
      FileClock clock({home.path()});
      bool right = true;
      for (int i = 0; i < 60 && right; ++i) {
        tree.write(own + "/" + std::to_string(i % 7), std::to_string(i));
        if (i % 10 == 5) usleep(25'000);
        right = cached(clock) == scratch();
      }
      _exit(right ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  expect_right(real, "afterwards");
}

TEST_F(TreeCacheFiles, KilledWhileItIsWrittenItGivesTheRightAnswer) {
  for (int i = 0; i < 800; ++i) tree.write("d/" + std::to_string(i), "x");
  std::mt19937 random(5);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      FileClock clock({home.path()});
      for (int i = 0;; ++i) {
        append_bytes(tree / "d/0", "x");
        tree.write("e/" + std::to_string(i % 50), std::to_string(i));
        const Snapshot snapshot = read_tree(request(&clock));
        snapshot.keep(home / "contexts" / ("built" + std::to_string(i % 3)));
        if (i % 20 == 19) fs::remove(dirs());
      }
    }
    usleep(static_cast<useconds_t>(2000 + random() % 20'000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    ASSERT_NO_FATAL_FAILURE(expect_right(real, "round " + std::to_string(round)));
  }
  // The cache, what was kept, the lock, and one that was not finished.
  EXPECT_LE(std::distance(fs::directory_iterator(home / "contexts"), {}), 2 + 6 + 1 + 1);
}

// --- Limits of the system

// (Deeper than any one path can name; and each was opened from the root, part by part.)
TEST_F(TreeCache, ADeepTreeIsReadAndRecognised) {
  int at = open(tree.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int depth = 0; depth < 1400; ++depth) {
    ASSERT_EQ(mkdirat(at, "dd", 0755), 0);
    const int below = openat(at, "dd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(at);
    at = below;
  }
  close(openat(at, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  const Digest empty = cached();
  EXPECT_EQ(empty, scratch());
  const int fd = openat(at, "file", O_WRONLY | O_CLOEXEC);
  EXPECT_EQ(write(fd, "x", 1), 1);
  close(fd);
  close(at);
  EXPECT_NE(cached(), empty);
  EXPECT_EQ(cached(), scratch());
}

TEST_F(TreeCache, FewDescriptorsAreEnough) {
  for (int i = 0; i < 3000; ++i)
    tree.write("d" + std::to_string(i % 30) + "/" + std::to_string(i), "");
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit few = before;
  few.rlim_cur = open_files() + 60;
  setrlimit(RLIMIT_NOFILE, &few);
  std::string message;
  try {
    cached();
  } catch (const Error& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(message, "");
}

}  // namespace
}  // namespace imagewright
