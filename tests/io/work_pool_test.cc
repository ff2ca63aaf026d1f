#include "io/work_pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <stdexcept>
#include <string>

namespace imagewright {
namespace {

// A tree of work: an item of depth n makes `width` of depth n - 1. Cheap to move only.
using Depth = std::unique_ptr<int>;

Depth depth(int n) {
  return std::make_unique<int>(n);
}

// The threads that took part in something.
class Threads {
 public:
  void note() {
    const std::lock_guard lock(mutex_);
    ids_.insert(std::this_thread::get_id());
  }
  std::size_t count() const { return ids_.size(); }

 private:
  std::mutex mutex_;
  std::set<std::thread::id> ids_;
};

TEST(WorkPool, AllWorkIsDoneOnceAndThenItEnds) {
  for (const std::size_t threads : {1U, 2U, 8U}) {
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> done{0};
      const auto handle = [&](Depth item, auto& worker) {
        ++done;
        worker.did(300);  // so that threads are started early
        for (int i = 0; i < 5 && *item > 0; ++i) {
          if (i == 4 && worker.others_wait()) {
            worker.give(depth(*item - 1));
          } else {
            worker.push(depth(*item - 1));
          }
        }
      };
      WorkPool<Depth, decltype(handle)> pool(handle, threads, threads);
      pool.run(depth(5));
      ASSERT_EQ(done, 1 + 5 + 25 + 125 + 625 + 3125) << threads << " threads, round " << round;
    }
  }
}

TEST(WorkPool, LittleWorkIsDoneByTheCallerAlone) {
  Threads threads;
  const auto handle = [&](Depth item, auto& worker) {
    threads.note();
    worker.did(1);
    for (int i = 0; i < 10 && *item > 0; ++i) worker.push(depth(*item - 1));
  };
  WorkPool<Depth, decltype(handle)> pool(handle, 8, 8);
  pool.run(depth(2));
  EXPECT_EQ(threads.count(), 1U);
}

TEST(WorkPool, MuchWorkIsSharedByAsManyAsAreUsual) {
  Threads threads;
  const auto handle = [&](Depth item, auto& worker) {
    threads.note();
    worker.did(1000);
    // (Computing all the time: the disk is not slow.)
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
    while (std::chrono::steady_clock::now() < until) {
    }
    for (int i = 0; i < 10 && *item > 0; ++i) worker.push(depth(*item - 1));
  };
  WorkPool<Depth, decltype(handle)> pool(handle, 3, 3);
  pool.run(depth(3));
  EXPECT_EQ(threads.count(), 3U);
}

TEST(WorkPool, ThreadsThatWaitForTheDiskGetCompany) {
  Threads threads;
  std::atomic<bool> slow{false};
  const auto handle = [&](Depth item, auto& worker) {
    threads.note();
    worker.did(600);
    if (worker.disk_is_slow()) slow = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (int i = 0; i < 10 && *item > 0; ++i) worker.push(depth(*item - 1));
  };
  WorkPool<Depth, decltype(handle)> pool(handle, 1, 4);
  pool.run(depth(2));
  EXPECT_TRUE(slow);
  EXPECT_GT(threads.count(), 1U);
  EXPECT_LE(threads.count(), 4U);
}

TEST(WorkPool, TheFirstErrorEndsItAndIsThrown) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> handled{0};
    const auto handle = [&](Depth item, auto& worker) {
      worker.did(600);
      if (++handled >= 100) throw std::runtime_error("no more");
      for (int i = 0; i < 5 && *item > 0; ++i) worker.push(depth(*item - 1));
    };
    WorkPool<Depth, decltype(handle)> pool(handle, 4, 4);
    try {
      pool.run(depth(20));
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "no more");
    }
    // Whoever was at work may have thrown, too; nobody took more.
    EXPECT_LT(handled, 110);
  }
}

TEST(WorkPool, AnErrorOfTheFirstPieceIsThrown) {
  const auto handle = [](Depth, auto&) { throw std::runtime_error("at once"); };
  WorkPool<Depth, decltype(handle)> pool(handle, 4, 4);
  EXPECT_THROW(pool.run(depth(0)), std::runtime_error);
}

}  // namespace
}  // namespace imagewright
