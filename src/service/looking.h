// Which jobs' images are being looked at by who builds them: what he will find is not known yet.
#pragma once

#include <mutex>
#include <set>
#include <string>

namespace imagewright {

/// Any number of threads.
class Looking {
 public:
  void begin(const std::string& unit) {
    const std::lock_guard lock(mutex_);
    units_.insert(unit);
  }
  void end(const std::string& unit) {
    const std::lock_guard lock(mutex_);
    units_.erase(unit);
  }
  bool contains(const std::string& unit) const {
    const std::lock_guard lock(mutex_);
    return units_.count(unit) != 0;
  }

  /// Who claims a job and begins to look at it does so in one, and so does who finds that nobody
  /// looks and then queues: as long as one has this, the other waits.
  std::unique_lock<std::mutex> in_one() const { return std::unique_lock(in_one_); }

 private:
  mutable std::mutex in_one_;
  mutable std::mutex mutex_;
  std::set<std::string> units_;
};

}  // namespace imagewright
