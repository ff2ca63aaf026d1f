#include "service/remote_job.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace imagewright {
namespace {

BuildOrder order_of(const std::string& target) {
  BuildOrder order;
  order.target = target;
  return order;
}

OrderOutcome success() {
  OrderOutcome outcome;
  outcome.image_id = "sha256:1";
  return outcome;
}

// A build in a thread of its own.
struct Building {
  Building(RemoteJob& job, const BuildOrder& order)
      : thread([this, &job, order] {
          outcome = job.build(
              order, [this](std::string_view line) { lines.emplace_back(line); },
              [this] { return stop.load(); });
        }) {}
  void join() { thread.join(); }

  std::atomic<bool> stop{false};
  std::vector<std::string> lines;
  std::optional<OrderOutcome> outcome;
  std::thread thread;
};

std::string wait_for_order(const RemoteJob& job, const std::set<std::string>& known = {}) {
  while (true) {
    const auto orders = job.orders_besides(known);
    if (!orders.empty()) return orders.front().name;
    std::this_thread::yield();
  }
}

TEST(RemoteJob, TellsTheLinesAndTheEnd) {
  std::atomic<int> changes{0};
  RemoteJob job([&] { ++changes; });
  Building building(job, order_of("a"));
  const std::string name = wait_for_order(job);
  while (changes == 0) std::this_thread::yield();  // told once the order can be seen
  EXPECT_EQ(changes, 1);
  EXPECT_TRUE(job.has_open_order());
  EXPECT_TRUE(job.orders_besides({name}).empty());
  EXPECT_EQ(job.open_orders(), std::set<std::string>{name});
  EXPECT_FALSE(job.has_ended_order());
  EXPECT_EQ(job.take_log(name, 0, "one\ntw"), 6U);
  EXPECT_EQ(job.take_log(name, 6, "o\n\nlast"), 13U);
  EXPECT_EQ(job.take_outcome(name, success(), 13), 13U);
  building.join();
  EXPECT_EQ(building.lines, (std::vector<std::string>{"one", "two", "", "last"}));
  ASSERT_TRUE(building.outcome);
  EXPECT_EQ(building.outcome->image_id, "sha256:1");
  EXPECT_FALSE(job.has_open_order());
  EXPECT_TRUE(job.has_ended_order());
  EXPECT_EQ(job.take_log(name, 0, "x"), std::nullopt);
  EXPECT_EQ(job.take_outcome(name, success(), 0), std::nullopt);
}

TEST(RemoteJob, WhatIsSentAgainIsTakenOnce) {
  RemoteJob job([] {});
  Building building(job, order_of("a"));
  const std::string name = wait_for_order(job);
  EXPECT_EQ(job.take_log(name, 0, "one\n"), 4U);
  EXPECT_EQ(job.take_log(name, 0, "one\n"), 4U);
  EXPECT_EQ(job.take_log(name, 0, "one\ntwo\n"), 8U);
  EXPECT_EQ(job.take_log(name, 2, "e\nt"), 8U);
  // A gap: it says where to go on.
  EXPECT_EQ(job.take_log(name, 12, "four\n"), 8U);
  // The end waits for the whole log.
  EXPECT_EQ(job.take_outcome(name, success(), 14), 8U);
  EXPECT_TRUE(job.has_open_order());
  EXPECT_EQ(job.take_log(name, 8, "three\n"), 14U);
  EXPECT_EQ(job.take_outcome(name, success(), 14), 14U);
  building.join();
  EXPECT_EQ(building.lines, (std::vector<std::string>{"one", "two", "three"}));
}

TEST(RemoteJob, AFloodWaits) {
  RemoteJob job([] {});
  std::atomic<bool> may_go_on{false};
  std::atomic<bool> is_held{false};
  std::uint64_t told = 0;
  std::thread thread([&] {
    job.build(
        order_of("a"),
        [&](std::string_view line) {
          told += line.size() + 1;
          is_held = true;
          while (!may_go_on) std::this_thread::yield();
        },
        [] { return false; });
  });
  const std::string name = wait_for_order(job);
  job.take_log(name, 0, "x\n");
  while (!is_held) std::this_thread::yield();
  const std::string flood(std::size_t{3} << 20, '\n');
  const LogEnd taken = job.take_log(name, 2, flood);
  EXPECT_LT(*taken, flood.size());
  may_go_on = true;
  std::uint64_t end = *taken;
  while (end < flood.size() + 2) end = *job.take_log(name, end, flood.substr(end - 2));
  job.take_outcome(name, success(), end);
  thread.join();
  EXPECT_EQ(told, flood.size() + 2);
}

TEST(RemoteJob, WhoNeverStopsTalkingIsStopped) {
  RemoteJob job([] {});
  Building building(job, order_of("a"));
  const std::string name = wait_for_order(job);
  std::atomic<bool> is_over{false};
  std::thread flood([&] {
    const std::string part(std::size_t{256} << 10, '\n');
    std::uint64_t end = 0;
    while (!is_over) {
      const LogEnd taken = job.take_log(name, end, part);
      if (!taken) break;
      end = *taken;
    }
  });
  building.stop = true;
  building.join();
  is_over = true;
  flood.join();
  EXPECT_FALSE(building.outcome);
}

TEST(RemoteJob, ALineWithoutAnEndIsCut) {
  RemoteJob job([] {});
  Building building(job, order_of("a"));
  const std::string name = wait_for_order(job);
  const std::string part(std::size_t{200} << 10, 'x');
  EXPECT_EQ(job.take_log(name, 0, part), part.size());
  job.take_outcome(name, success(), part.size());
  building.join();
  std::string all;
  for (const std::string& line : building.lines) all += line;
  EXPECT_GT(building.lines.size(), 0U);
  EXPECT_EQ(all, part);
}

TEST(RemoteJob, EndsWithoutItsWorker) {
  RemoteJob job([] {});
  Building building(job, order_of("a"));
  const std::string name = wait_for_order(job);
  building.stop = true;
  building.join();
  EXPECT_FALSE(building.outcome);
  EXPECT_EQ(job.take_outcome(name, success(), 0), std::nullopt);
}

TEST(RemoteJob, WhoOrdersAllAgainGivesTheSameNames) {
  std::vector<std::string> names[2];
  for (auto& one : names) {
    RemoteJob job([] {});
    for (const char* target : {"a", "b", "a"}) {
      Building building(job, order_of(target));
      one.push_back(wait_for_order(job));
      job.take_outcome(one.back(), success(), 0);
      building.join();
    }
  }
  EXPECT_EQ(names[0], names[1]);
  EXPECT_NE(names[0][0], names[0][2]);  // tried again: another build
  EXPECT_NE(names[0][0], names[0][1]);
}

}  // namespace
}  // namespace imagewright
