// Threads that share work which makes more work: each has a stack of its own and gives half of it
// away when another has nothing to do. Starts with the caller alone: threads cost more than little
// work does. Adds some while those there are wait for the disk more than they compute. Knows
// nothing of what the work is.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <ctime>
#include <deque>
#include <exception>
#include <iterator>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace imagewright {

/// `Item` is cheap to move. `Handler` is called as handler(Item, Worker&), by several threads at
/// once; the first exception that it throws ends the work and is thrown by `run`.
template <typename Item, typename Handler>
class WorkPool {
 public:
  class Worker {
   public:
    /// More work, for this thread or, when another has none, for that.
    void push(Item item) { stack_.push_back(std::move(item)); }
    /// Is there a thread with nothing to do, and nothing yet for it to take?
    bool others_wait() const {
      return pool_.waiting_.load(std::memory_order_relaxed) >
             pool_.offered_.load(std::memory_order_relaxed);
    }
    /// Is there less for the other threads to take than there are of them? Then one of them will
    /// have nothing to do as soon as it is done with what it does.
    bool others_will_wait() const {
      return pool_.threads_.load(std::memory_order_relaxed) >
             pool_.offered_.load(std::memory_order_relaxed) + 1;
    }
    /// Gives work to another thread at once.
    void give(Item item) { pool_.share(std::move(item)); }
    /// To be told of each piece of work done, in units of about a microsecond.
    void did(std::size_t work) {
      since_ += work;
      if (since_ < kBetween) return;
      since_ = 0;
      pool_.consider(*this);
    }
    /// Do threads mostly wait for the disk?
    bool disk_is_slow() const { return pool_.slow_.load(std::memory_order_relaxed); }

   private:
    friend class WorkPool;
    explicit Worker(WorkPool& pool) : pool_(pool) {}

    WorkPool& pool_;
    std::vector<Item> stack_;
    std::size_t since_ = 0;
    timespec wall_ = {};
    timespec cpu_ = {};
  };

  /// `usual` threads when there is much to do, up to `most` when the disk is slow.
  WorkPool(Handler& handler, std::size_t usual, std::size_t most)
      : handler_(handler), usual_(std::max<std::size_t>(usual, 1)), most_(std::max(usual_, most)) {}

  void run(Item first) {
    Worker own(*this);
    own.push(std::move(first));
    threads_ = 1;
    work(own);
    {
      // Nobody starts another now; and who was about to is done with it.
      const std::lock_guard lock(mutex_);
    }
    for (std::thread& thread : started_) thread.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  static constexpr std::size_t kBetween = 512;

  void share(Item item) {
    {
      const std::lock_guard lock(mutex_);
      shared_.push_back(std::move(item));
      offered_ = shared_.size();
    }
    changed_.notify_one();
  }

  void work(Worker& worker) {
    try {
      while (!stop_.load(std::memory_order_relaxed)) {
        if (worker.stack_.empty() && !take(worker)) break;
        if (worker.stack_.size() > 1 && worker.others_wait()) give_half(worker);
        Item item = std::move(worker.stack_.back());
        worker.stack_.pop_back();
        handler_(std::move(item), worker);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      stop_ = true;
    }
    changed_.notify_all();
  }

  // False: there is nothing left, and nobody who could make more.
  bool take(Worker& worker) {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.wait(lock, [&] { return !shared_.empty() || waiting_ == threads_ || stop_; });
    if (shared_.empty() || stop_) {
      changed_.notify_all();
      return false;
    }
    --waiting_;
    worker.stack_.push_back(std::move(shared_.front()));
    shared_.pop_front();
    offered_ = shared_.size();
    return true;
  }

  // The older half: what lies lowest is likely to have most below it.
  void give_half(Worker& worker) {
    {
      const std::lock_guard lock(mutex_);
      const auto half = static_cast<std::ptrdiff_t>(worker.stack_.size() / 2);
      std::move(worker.stack_.begin(), worker.stack_.begin() + half, std::back_inserter(shared_));
      worker.stack_.erase(worker.stack_.begin(), worker.stack_.begin() + half);
      offered_ = shared_.size();
    }
    changed_.notify_all();
  }

  void consider(Worker& worker) {
    if (threads_ < usual_) {
      while (start(usual_)) {
      }
    }
    timespec wall = {};
    timespec cpu = {};
    clock_gettime(CLOCK_MONOTONIC, &wall);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    const auto between = [](const timespec& from, const timespec& to) {
      return (to.tv_sec - from.tv_sec) * 1'000'000'000L + (to.tv_nsec - from.tv_nsec);
    };
    if (worker.wall_.tv_sec != 0) {
      // All threads together compute for less than half of the time that they could.
      const auto could = between(worker.wall_, wall) * static_cast<long>(usual_);
      const bool slow = between(worker.cpu_, cpu) * 2 < could;
      slow_.store(slow, std::memory_order_relaxed);
      if (slow) start(most_);
    }
    worker.wall_ = wall;
    worker.cpu_ = cpu;
  }

  // One more thread, if there are fewer than that. False: there are enough.
  bool start(std::size_t limit) {
    const std::lock_guard lock(mutex_);
    if (threads_ >= limit || stop_) return false;
    ++threads_;
    try {
      started_.emplace_back([this] {
        Worker worker(*this);
        work(worker);
      });
    } catch (const std::system_error&) {
      --threads_;  // then with fewer
      return false;
    }
    return true;
  }

  Handler& handler_;
  const std::size_t usual_;
  const std::size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> shared_;
  std::list<std::thread> started_;
  std::atomic<std::size_t> threads_{0};
  std::atomic<std::size_t> waiting_{0};
  std::atomic<std::size_t> offered_{0};  // the size of shared_
  std::atomic<bool> stop_{false};
  std::atomic<bool> slow_{false};
  std::exception_ptr error_;
};

}  // namespace imagewright
