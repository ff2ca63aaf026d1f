#include "io/tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "io/error.h"
#include "io/interrupt.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TreeRequest request(const TempDirectory& directory, const std::string& ignore = "") {
  TreeRequest result;
  result.root = directory.path();
  result.rules = std::move(*IgnoreRules::parse(ignore));
  return result;
}

std::vector<Entry> entries_of(const TreeRequest& request) {
  return read_tree(request).entries(request);
}

std::vector<std::string> paths(const TreeRequest& request) {
  std::vector<std::string> result;
  for (const Entry& entry : entries_of(request)) result.push_back(entry.path);
  return result;
}

Digest digest(const TempDirectory& directory) {
  const TreeRequest all = request(directory);
  const Snapshot snapshot = read_tree(all);
  EXPECT_EQ(snapshot.digest(), context_digest(snapshot.entries(all))) << "the list says otherwise";
  return snapshot.digest();
}

std::string error_of(const TreeRequest& request) {
  try {
    read_tree(request);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::Source);
    return error.what();
  }
  return "";
}

TEST(Tree, EntriesAreWhatTheDiskHolds) {
  const TempDirectory directory;
  directory.write("d/file", "bytes", 0640);
  std::filesystem::create_symlink("../elsewhere", directory / "d/link");
  std::filesystem::create_directory(directory / "empty");
  chmod((directory / "empty").c_str(), 01777);
  const auto entries = entries_of(request(directory));
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries[0].path, "d");
  EXPECT_EQ(entries[0].type, EntryType::Directory);
  EXPECT_EQ(entries[1].path, "d/file");
  EXPECT_EQ(entries[1].mode, 0640U);
  EXPECT_EQ(entries[1].size, 5U);
  EXPECT_EQ(entries[1].content, sha256("bytes"));
  EXPECT_EQ(entries[2].type, EntryType::Symlink);
  EXPECT_EQ(entries[2].target, "../elsewhere");
  EXPECT_EQ(entries[3].path, "empty");
  EXPECT_EQ(entries[3].mode, 01777U);
}

TEST(Tree, TimesDoNotCountAndAnythingElseDoes) {
  const TempDirectory directory;
  directory.write("a", "1");
  const Digest before = digest(directory);
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  utimensat(AT_FDCWD, (directory / "a").c_str(), old, 0);
  EXPECT_EQ(digest(directory), before);
  directory.write("a", "2");
  utimensat(AT_FDCWD, (directory / "a").c_str(), old, 0);
  EXPECT_NE(digest(directory), before) << "same size, mode and time";
}

TEST(Tree, AnExtendedAttributeCountsUnlessItIsTheSystems) {
  const TempDirectory directory;
  directory.write("a", "1");
  const Digest before = digest(directory);
  if (setxattr((directory / "a").c_str(), "user.note", "x", 1, 0) != 0) {
    GTEST_SKIP() << "this file system has no user attributes";
  }
  EXPECT_NE(digest(directory), before);
  setxattr((directory / "a").c_str(), "user.note", "y", 1, 0);
  const auto entries = entries_of(request(directory));
  EXPECT_THAT(entries[0].xattrs, ElementsAre(std::make_pair("user.note", "y")));
  removexattr((directory / "a").c_str(), "user.note");
  EXPECT_EQ(digest(directory), before);
  // (As root this one can be set; it is not for images.)
  setxattr((directory / "a").c_str(), "security.test", "y", 1, 0);
  EXPECT_EQ(digest(directory), before);
}

TEST(Tree, IgnoredDirectoriesAreSentOnlyAsParents) {
  const TempDirectory directory;
  directory.write("node/keep/a", "");
  directory.write("node/drop/b", "");
  directory.write("node/drop/deep/c", "");
  std::filesystem::create_directory(directory / "node/void");
  EXPECT_THAT(paths(request(directory, "node\n!node/keep/a\n")),
              ElementsAre("node", "node/keep", "node/keep/a"));
  EXPECT_THAT(paths(request(directory, "node\n!node/other\n")), ElementsAre());
}

TEST(Tree, ExcludedPathsAreLeftOutWithAllBelowThem) {
  const TempDirectory directory;
  directory.write("a/cache/x", "");
  directory.write("cache/x", "");
  TreeRequest excluding = request(directory);
  excluding.excluded_paths = {"cache"};
  EXPECT_THAT(paths(excluding), ElementsAre("a", "a/cache", "a/cache/x"));
}

// Every Ctrl-C looked like a change of the context.
TEST(Tree, AnInterruptEndsReadingButNotTheLookAfterwards) {
  const TempDirectory directory;
  directory.write("a", "1");
  const Snapshot snapshot = read_tree(request(directory));
  catch_interrupts();
  raise(SIGINT);
  EXPECT_FALSE(touched_since(request(directory), snapshot));
  EXPECT_THAT(error_of(request(directory)), HasSubstr("interrupted"));
  forget_interrupts();
}

