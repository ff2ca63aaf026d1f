#include "io/scratch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "io/build_log.h"
#include "io/error.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;

void make_old(const fs::path& path) {
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  utimensat(AT_FDCWD, path.c_str(), old, 0);
}

TEST(Scratch, MemoryIsOursAloneAndNeverMuchOfIt) {
  const auto memory = scratch_memory();
  if (!memory) GTEST_SKIP() << "no memory to be had here";
  struct stat status = {};
  ASSERT_EQ(lstat(memory->parent.c_str(), &status), 0);
  EXPECT_TRUE(S_ISDIR(status.st_mode));
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  EXPECT_EQ(status.st_uid, geteuid());
  EXPECT_GT(memory->most_bytes, 0U);
  EXPECT_LE(memory->most_bytes, std::uint64_t{128} << 20);
  const ScratchDirectory scratch(memory->parent);
  write_file(scratch.path() / "file", "x");
}

TEST(Scratch, ItGoesWithAllThatIsInIt) {
  const TempDirectory parent;
  fs::path path;
  {
    const ScratchDirectory scratch(parent / "a/b");
    path = scratch.path();
    write_file(path / "file", "x");
    struct stat status = {};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700U);
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(Scratch, DirectoriesThatComeAndGoDoNotSlowDownEachOther) {
  const TempDirectory parent;
  const auto flags = [](const fs::path& path) {
    int found = 0;
    const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ioctl(fd, FS_IOC_GETFLAGS, &found) != 0) found = -1;
    close(fd);
    return found;
  };
  // Does this file system know the flag?
  fs::create_directory(parent / "probe");
  const int fd = open((parent / "probe").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int wanted = FS_TOPDIR_FL;
  const bool knows = ioctl(fd, FS_IOC_SETFLAGS, &wanted) == 0;
  close(fd);
  const ScratchDirectory scratch(parent / "a");
  EXPECT_EQ(knows, flags(parent / "a") > 0 && (flags(parent / "a") & FS_TOPDIR_FL) != 0);
}

TEST(Scratch, WhatAKilledProcessLeftIsRemovedAndWhatIsInUseStays) {
  const TempDirectory parent;
  std::array<int, 2> ready{};
  ASSERT_EQ(pipe(ready.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const ScratchDirectory left(parent.path());
    const std::string path = left.path();
    if (write(ready[1], path.c_str(), path.size()) < 0) _exit(1);
    pause();
    _exit(0);
  }
  std::string left(4096, '\0');
  left.resize(static_cast<std::size_t>(read(ready[0], left.data(), left.size())));
  make_old(left);
  { const ScratchDirectory scratch(parent.path()); }
  EXPECT_TRUE(fs::exists(left)) << "in use";
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  { const ScratchDirectory scratch(parent.path()); }
  EXPECT_FALSE(fs::exists(left)) << "its owner is gone";
}

// Copies of such contexts stayed for ever, for users who are not root.
TEST(Scratch, DirectoriesWithoutWritePermissionGoToo) {
  const TempDirectory parent;
  chmod(parent.path().c_str(), 0777);
  const bool is_root = getuid() == 0;
  if (is_root) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  fs::path path;
  {
    const ScratchDirectory scratch(parent.path());
    path = scratch.path();
    fs::create_directories(path / "a/b");
    write_file(path / "a/b/file", "x");
    chmod((path / "a/b").c_str(), 0555);
    chmod((path / "a").c_str(), 0500);
  }
  const bool is_gone = !fs::exists(path);
  if (is_root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  EXPECT_TRUE(is_gone);
}

TEST(Scratch, WritingAFileReplacesItWholeOrNotAtAll) {
  const TempDirectory directory;
  directory.write("file", "old and longer");
  write_file(directory / "file", "new");
  std::ifstream file(directory / "file");
  EXPECT_EQ(std::string((std::istreambuf_iterator<char>(file)), {}), "new");
  EXPECT_THROW(write_file(directory / "none/file", "x"), Error);
}

TEST(BuildLog, KeepsTheFileAndTheLastLines) {
  const TempDirectory directory;
  BuildLog log(directory / "image");
  for (int i = 0; i < 25; ++i) log.add("line " + std::to_string(i));
  EXPECT_EQ(log.last_lines().size(), 10U);
  EXPECT_EQ(log.last_lines().front(), "line 15");
  std::ifstream file(log.path());
  std::string first;
  std::getline(file, first);
  EXPECT_EQ(first, "line 0");
  EXPECT_EQ(log.error(), "");
}

TEST(BuildLog, OldOnesGoBeyondAHundred) {
  const TempDirectory directory;
  for (int i = 0; i < 120; ++i) directory.write(std::to_string(1000 + i) + ".log", "");
  const BuildLog log(directory.path());
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory.path())) ++count;
  EXPECT_EQ(count, 100U);
  EXPECT_FALSE(fs::exists(directory / "1020.log"));
  EXPECT_TRUE(fs::exists(directory / "1021.log"));
  EXPECT_TRUE(fs::exists(log.path()));
}

TEST(BuildLog, ADirectoryThatCannotBeMadeIsToldOnceAndHindersNothing) {
  const TempDirectory directory;
  directory.write("file", "");
  BuildLog log(directory / "file/image");
  log.add("line");
  EXPECT_NE(log.error(), "");
  EXPECT_EQ(log.path(), "");
  EXPECT_EQ(log.last_lines().size(), 1U);
}

}  // namespace
}  // namespace imagewright
