#include "service/build_order.h"

#include <gtest/gtest.h>

#include "io/error.h"
#include "service/worker_call.h"

namespace imagewright {
namespace {

BuildOrder full_order() {
  BuildOrder order;
  order.image = "a/b";
  order.context = {"", "sha256:1", "sha256:2", 3};
  order.named = {{"files", "sha256:4", "sha256:5", 6}};
  order.dockerfile = std::string("FROM scratch\n# \xff\0\n", 18);
  order.target = "last";
  order.args = {{"A", "1"}, {"B", "\xff"}};
  order.labels = {{"l", "x y"}};
  order.options.platforms = {"linux/arm64"};
  order.options.secrets = {{"s", "/file", ""}, {"t", "", "VARIABLE"}};
  order.options.ssh = {"default"};
  order.options.cache_from = {"type=registry,ref=a"};
  order.options.cache_to = {"b"};
  order.options.network = "none";
  order.options.extra_hosts = {{"h", "10.0.0.1"}, {"h", "10.0.0.2"}};
  order.options.shm_size = 5;
  order.options.ulimits = {{"nofile", {-1, 7}}};
  order.options.no_cache = true;
  order.options.pull = true;
  order.options.privileged = true;
  order.insecure = true;
  order.timeout = std::chrono::milliseconds(9);
  order.push = {"localhost:5000/a/b:j1-l2"};
  order.push_insecurely = order.push;
  order.made_name = "m";
  return order;
}

TEST(BuildOrder, IsTheSameAfterTheWay) {
  const BuildOrder order = full_order();
  const BuildOrder read = build_order_of(Json::parse(dump(to_json(order), false)));
  EXPECT_EQ(read, order);
}

TEST(BuildOrder, ItsDigestIsOverWhatIsBuiltAlone) {
  const std::string digest = full_order().digest();
  BuildOrder same = full_order();
  same.context.pack = "sha256:9";
  same.context.size = 99;
  same.named[0].pack = "sha256:9";
  same.push = {"localhost:5000/a/b:j7-l8"};
  same.push_insecurely = same.push;
  EXPECT_EQ(same.digest(), digest);
  const std::vector<std::function<void(BuildOrder&)>> changes = {
      [](BuildOrder& o) { o.context.digest = "sha256:9"; },
      [](BuildOrder& o) { o.named[0].digest = "sha256:9"; },
      [](BuildOrder& o) { o.named[0].name = "other"; },
      [](BuildOrder& o) { o.dockerfile += " "; },
      [](BuildOrder& o) { o.target = ""; },
      [](BuildOrder& o) { o.args["A"] = "2"; },
      [](BuildOrder& o) { o.labels.clear(); },
      [](BuildOrder& o) { o.options.network = ""; },
      [](BuildOrder& o) { o.options.ulimits["nofile"].soft = 1; },
      [](BuildOrder& o) { o.push = {"localhost:5000/a/c:j1-l2"}; },
      [](BuildOrder& o) { o.made_name = "n"; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    BuildOrder other = full_order();
    changes[i](other);
    EXPECT_NE(other.digest(), digest) << i;
  }
}

TEST(BuildOrder, WhatIsNoneIsRefused) {
  for (const char* text : {"{}", "[]", "7", R"({"image": 1})"}) {
    EXPECT_THROW(build_order_of(Json::parse(text)), Error) << text;
    EXPECT_THROW(told_outcome_of(Json::parse(text)), Error) << text;
    EXPECT_THROW(worker_call_of(Json::parse(text)), Error) << text;
  }
  Json order = to_json(full_order());
  order["dockerfile"] = "*";
  EXPECT_THROW(build_order_of(order), Error);
}

TEST(OrderOutcome, IsTheSameAfterTheWay) {
  OrderOutcome outcome;
  outcome.exit = {3, true, true};
  outcome.image_id = "sha256:1";
  outcome.pushed = {{"a", "sha256:2"}};
  outcome.message = "why";
  EXPECT_EQ(told_outcome_of(Json::parse(dump(to_json(outcome, 9), false))),
            std::pair(outcome, std::uint64_t{9}));
}

TEST(WorkerCall, IsTheSameAfterTheWay) {
  WorkerCall call;
  call.worker = "w";
  call.instance = "i";
  call.labels = {"size=big"};
  call.engine = "e";
  call.version = "1";
  call.takes_directories = false;
  call.jobs = 4;
  call.room = 2;
  call.draining = true;
  call.wait = std::chrono::milliseconds(7);
  call.holds = {{1, 2, {"x", "y"}}, {3, 4, {}}};
  const WorkerCall read = worker_call_of(Json::parse(dump(to_json(call), false)));
  EXPECT_EQ(dump(to_json(read), false), dump(to_json(call), false));
  EXPECT_EQ(read.holds.size(), 2U);
  EXPECT_EQ(read.holds[0].orders, (std::set<std::string>{"x", "y"}));
}

TEST(WorkerCall, TakesAName) {
  WorkerCall call;
  call.worker = "w";
  call.instance = "i";
  Json json = to_json(call);
  EXPECT_NO_THROW(worker_call_of(json));
  json["worker"] = "";
  EXPECT_THROW(worker_call_of(json), Error);
  json["worker"] = std::string(300, 'w');
  EXPECT_THROW(worker_call_of(json), Error);
}

}  // namespace
}  // namespace imagewright
