// Which jobs' images are being looked at by who builds them: what he will find is not known yet.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace imagewright {

/// Any number of threads. Who looks says so by the fence of his claim: another one of the same unit
/// may begin before he ends. To begin or to end twice is no more than once.
class Looking {
 public:
  void begin(const std::string& unit, std::int64_t fence) {
    const std::lock_guard lock(mutex_);
    units_[unit].insert(fence);
  }
  void end(const std::string& unit, std::int64_t fence) {
    const std::lock_guard lock(mutex_);
    const auto found = units_.find(unit);
    if (found == units_.end()) return;
    found->second.erase(fence);
    if (found->second.empty()) units_.erase(found);
  }
  bool contains(const std::string& unit) const {
    const std::lock_guard lock(mutex_);
    return units_.contains(unit);
  }

  /// Who claims a job and begins to look at it does so in one, and so does who finds that nobody
  /// looks and then queues: as long as one has this, the other waits.
  std::unique_lock<std::mutex> in_one() const { return std::unique_lock(in_one_); }

 private:
  mutable std::mutex in_one_;
  mutable std::mutex mutex_;
  std::map<std::string, std::set<std::int64_t>> units_;  // fences
};

}  // namespace imagewright
