// What a server serves: one configuration, as it was last read without an error, and whether it is
// the one that counts. Knows nothing of who reads it, or of other servers.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "run/project.h"
#include "service/units.h"

namespace imagewright {

/// A configuration and what of it one job builds.
struct Served {
  explicit Served(Project read) : project(std::move(read)), units(project) {}
  Project project;
  Units units;
};

/// The one that counts now. Whoever got one keeps it as long as he needs it, whatever is read
/// meanwhile. Any number of threads.
class Current {
 public:
  explicit Current(Project project) { set(std::move(project)); }

  std::shared_ptr<const Served> get() const {
    const std::lock_guard lock(mutex_);
    return served_;
  }
  /// Does it count among servers that share the store (Queue::serve)? Else nothing is queued and
  /// nothing claimed here.
  bool counts() const { return counts_; }
  /// Gives whether it did before.
  bool set_counts(bool counts) { return counts_.exchange(counts); }

  void set(Project project) {
    auto served = std::make_shared<const Served>(std::move(project));
    const std::lock_guard lock(mutex_);
    served_ = std::move(served);
  }

 private:
  std::atomic<bool> counts_{true};
  mutable std::mutex mutex_;
  std::shared_ptr<const Served> served_;
};

}  // namespace imagewright
