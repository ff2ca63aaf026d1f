// Work that is known to be wanted, in order, done in the background before it is asked for. Knows
// nothing of what the work is.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

namespace imagewright {

/// Results number 0 to count - 1 of `make`, each made once, by the threads of this and by who takes
/// them. Not more than some ahead of what was taken last.
template <typename Result>
class LookAhead {
 public:
  /// `make` is called by several threads at once, each time for another number.
  LookAhead(std::size_t count, std::size_t threads, std::function<Result(std::size_t)> make)
      : make_(std::move(make)), slots_(count) {
    try {
      for (std::size_t i = 0; i < std::min(threads, count); ++i) {
        threads_.emplace_back([this] { work(); });
      }
    } catch (const std::system_error&) {
      // With fewer, then: who takes can make all of them.
    }
  }

  ~LookAhead() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  LookAhead(const LookAhead&) = delete;
  LookAhead& operator=(const LookAhead&) = delete;

  /// Throws what `make` threw. Each number can be taken once; whatever the order.
  Result take(std::size_t number) {
    std::unique_lock lock(mutex_);
    taken_ = std::max(taken_, number);
    changed_.notify_all();
    // What is not begun is made here, and while another makes it, what comes next.
    while (!slots_[number].done) {
      if (!slots_[number].begun) {
        make(lock, number);
      } else if (const auto other = next(); other) {
        make(lock, *other);
      } else {
        changed_.wait(lock);
      }
    }
    Slot slot = std::move(slots_[number]);
    lock.unlock();
    if (slot.error) std::rethrow_exception(slot.error);
    return std::move(*slot.result);
  }

 private:
  static constexpr std::size_t kAhead = 256;

  struct Slot {
    bool begun = false;
    bool done = false;
    std::unique_ptr<Result> result;
    std::exception_ptr error;
  };

  std::optional<std::size_t> next() {
    while (next_ < slots_.size() && slots_[next_].begun) ++next_;
    if (next_ >= slots_.size() || next_ > taken_ + kAhead) return std::nullopt;
    return next_;
  }

  void make(std::unique_lock<std::mutex>& lock, std::size_t number) {
    slots_[number].begun = true;
    lock.unlock();
    std::unique_ptr<Result> result;
    std::exception_ptr error;
    try {
      result = std::make_unique<Result>(make_(number));
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slots_[number].result = std::move(result);
    slots_[number].error = error;
    slots_[number].done = true;
    changed_.notify_all();
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      if (const auto number = next(); number) {
        make(lock, *number);
      } else {
        if (next_ >= slots_.size()) return;
        changed_.wait(lock);
      }
    }
  }

  std::function<Result(std::size_t)> make_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  std::size_t next_ = 0;
  std::size_t taken_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace imagewright
