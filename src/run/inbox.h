// Work that many threads hand to one. Knows nothing of what the work is.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <utility>

namespace imagewright {

/// What is handed in is done in order, by the one thread that calls `serve`. So what that thread
/// owns needs no lock.
class Inbox {
 public:
  using Work = std::function<void()>;

  /// Hands in work and goes on. Waits while very much is waiting.
  void post(Work work) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_.size() < kMost; });
    waiting_.push_back(std::move(work));
    changed_.notify_all();
  }

  /// Hands in work and waits until it is done. Throws what it throws.
  void call(const Work& work) {
    std::exception_ptr error;
    bool done = false;
    post([&] {
      try {
        work();
      } catch (...) {
        error = std::current_exception();
      }
      const std::lock_guard lock(mutex_);
      done = true;
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done; });
    lock.unlock();
    if (error) std::rethrow_exception(error);
  }

  /// Does what was handed in; if there is nothing, waits so long for something. What comes while it
  /// works is left for the next time. All of it is done; then throws what the first of it threw.
  void serve(std::chrono::milliseconds time) {
    std::deque<Work> all;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, time, [&] { return !waiting_.empty(); });
      all.swap(waiting_);
      changed_.notify_all();
    }
    std::exception_ptr error;
    for (const Work& work : all) {
      try {
        work();
      } catch (...) {
        if (!error) error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
  }

 private:
  static constexpr std::size_t kMost = 1000;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> waiting_;
};

}  // namespace imagewright
