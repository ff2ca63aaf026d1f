#include "io/file_read.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <iterator>

#include "core/digest.h"
#include "io/error.h"
#include "io/fd.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

using testing::HasSubstr;

Fd open_to_read(const std::filesystem::path& path) {
  return Fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

std::string error_of(const std::filesystem::path& path) {
  try {
    read_file(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(FileRead, BytesComeAsTheyAre) {
  const TempDirectory directory;
  for (const std::size_t size : {0U, 1U, 262'143U, 262'144U, 262'145U, 1'000'000U}) {
    std::string bytes(size, 'x');
    if (size > 0) bytes.back() = '\0';
    directory.write("file", bytes);
    EXPECT_EQ(read_file(directory / "file"), bytes) << size;
  }
}

// What was seen of a file before it is opened may be out of date by then: the digest would have
// been kept for a file that it is not of.
TEST(FileRead, TheDigestIsKeptWithWhatTheFileWasWhenItWasRead) {
  const TempDirectory directory;
  directory.write("file", "before");
  const Fd fd = open_to_read(directory / "file");
  auto stat = read_stat(fd.get(), "");
  ASSERT_TRUE(stat);
  directory.write("file", "and after");
  Digest content{};
  Xattrs xattrs;
  Sha256 hash;
  ASSERT_EQ(read_content(fd.get(), *stat, content, xattrs, hash), ReadResult::Good);
  EXPECT_EQ(content, sha256("and after"));
  EXPECT_EQ(stat->stat.size, 9U);
  EXPECT_EQ(stat->stat, read_stat(fd.get(), "")->stat);
  EXPECT_EQ(stat->ctime, read_stat(fd.get(), "")->ctime);
}

TEST(FileRead, WhatIsNoFileIsNotReadAsOne) {
  const TempDirectory directory;
  ASSERT_EQ(mkfifo((directory / "pipe").c_str(), 0600), 0);
  std::filesystem::create_directory(directory / "d");
  Statx stat;
  Digest content{};
  Xattrs xattrs;
  Sha256 hash;
  EXPECT_NE(read_content(open_to_read(directory / "d").get(), stat, content, xattrs, hash),
            ReadResult::Good);
  EXPECT_NE(read_content(open_to_read(directory / "pipe").get(), stat, content, xattrs, hash),
            ReadResult::Good);
  EXPECT_THAT(error_of(directory / "pipe"), HasSubstr("is a FIFO"));
  EXPECT_THAT(error_of("/dev/zero"), HasSubstr("a device"));
  EXPECT_THAT(error_of(directory / "d"), HasSubstr("directory"));
  EXPECT_THAT(error_of(directory / "none"), HasSubstr("No such file"));
}

// What says that it is empty was cut off at the first short read.
TEST(FileRead, AFileWhoseSizeIsNotToldIsReadToItsEnd) {
  std::ifstream file("/proc/kallsyms", std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(file)), {});
  if (whole.size() < 100'000) GTEST_SKIP() << "there is no large file without a size here";
  EXPECT_EQ(read_file("/proc/kallsyms").size(), whole.size());
}

}  // namespace
}  // namespace imagewright
