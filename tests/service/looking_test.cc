#include "service/looking.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

TEST(Looking, WhoWaitedForRoomWasTakenToLookForEver) {
  Looking looking;
  looking.begin("a", 1);
  looking.begin("a", 1);
  EXPECT_TRUE(looking.contains("a"));
  EXPECT_FALSE(looking.contains("b"));
  looking.end("a", 1);
  EXPECT_FALSE(looking.contains("a"));
}

TEST(Looking, WhoEndsTwiceEndsNobodyElse) {
  Looking looking;
  looking.begin("a", 1);
  looking.begin("a", 2);
  looking.end("a", 1);
  looking.end("a", 1);
  EXPECT_TRUE(looking.contains("a"));
  looking.end("a", 2);
  EXPECT_FALSE(looking.contains("a"));
}

}  // namespace
}  // namespace imagewright
