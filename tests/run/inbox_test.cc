#include "run/inbox.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>
#include <vector>

namespace imagewright {
namespace {

using std::chrono::milliseconds;

TEST(Inbox, WhatIsHandedInIsDoneInOrderByWhoServes) {
  Inbox inbox;
  std::vector<int> done;
  const auto here = std::this_thread::get_id();
  bool elsewhere = false;
  std::jthread other([&] {
    for (int i = 0; i < 5000; ++i) {
      inbox.post([&, i] {
        done.push_back(i);
        elsewhere = elsewhere || std::this_thread::get_id() != here;
      });
    }
  });
  while (done.size() < 5000) inbox.serve(milliseconds(1000));
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(done[static_cast<std::size_t>(i)], i);
  EXPECT_FALSE(elsewhere);
}

TEST(Inbox, ACallWaitsAndThrowsWhatItsWorkThrew) {
  Inbox inbox;
  int value = 0;
  bool threw = false;
  bool over = false;
  std::jthread other([&] {
    inbox.call([&] { value = 7; });
    EXPECT_EQ(value, 7);
    try {
      inbox.call([] { throw std::runtime_error("no"); });
    } catch (const std::runtime_error&) {
      threw = true;
    }
    inbox.call([&] { over = true; });
  });
  while (!over) inbox.serve(milliseconds(1000));
  EXPECT_TRUE(threw);
}

TEST(Inbox, WorkThatThrowsDoesNotTakeTheRestWithIt) {
  Inbox inbox;
  int done = 0;
  inbox.post([&] { throw std::runtime_error("first"); });
  inbox.post([&] { ++done; });
  inbox.post([&] { throw std::logic_error("second"); });
  inbox.post([&] { ++done; });
  EXPECT_THROW(inbox.serve(milliseconds(0)), std::runtime_error);
  EXPECT_EQ(done, 2);
}

TEST(Inbox, WithNothingToDoItComesBack) {
  Inbox inbox;
  inbox.serve(milliseconds(1));
}

}  // namespace
}  // namespace imagewright
