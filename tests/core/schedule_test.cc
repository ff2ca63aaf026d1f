#include "core/schedule.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

TEST(Schedule, EveryImageComesOnceInOrder) {
  Schedule schedule(3, false);
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(schedule.next(), i);
    EXPECT_EQ(schedule.state(i), ImageState::Looking);
    schedule.move(i, ImageState::UpToDate);
  }
  EXPECT_EQ(schedule.next(), std::nullopt);
  EXPECT_EQ(schedule.count(ImageState::UpToDate), 3U);
}

TEST(Schedule, AFailureLeavesTheOthersGoing) {
  Schedule schedule(2, false);
  schedule.move(*schedule.next(), ImageState::Failed);
  EXPECT_EQ(schedule.next(), 1U);
}

TEST(Schedule, WithFailFastAFailureSkipsWhatWaits) {
  Schedule schedule(3, true);
  schedule.move(*schedule.next(), ImageState::Building);
  schedule.move(0, ImageState::Failed);
  EXPECT_EQ(schedule.next(), std::nullopt);
  EXPECT_EQ(schedule.count(ImageState::Skipped), 2U);
}

TEST(Schedule, CancellingKeepsWhatHasEnded) {
  Schedule schedule(3, false);
  schedule.move(*schedule.next(), ImageState::Building);
  schedule.move(0, ImageState::Built);
  schedule.cancel();
  EXPECT_EQ(schedule.state(0), ImageState::Built);
  EXPECT_EQ(schedule.next(), std::nullopt);
}

#ifndef NDEBUG
TEST(ScheduleDeathTest, AnImageThatHasEndedDoesNotMove) {
  Schedule schedule(1, false);
  schedule.move(*schedule.next(), ImageState::UpToDate);
  EXPECT_DEATH(schedule.move(0, ImageState::Building), "may_move");
}
#endif

}  // namespace
}  // namespace imagewright