TEST(Tree, ExcludedNamesAreNowhere) {
  const TempDirectory directory;
  directory.write("state", "");
  directory.write("d/state", "");
  directory.write("d/other", "");
  TreeRequest excluding = request(directory, "!state\n");
  const std::vector<std::string> excluded = {"state"};
  excluding.excluded = excluded;
  EXPECT_THAT(paths(excluding), ElementsAre("d", "d/other"));
}

TEST(Tree, FifosAndSocketsAreErrorsUnlessIgnored) {
  const TempDirectory directory;
  ASSERT_EQ(mkfifo((directory / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of(request(directory)), HasSubstr("pipe' is a FIFO"));
  EXPECT_THAT(paths(request(directory, "pipe")), ElementsAre());
  unlink((directory / "pipe").c_str());
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  (directory / "sock").string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(fd);
  EXPECT_THAT(error_of(request(directory)), HasSubstr("sock' is a socket"));
}

TEST(Tree, ADeviceCountsByItsNumber) {
  const TempDirectory directory;
  const auto make = [&](unsigned minor) {
    unlink((directory / "null").c_str());
    return mknod((directory / "null").c_str(), S_IFCHR | 0600, makedev(1, minor)) == 0;
  };
  if (!make(3)) GTEST_SKIP() << "devices cannot be made here";
  const Digest before = digest(directory);
  ASSERT_TRUE(make(3));
  EXPECT_EQ(digest(directory), before);
  ASSERT_TRUE(make(5));
  EXPECT_NE(digest(directory), before);
}

TEST(Tree, WhatCannotBeReadIsNamed) {
  const TempDirectory directory;
  directory.write("d/secret", "x", 0);
  if (getuid() == 0) {
    // Root can read anything: become nobody for a moment, in this thread's file system identity
    // only.
    chmod(directory.path().c_str(), 0755);
    ASSERT_EQ(seteuid(65534), 0);
  }
  const std::string file_error = error_of(request(directory));
  if (getuid() == 0) {
    ASSERT_EQ(seteuid(0), 0);
  }
  EXPECT_THAT(file_error, HasSubstr("cannot read"));
  EXPECT_THAT(file_error, HasSubstr("d/secret"));
  EXPECT_THAT(file_error, HasSubstr("Permission denied"));
}

TEST(Tree, ARootThatIsMissingOrNoDirectoryIsNamed) {
  const TempDirectory directory;
  directory.write("file", "");
  TreeRequest wrong;
  wrong.root = directory / "none";
  EXPECT_THAT(error_of(wrong), HasSubstr("none' does not exist"));
  wrong.root = directory / "file";
  EXPECT_THAT(error_of(wrong), HasSubstr("file' is not a directory"));
  std::filesystem::create_symlink("loop", directory / "loop");
  wrong.root = directory / "loop";
  EXPECT_THAT(error_of(wrong), HasSubstr("symbolic links"));
}

TEST(Tree, ASymlinkToADirectoryIsNotFollowed) {
  const TempDirectory directory;
  const TempDirectory outside;
  outside.write("secret", "x");
  std::filesystem::create_directory_symlink(outside.path(), directory / "link");
  EXPECT_THAT(paths(request(directory)), ElementsAre("link"));
}

TEST(Tree, PathsLongerThanTheSystemsLimitAreRead) {
  const TempDirectory directory;
  // 30 times 200 bytes: no single path could name the file.
  const std::string part(200, 'x');
  int at = open(directory.path().c_str(), O_RDONLY | O_DIRECTORY);
  for (int depth = 0; depth < 30; ++depth) {
    ASSERT_EQ(mkdirat(at, part.c_str(), 0755), 0);
    const int below = openat(at, part.c_str(), O_RDONLY | O_DIRECTORY);
    close(at);
    at = below;
  }
  close(openat(at, "file", O_CREAT | O_WRONLY, 0644));
  close(at);
  const auto entries = entries_of(request(directory));
  ASSERT_EQ(entries.size(), 31U);
  EXPECT_EQ(entries.back().path.size(), 30 * 201 + 4U);
}

TEST(Tree, NamesThatAreNotUtf8AreKept) {
  const TempDirectory directory;
  directory.write("a\xff\n", "x");
  EXPECT_THAT(paths(request(directory)), ElementsAre("a\xff\n"));
}

TEST(Tree, AnyWriteBelowTheRootIsNoticedLater) {
  const TempDirectory directory;
  directory.write("d/a", "1");
  const Snapshot snapshot = read_tree(request(directory));
  EXPECT_FALSE(touched_since(request(directory), snapshot));
  directory.write("other", "");
  unlink((directory / "other").c_str());
  EXPECT_FALSE(touched_since(request(directory), snapshot)) << "the root itself does not count";
  struct stat status = {};
  stat((directory / "d/a").c_str(), &status);
  // Written again with the same byte and the old time: only the ctime tells. (Until its clock has
  // moved on.)
  for (int i = 0; i < 1000 && !touched_since(request(directory), snapshot); ++i) {
    directory.write("d/a", "1");
    const timespec times[2] = {status.st_atim, status.st_mtim};
    utimensat(AT_FDCWD, (directory / "d/a").c_str(), times, 0);
    usleep(1000);
  }
  EXPECT_TRUE(touched_since(request(directory), snapshot));
  EXPECT_EQ(digest(directory), snapshot.digest());
}

// Looks until nothing is young any more; and then some time, as two cores may read the clock some
// milliseconds apart.
Snapshot settled(const TreeRequest& request) {
  Snapshot snapshot = read_tree(request);
  while (wait_until_settled(request, snapshot)) snapshot = read_tree(request);
  usleep(50'000);
  return snapshot;
}

TEST(Tree, AStampAloneTellsWhetherAnythingWasTouched) {
  const TempDirectory places;
  FileClock clock({places.path()});
  const TempDirectory directory;
  directory.write("d/file", "bytes");
  directory.write("Dockerfile", "FROM scratch");
  TreeRequest all = request(directory);
  all.clock = &clock;
  EXPECT_FALSE(read_tree(all).stamp()) << "a later write in the same tick would not show";
  Snapshot snapshot = settled(all);
  const auto stamp = snapshot.stamp();
  ASSERT_TRUE(stamp);
  EXPECT_EQ(snapshot.content_of("Dockerfile"), sha256("FROM scratch"));
  EXPECT_FALSE(snapshot.content_of("d"));
  EXPECT_FALSE(snapshot.content_of("dockerfile"));
  EXPECT_FALSE(touched_since(all, *stamp));
  chmod(directory.path().c_str(), 0700);
  EXPECT_FALSE(touched_since(all, *stamp)) << "the root itself does not count";
  std::filesystem::create_directory(directory / "d/empty");
  EXPECT_TRUE(touched_since(all, *stamp));
  std::filesystem::remove(directory / "d/empty");
  EXPECT_TRUE(touched_since(all, *stamp)) << "d has another mtime";
  snapshot = settled(all);
  ASSERT_TRUE(snapshot.stamp());
  EXPECT_FALSE(touched_since(all, *snapshot.stamp()));
  directory.write("d/file", "bytes");
  EXPECT_TRUE(touched_since(all, *snapshot.stamp()));
}

TEST(Tree, AStampTakesInWitnessesThatTheRulesLeaveOut) {
  const TempDirectory places;
  FileClock clock({places.path()});
  const TempDirectory directory;
  directory.write("file", "bytes");
  directory.write("d/Dockerfile", "not in the root");
  TreeRequest some = request(directory);
  some.clock = &clock;
  some.rules = *IgnoreRules::parse("*\n!file\n");
  TreeStamp stamp = *settled(some).stamp();
  const std::vector<std::string> witnesses = {"Dockerfile", ".dockerignore"};
  some.witnesses = witnesses;
  EXPECT_FALSE(touched_since(some, stamp)) << "none is there";
  directory.write("d/Dockerfile", "changed");
  EXPECT_FALSE(touched_since(some, stamp));
  directory.write("Dockerfile", "FROM scratch");
  EXPECT_TRUE(touched_since(some, stamp));
  usleep(50'000);
  stamp.add_witness("Dockerfile", read_stat(AT_FDCWD, (directory / "Dockerfile").c_str())->stat);
  EXPECT_FALSE(touched_since(some, stamp));
  directory.write(".dockerignore", "");
  usleep(50'000);
  EXPECT_TRUE(touched_since(some, stamp));
  std::filesystem::remove(directory / ".dockerignore");
  EXPECT_FALSE(touched_since(some, stamp));
  directory.write("Dockerfile", "FROM another");
  usleep(50'000);
  EXPECT_TRUE(touched_since(some, stamp));
}

TEST(Tree, AChangingTreeNeverCrashesAndNeverMixesAFile) {
  const TempDirectory directory;
  const std::string one(300'000, '1');
  const std::string two(300'000, '2');
  directory.write("file", one);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      directory.write("new", i % 2 == 0 ? one : two);
      std::filesystem::rename(directory / "new", directory / "file");
      directory.write("d" + std::to_string(i % 5) + "/x", "y");
      std::error_code ignored;
      std::filesystem::remove_all(directory / ("d" + std::to_string((i + 2) % 5)), ignored);
    }
  });
  for (int i = 0; i < 50; ++i) {
    try {
      for (const Entry& entry : entries_of(request(directory))) {
        if (entry.path == "file") {
          EXPECT_TRUE(entry.content == sha256(one) || entry.content == sha256(two));
        }
      }
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("keeps changing"));
    }
  }
  stop = true;
  writer.join();
}

TEST(Tree, ManyFilesAreAllRead) {
  const TempDirectory directory;
  for (int i = 0; i < 1000; ++i)
    directory.write("d" + std::to_string(i % 7) + "/" + std::to_string(i), std::to_string(i));
  const auto entries = entries_of(request(directory));
  EXPECT_EQ(entries.size(), 1007U);
  for (const Entry& entry : entries) {
    if (entry.type == EntryType::File) {
      EXPECT_EQ(entry.content, sha256(entry.path.substr(3)));
    }
  }
}

}  // namespace
}  // namespace imagewright
