#include "core/schedule.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace imagewright {
namespace {

using std::chrono::milliseconds;

Schedule alone(std::size_t images, bool fail_fast = false) {
  return {std::vector<Task>(images), {1, fail_fast}};
}

// Takes the next image to build through Looking and Ready.
std::optional<std::size_t> build_next(Schedule& schedule) {
  while (const auto image = schedule.next_to_look_at()) schedule.move(*image, ImageState::Ready);
  return schedule.next_to_build();
}

TEST(Schedule, OneAtATimeTheyComeInOrder) {
  Schedule schedule = alone(3);
  schedule.expect({milliseconds(1), milliseconds(3), milliseconds(2)});
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(schedule.next_to_look_at(), i);
    EXPECT_EQ(schedule.state(i), ImageState::Looking);
    schedule.move(i, ImageState::UpToDate);
  }
  EXPECT_EQ(schedule.next_to_look_at(), std::nullopt);
  EXPECT_EQ(schedule.count(ImageState::UpToDate), 3U);
  EXPECT_TRUE(schedule.done());
}

TEST(Schedule, WhatCannotBeLookedAtYetLetsOthersGoFirst) {
  Schedule schedule = alone(3);
  const auto not_the_first = [](std::size_t image) { return image != 0; };
  EXPECT_EQ(schedule.next_to_look_at(not_the_first), 1U);
  EXPECT_EQ(schedule.next_to_look_at(not_the_first), 2U);
  EXPECT_EQ(schedule.next_to_look_at(not_the_first), std::nullopt);
  EXPECT_EQ(schedule.next_to_look_at(), 0U);
}

TEST(Schedule, AFailureLeavesTheOthersGoing) {
  Schedule schedule = alone(2);
  schedule.move(*schedule.next_to_look_at(), ImageState::Failed);
  EXPECT_EQ(schedule.next_to_look_at(), 1U);
}

TEST(Schedule, WithFailFastAFailureSkipsWhatIsNotBuilding) {
  Schedule schedule({Task{}, Task{}, Task{}, Task{{0}, 1}}, {2, true});
  EXPECT_EQ(build_next(schedule), 0U);
  EXPECT_EQ(build_next(schedule), 1U);
  schedule.move(0, ImageState::Failed);
  EXPECT_EQ(schedule.state(1), ImageState::Building);
  EXPECT_EQ(schedule.state(2), ImageState::Skipped);
  EXPECT_EQ(schedule.because(2), std::nullopt);
  EXPECT_EQ(schedule.because(3), 0U);
  EXPECT_FALSE(schedule.done());
  schedule.move(1, ImageState::Built);
  EXPECT_TRUE(schedule.done());
}

TEST(Schedule, CancellingKeepsWhatHasEnded) {
  Schedule schedule = alone(3);
  build_next(schedule);
  schedule.move(0, ImageState::Built);
  schedule.cancel();
  EXPECT_EQ(schedule.state(0), ImageState::Built);
  EXPECT_EQ(schedule.next_to_look_at(), std::nullopt);
  EXPECT_TRUE(schedule.done());
}

TEST(Schedule, WhatStandsOnAFailedImageIsSkippedBecauseOfIt) {
  // 0 <- 1 <- 3, 2 <- 3, 4 alone
  Schedule schedule({Task{}, Task{{0}, 1}, Task{}, Task{{1, 2}, 1}, Task{}}, {4, false});
  EXPECT_EQ(schedule.next_to_look_at(), 0U);
  schedule.move(0, ImageState::Failed);
  EXPECT_EQ(schedule.because(1), 0U);
  EXPECT_EQ(schedule.because(3), 0U);
  EXPECT_EQ(schedule.state(3), ImageState::Skipped);
  EXPECT_EQ(schedule.next_to_look_at(), 2U);
  EXPECT_EQ(schedule.next_to_look_at(), 4U);
  schedule.move(2, ImageState::UpToDate);
  schedule.move(4, ImageState::UpToDate);
  EXPECT_EQ(schedule.state(3), ImageState::Skipped);
  EXPECT_TRUE(schedule.done());
}

