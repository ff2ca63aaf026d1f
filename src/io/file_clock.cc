#include "io/file_clock.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <ctime>
#include <string>

#include "io/fd.h"

namespace imagewright {

namespace {

constexpr FileTime kSecond = 1'000'000'000;
// Several ticks of a slow kernel; and of file systems that count in seconds, some in two.
constexpr FileTime kFineTick = 20'000'000;
constexpr FileTime kCoarseTick = 2 * kSecond;
// A reading serves as long as this: an older one only means that more counts as just written.
constexpr FileTime kFresh = 10'000'000;

FileTime in_nanoseconds(const timespec& time) {
  return static_cast<FileTime>(time.tv_sec) * kSecond + time.tv_nsec;
}

FileTime by(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return in_nanoseconds(now);
}

}  // namespace

FileTick FileClock::read(std::uint64_t device) {
  const std::lock_guard lock(mutex_);
  const FileTime now = by(CLOCK_MONOTONIC);
  if (taken_ == 0 || now - taken_ > kFresh) {
    take();
    taken_ = now;
  }
  for (const Reading& reading : readings_) {
    if (reading.device == device) return reading.tick;
  }
  return {by(CLOCK_REALTIME_COARSE), kCoarseTick};
}

void FileClock::take() {
  readings_.clear();
  for (const std::filesystem::path& place : places_) {
    Fd fd(open(place.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fd) {
      // A file system without unnamed files.
      std::string name = (place / "clock-XXXXXX").string();
      fd = Fd(mkostemp(name.data(), O_CLOEXEC));
      if (fd) unlink(name.c_str());
    }
    struct stat status = {};
    if (!fd || fstat(fd.get(), &status) != 0) continue;
    // A stamp in whole seconds is most likely one of a clock that has no other.
    const bool coarse = status.st_ctim.tv_nsec == 0;
    readings_.push_back({static_cast<std::uint64_t>(status.st_dev),
                         {in_nanoseconds(status.st_ctim), coarse ? kCoarseTick : kFineTick}});
  }
}

}  // namespace imagewright
