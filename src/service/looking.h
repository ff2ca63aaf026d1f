// Which jobs' images are being looked at by who builds them: what he will find is not known yet.
#pragma once

#include <map>
#include <mutex>
#include <string>

namespace imagewright {

/// Any number of threads.
class Looking {
 public:
  void begin(const std::string& unit) {
    const std::lock_guard lock(mutex_);
    ++units_[unit];
  }
  void end(const std::string& unit) {
    const std::lock_guard lock(mutex_);
    if (const auto found = units_.find(unit); found != units_.end() && --found->second == 0)
      units_.erase(found);
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
  std::map<std::string, int> units_;
};

}  // namespace imagewright