TEST(Schedule, WhatAnInterruptSkippedIsNobodysFault) {
  Schedule schedule({Task{}, Task{{0}, 1}}, {1, false});
  schedule.move(*schedule.next_to_look_at(), ImageState::Skipped);
  EXPECT_EQ(schedule.state(1), ImageState::Skipped);
  EXPECT_EQ(schedule.because(1), std::nullopt);
}

TEST(Schedule, TheLongestWayComesFirst) {
  // 0 takes long, but 1 is short and much stands on it.
  Schedule schedule({Task{}, Task{}, Task{{1}, 1}, Task{{2}, 1}}, {2, false});
  schedule.expect({milliseconds(50), milliseconds(10), milliseconds(30), milliseconds(30)});
  EXPECT_EQ(build_next(schedule), 1U);
  EXPECT_EQ(build_next(schedule), 0U);
}

TEST(Schedule, WhatIsExpectedLaterChangesTheOrderOfThoseThatWait) {
  Schedule schedule(std::vector<Task>(3), {2, false});
  while (const auto image = schedule.next_to_look_at()) schedule.move(*image, ImageState::Ready);
  schedule.expect({milliseconds(1), milliseconds(2), milliseconds(3)});
  EXPECT_EQ(schedule.next_to_build(), 2U);
  EXPECT_EQ(schedule.next_to_build(), 1U);
  EXPECT_EQ(schedule.next_to_build(), std::nullopt);
}

TEST(Schedule, AHeavyImageIsNotPassedByLightOnes) {
  Schedule schedule({Task{{}, 3}, Task{{}, 9}, Task{{}, 1}}, {4, false});
  EXPECT_EQ(build_next(schedule), 0U);
  EXPECT_EQ(build_next(schedule), std::nullopt);  // 1 fits only alone
  schedule.move(0, ImageState::Built);
  EXPECT_EQ(build_next(schedule), 1U);
  EXPECT_EQ(build_next(schedule), std::nullopt);
  schedule.move(1, ImageState::Built);
  EXPECT_EQ(build_next(schedule), 2U);
}

TEST(Schedule, TheRestIsPlayedThrough) {
  // Two at once: 0 (10) then 2 (20); 1 (15).
  Schedule schedule({Task{}, Task{}, Task{{0}, 1}}, {2, false});
  schedule.expect({milliseconds(10), milliseconds(15), milliseconds(20)});
  EXPECT_EQ(schedule.remaining({}), milliseconds(30));
  build_next(schedule);
  build_next(schedule);
  EXPECT_EQ(schedule.remaining({{0, milliseconds(4)}, {1, milliseconds(4)}}), milliseconds(26));
  // Longer than expected: it may end at any moment.
  EXPECT_EQ(schedule.remaining({{0, milliseconds(99)}, {1, milliseconds(4)}}), milliseconds(20));
}

// --- Any graph, any limits, failures and cancellation at any point

struct Random {
  explicit Random(unsigned seed) : engine(seed) {}
  std::size_t below(std::size_t end) { return engine() % end; }
  bool one_in(std::size_t count) { return below(count) == 0; }
  std::mt19937 engine;
};

std::vector<Task> random_tasks(Random& random) {
  std::vector<Task> tasks(random.below(30));
  // Numbers in a random order, so that parents come behind their children, too.
  std::vector<std::size_t> order(tasks.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random.engine);
  const std::size_t density = 1 + random.below(10);
  for (std::size_t i = 0; i < order.size(); ++i) {
    Task& task = tasks[order[i]];
    task.weight = static_cast<int>(1 + random.below(4));
    for (std::size_t parent = 0; parent < i; ++parent) {
      if (random.one_in(density + i / 3)) task.parents.push_back(order[parent]);
    }
  }
  return tasks;
}

bool ended_well(ImageState state) {
  return state == ImageState::UpToDate || state == ImageState::Built;
}

