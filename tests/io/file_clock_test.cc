#include "io/file_clock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "temp_directory.h"

namespace imagewright {
namespace {

constexpr FileTime kMillisecond = 1'000'000;

struct stat stat_of(const std::filesystem::path& path) {
  struct stat status = {};
  EXPECT_EQ(stat(path.c_str(), &status), 0);
  return status;
}

FileTime ctime_of(const std::filesystem::path& path) {
  const auto status = stat_of(path);
  return status.st_ctim.tv_sec * 1000 * kMillisecond + status.st_ctim.tv_nsec;
}

std::uint64_t device_of(const std::filesystem::path& path) {
  return stat_of(path).st_dev;
}

std::size_t open_files() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

TEST(FileClock, ItIsTheClockThatStampsFiles) {
  const TempDirectory place;
  const TempDirectory files;
  FileClock clock({place.path()});
  files.write("before", "");
  const FileTick tick = clock.read(device_of(files.path()));
  files.write("after", "");
  EXPECT_LE(ctime_of(files / "before"), tick.now);
  EXPECT_LE(tick.now, ctime_of(files / "after"));
}

// A reading of the future would call files settled that may still be written without a trace.
TEST(FileClock, AReadingThatIsNotFreshIsOfThePast) {
  const TempDirectory place;
  FileClock clock({place.path()});
  for (int i = 0; i < 200; ++i) {
    const FileTick tick = clock.read(device_of(place.path()));
    place.write("file", "");
    ASSERT_LE(tick.now, ctime_of(place / "file"));
  }
}

TEST(FileClock, ItGoesOn) {
  const TempDirectory place;
  FileClock clock({place.path()});
  const FileTime first = clock.read(device_of(place.path())).now;
  FileTime later = first;
  for (int i = 0; i < 1000 && later <= first + 50 * kMillisecond; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    later = clock.read(device_of(place.path())).now;
  }
  EXPECT_GT(later, first + 50 * kMillisecond);
}

// What all trust rests on: behind the tick, a write gets another stamp.
TEST(FileClock, AWriteATickLaterGetsAnotherStamp) {
  const TempDirectory place;
  FileClock clock({place.path()});
  for (int i = 0; i < 10; ++i) {
    place.write("file", "1");
    const FileTime before = ctime_of(place / "file");
    bool settled = false;
    for (int wait = 0; wait < 5000 && !settled; ++wait) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const FileTick tick = clock.read(device_of(place.path()));
      settled = before < tick.now - tick.tick;
    }
    ASSERT_TRUE(settled);
    place.write("file", "2");
    ASSERT_GT(ctime_of(place / "file"), before);
  }
}

TEST(FileClock, AFineClockHasAFineTick) {
  const TempDirectory place;
  place.write("file", "");
  if (ctime_of(place / "file") % (1000 * kMillisecond) == 0) {
    GTEST_SKIP() << "this file system counts in seconds";
  }
  EXPECT_EQ(FileClock({place.path()}).read(device_of(place.path())).tick, 20 * kMillisecond);
}

TEST(FileClock, AnUnknownFileSystemIsCoarse) {
  const TempDirectory place;
  place.write("file", "");
  FileClock clock({place.path()});
  const FileTick other = clock.read(device_of(place.path()) + 12345);
  EXPECT_EQ(other.tick, 2000 * kMillisecond);
  // (The time is the system's: by hours at most, not off by a unit.)
  EXPECT_NEAR(static_cast<double>(other.now), static_cast<double>(ctime_of(place / "file")), 1e13);
}

TEST(FileClock, APlaceThatIsNotThereOrNoDirectoryIsNoMatter) {
  const TempDirectory place;
  place.write("file", "");
  FileClock clock({place / "none", place / "file"});
  EXPECT_EQ(clock.read(device_of(place.path())).tick, 2000 * kMillisecond);
  FileClock second({place / "none", place.path()});
  EXPECT_LE(ctime_of(place / "file"), second.read(device_of(place.path())).now);
}

TEST(FileClock, EachFileSystemHasItsOwn) {
  const TempDirectory place;
  const std::filesystem::path memory = "/dev/shm";
  if (!std::filesystem::is_directory(memory) || access(memory.c_str(), W_OK) != 0 ||
      device_of(memory) == device_of(place.path())) {
    GTEST_SKIP() << "there is no second file system here";
  }
  FileClock clock({place.path(), memory});
  EXPECT_LT(clock.read(device_of(memory)).tick, 2000 * kMillisecond);
  EXPECT_LE(clock.read(device_of(place.path())).tick, 2000 * kMillisecond);
}

TEST(FileClock, NothingIsLeftBehind) {
  const TempDirectory place;
  const std::size_t before = open_files();
  for (int i = 0; i < 100; ++i) FileClock({place.path()}).read(device_of(place.path()));
  EXPECT_TRUE(std::filesystem::is_empty(place.path()));
  EXPECT_EQ(open_files(), before);
}

TEST(FileClock, SeveralThreadsMayAsk) {
  const TempDirectory place;
  FileClock clock({place.path()});
  const std::uint64_t device = device_of(place.path());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      FileTime last = 0;
      for (int k = 0; k < 20; ++k) {
        const FileTime now = clock.read(device).now;
        EXPECT_GE(now, last);
        last = now;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace imagewright
