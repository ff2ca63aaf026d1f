#include "run/estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace imagewright {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

TEST(Estimate, WhatWasNeverBuiltTakesAsLongAsTheOthers) {
  EXPECT_THAT(expected_durations({"a", "b", "c"}, {{"a", 100}, {"c", 300}, {"gone", 9000}}),
              ElementsAre(milliseconds(100), milliseconds(200), milliseconds(300)));
  EXPECT_THAT(expected_durations({"a", "b"}, {}), ElementsAre(milliseconds(0), milliseconds(0)));
}

TEST(Estimate, IsTheRestPlayedThroughAndRunsDown) {
  Schedule schedule({Task{}, Task{{0}, 1}}, {2, false});
  const std::vector<milliseconds> expected = {milliseconds(10'000), milliseconds(5'000)};
  schedule.expect(expected);
  schedule.move(*schedule.next_to_look_at(), ImageState::Ready);
  schedule.next_to_build();
  Estimate estimate;
  const auto begin = Estimate::Clock::now();
  const std::vector<Estimate::Clock::time_point> began = {begin, {}};
  EXPECT_EQ(estimate.remaining(schedule, began, begin), std::nullopt);
  estimate.expect(expected);
  EXPECT_EQ(estimate.remaining(schedule, began, begin + milliseconds(4'000)), milliseconds(11'000));
  EXPECT_EQ(estimate.remaining(schedule, began, begin + milliseconds(4'500)), milliseconds(10'500));
  // The first one takes longer than it should.
  EXPECT_EQ(estimate.remaining(schedule, began, begin + milliseconds(30'000)), milliseconds(5'000));
}

TEST(Estimate, WithoutHistoryThereIsNone) {
  const Schedule schedule(std::vector<Task>(1), {1, false});
  Estimate estimate;
  estimate.expect({milliseconds(0)});
  EXPECT_EQ(estimate.remaining(schedule, {{}}, Estimate::Clock::now()), std::nullopt);
}

}  // namespace
}  // namespace imagewright