void play(unsigned seed) {
  Random random(seed);
  const std::vector<Task> tasks = random_tasks(random);
  const std::size_t count = tasks.size();
  const Limits limits = {static_cast<int>(1 + random.below(5)), random.one_in(4)};
  Schedule schedule(tasks, limits);
  std::vector<bool> looked(count);
  std::vector<std::size_t> building;
  std::vector<std::size_t> looking;
  bool cancelled = false;
  bool any_failed = false;

  const auto parents_ended_well = [&](std::size_t image) {
    return std::all_of(tasks[image].parents.begin(), tasks[image].parents.end(),
                       [&](std::size_t parent) { return ended_well(schedule.state(parent)); });
  };
  const auto take = [&](std::vector<std::size_t>& from) {
    const std::size_t at = random.below(from.size());
    const std::size_t image = from[at];
    from.erase(from.begin() + static_cast<std::ptrdiff_t>(at));
    return image;
  };
  const auto end = [&](std::size_t image, bool was_building) {
    const bool fails = random.one_in(8);
    any_failed = any_failed || fails;
    schedule.move(image, fails              ? ImageState::Failed
                         : !was_building    ? ImageState::UpToDate
                         : random.one_in(9) ? ImageState::UpToDate
                                            : ImageState::Built);
  };

  for (int steps = 0; !schedule.done(); ++steps) {
    ASSERT_LT(steps, 1000) << "it does not end";
    bool moved = false;
    if (random.one_in(300)) {
      schedule.cancel();
      cancelled = moved = true;
    }
    if (random.one_in(10)) {
      std::vector<milliseconds> expected;
      for (std::size_t i = 0; i < count; ++i) expected.emplace_back(random.below(100));
      schedule.expect(std::move(expected));
    }
    if (const auto image = schedule.next_to_look_at()) {
      EXPECT_FALSE(looked[*image]) << "image " << *image << " came twice";
      EXPECT_TRUE(parents_ended_well(*image)) << "image " << *image << " came before a parent";
      EXPECT_FALSE(cancelled);
      EXPECT_FALSE(limits.fail_fast && any_failed);
      looked[*image] = true;
      looking.push_back(*image);
      moved = true;
    }
    if (!looking.empty() && (!moved || random.one_in(2))) {
      const std::size_t image = take(looking);
      if (random.one_in(3)) {
        end(image, false);
      } else {
        schedule.move(image, ImageState::Ready);
        if (cancelled || (limits.fail_fast && any_failed)) schedule.cancel();
      }
      moved = true;
    }
    if (const auto image = schedule.next_to_build()) {
      EXPECT_TRUE(parents_ended_well(*image));
      building.push_back(*image);
      int load = 0;
      for (const std::size_t one : building) load += std::min(tasks[one].weight, limits.jobs);
      EXPECT_LE(load, limits.jobs);
      moved = true;
    }
    if (!building.empty() && (!moved || random.one_in(3))) {
      end(take(building), true);
      moved = true;
    }
    ASSERT_TRUE(moved) << "nothing can go on, and it is not done";
  }

  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_TRUE(is_final(schedule.state(i)));
    if (schedule.state(i) == ImageState::Skipped) {
      EXPECT_FALSE(looked[i] && !cancelled && !(limits.fail_fast && any_failed));
      if (const auto failed = schedule.because(i)) {
        EXPECT_EQ(schedule.state(*failed), ImageState::Failed);
        // And it stands on it.
        std::vector<std::size_t> below = tasks[i].parents;
        for (std::size_t next = 0; next < below.size(); ++next) {
          const auto& more = tasks[below[next]].parents;
          below.insert(below.end(), more.begin(), more.end());
          ASSERT_LT(below.size(), 100'000U);
        }
        EXPECT_NE(std::find(below.begin(), below.end(), *failed), below.end());
      } else {
        EXPECT_TRUE(cancelled || (limits.fail_fast && any_failed));
      }
    } else {
      EXPECT_TRUE(looked[i]);
      EXPECT_TRUE(parents_ended_well(i) || schedule.state(i) == ImageState::Failed);
    }
  }
}

TEST(Schedule, KeepsWhatItPromisesForAnyGraph) {
  for (unsigned seed = 0; seed < 5000 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    play(seed);
  }
}

#ifndef NDEBUG
TEST(ScheduleDeathTest, AnImageThatHasEndedDoesNotMove) {
  Schedule schedule = alone(1);
  schedule.move(*schedule.next_to_look_at(), ImageState::UpToDate);
  EXPECT_DEATH(schedule.move(0, ImageState::Building), "may_move");
}
#endif

}  // namespace
}  // namespace imagewright
