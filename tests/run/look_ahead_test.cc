#include "run/look_ahead.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace imagewright {
namespace {

TEST(LookAhead, EachNumberIsMadeOnceWhateverTheThreads) {
  for (const std::size_t threads : {0U, 1U, 7U}) {
    constexpr std::size_t kCount = 500;
    std::vector<std::atomic<int>> made(kCount);
    LookAhead<std::unique_ptr<std::size_t>> looks(kCount, threads, [&](std::size_t number) {
      ++made[number];
      return std::make_unique<std::size_t>(number);
    });
    for (std::size_t i = 0; i < kCount; ++i) ASSERT_EQ(*looks.take(i), i);
    for (const auto& count : made) ASSERT_EQ(count, 1) << threads << " threads";
  }
}

TEST(LookAhead, TheyCanBeTakenInAnyOrder) {
  LookAhead<std::size_t> looks(200, 2, [](std::size_t number) { return number * 2; });
  for (std::size_t i = 200; i-- > 0;) ASSERT_EQ(looks.take(i), i * 2);
}

TEST(LookAhead, AnErrorIsThrownWhereItsNumberIsTakenAndNowhereElse) {
  LookAhead<std::size_t> looks(100, 2, [](std::size_t number) {
    if (number % 10 == 3) throw std::runtime_error(std::to_string(number));
    return number;
  });
  for (std::size_t i = 0; i < 100; ++i) {
    if (i % 10 != 3) {
      ASSERT_EQ(looks.take(i), i);
      continue;
    }
    try {
      looks.take(i);
      FAIL() << i;
    } catch (const std::runtime_error& error) {
      ASSERT_EQ(error.what(), std::to_string(i));
    }
  }
}

// A run of a thousand images would hold all their contexts at once.
TEST(LookAhead, ItDoesNotRunFarAhead) {
  constexpr std::size_t kAhead = 256;
  std::atomic<std::size_t> taken{0};
  std::atomic<std::size_t> made{0};
  std::atomic<bool> too_far{false};
  LookAhead<std::size_t> looks(1000, 3, [&](std::size_t number) {
    if (number > taken + kAhead) too_far = true;
    ++made;
    return number;
  });
  while (made < kAhead + 1) std::this_thread::yield();
  for (std::size_t i = 0; i < 1000; ++i) {
    taken = i;
    looks.take(i);
  }
  EXPECT_FALSE(too_far);
  EXPECT_EQ(made, 1000U);
}

// The one who takes waited for the thread that made it, and nobody made the next.
TEST(LookAhead, WhoWaitsForOneMakesTheNext) {
  std::atomic<bool> begun{false};
  std::atomic<bool> next_made{false};
  LookAhead<std::size_t> looks(2, 1, [&](std::size_t number) {
    if (number == 0) {
      begun = true;
      while (!next_made) std::this_thread::yield();
    } else {
      next_made = true;
    }
    return number;
  });
  while (!begun) std::this_thread::yield();
  EXPECT_EQ(looks.take(0), 0U);
  EXPECT_EQ(looks.take(1), 1U);
}

TEST(LookAhead, WhatNobodyTakesIsNoMatter) {
  for (int i = 0; i < 50; ++i) {
    LookAhead<std::string> looks(20, 3, [](std::size_t number) {
      if (number == 5) throw std::runtime_error("never seen");
      return std::string(100, 'x');
    });
    if (i % 2 == 0) looks.take(0);
  }
  LookAhead<int>(0, 4, [](std::size_t) { return 0; });
}

}  // namespace
}  // namespace imagewright
