// Signals as interrupts of a command, and as requests to a service.
#include "io/interrupt.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <csignal>

namespace imagewright {
namespace {

bool is_readable(int fd) {
  pollfd descriptor{fd, POLLIN, 0};
  return poll(&descriptor, 1, 0) == 1;
}

class InterruptTest : public testing::Test {
 protected:
  InterruptTest() {
    catch_interrupts();
    forget_interrupts();
  }
  ~InterruptTest() override { forget_interrupts(); }
};

TEST_F(InterruptTest, TheFirstSignalEndsACommand) {
  raise(SIGTERM);
  EXPECT_EQ(interrupted(), SIGTERM);
  EXPECT_EQ(end_asked(), 0);
  raise(SIGINT);
  EXPECT_EQ(interrupted(), SIGTERM);
  EXPECT_EQ(interrupt_count(), 2);
}

TEST_F(InterruptTest, TheFirstSignalAsksAServiceAndTheSecondEndsIt) {
  take_requests();
  raise(SIGTERM);
  EXPECT_EQ(end_asked(), SIGTERM);
  EXPECT_EQ(interrupted(), 0);
  EXPECT_FALSE(is_readable(interrupt_fd()));
  EXPECT_TRUE(is_readable(request_fd()));
  clear_request_fd();
  EXPECT_FALSE(is_readable(request_fd()));
  raise(SIGINT);
  EXPECT_EQ(interrupted(), SIGINT);
  EXPECT_EQ(interrupt_count(), 1);
  EXPECT_EQ(end_asked(), SIGTERM);
}

TEST_F(InterruptTest, AHangUpAsksAServiceToReadAnew) {
  take_requests();
  raise(SIGHUP);
  raise(SIGHUP);
  EXPECT_EQ(interrupted(), 0);
  EXPECT_EQ(end_asked(), 0);
  EXPECT_TRUE(take_reload_request());
  EXPECT_FALSE(take_reload_request());
  forget_interrupts();
  raise(SIGHUP);
  EXPECT_EQ(interrupted(), SIGHUP);
}

}  // namespace
}  // namespace imagewright
