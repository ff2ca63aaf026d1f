// The time by a file system's own clock, and how far apart two writes must be to get different
// stamps. Knows nothing of what the stamps are compared with. Rule: what was written no earlier
// than a tick before a look may be written again without its stamps telling (git's
// Documentation/technical/racy-git.adoc).
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <vector>

namespace imagewright {

/// Nanoseconds since 1970.
using FileTime = std::int64_t;

/// For one file system, at one moment.
struct FileTick {
  FileTime now = 0;
  FileTime tick = 0;  ///< stamps older than now - tick are of the past for good
};

class FileClock {
 public:
  /// `places`: directories of our own, in which a file may be made to see its stamp: the clock of
  /// the file system that they are on. Others are taken to be coarse. Nothing is left behind.
  explicit FileClock(std::vector<std::filesystem::path> places) : places_(std::move(places)) {}
  virtual ~FileClock() = default;
  FileClock(const FileClock&) = delete;
  FileClock& operator=(const FileClock&) = delete;

  /// For the file system with this device number (st_dev). Never fails. May be called by several
  /// threads.
  virtual FileTick read(std::uint64_t device);

 private:
  struct Reading {
    std::uint64_t device = 0;
    FileTick tick;
  };
  void take();

  std::vector<std::filesystem::path> places_;
  std::mutex mutex_;
  std::int64_t taken_ = 0;  // by the monotonic clock, nanoseconds; 0: not yet
  std::vector<Reading> readings_;
};

}  // namespace imagewright
