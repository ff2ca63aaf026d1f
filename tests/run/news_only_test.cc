#include "run/news_only.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace imagewright {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// What it is told, a text each.
class Shown : public Progress {
 public:
  std::vector<std::string> take() { return std::exchange(all_, {}); }

  void step(const std::string& text) override { all_.push_back("step " + text); }
  void warning(const std::string& text) override { all_.push_back("warning " + text); }
  void waiting(const std::filesystem::path&, int) override { all_.push_back("waiting"); }
  void run_started(const std::filesystem::path&, std::size_t, std::size_t) override {
    all_.push_back("started");
  }
  void build_started(const std::string& name) override { all_.push_back("building " + name); }
  void image_finished(const ImageResult& result) override {
    all_.push_back("finished " + result.name);
  }
  void publishing_failed(const std::string&, const std::string& reference,
                         const std::string&) override {
    all_.push_back("not published " + reference);
  }
  void run_finished(const RunSummary&) override { all_.push_back("end"); }

 private:
  std::vector<std::string> all_;
};

ImageResult ended(const std::string& name, ImageState state, const std::string& message = "") {
  ImageResult result;
  result.name = name;
  result.state = state;
  result.message = message;
  return result;
}

class NewsOnlyTest : public testing::Test {
 protected:
  // A run in which `a` is up to date, and what else happens.
  std::vector<std::string> run(
      const std::function<void()>& more = [] {}, bool all = false) {
    news_.begin(all);
    news_.step("look");
    news_.run_started("f", 2, 1);
    news_.image_finished(ended("a", ImageState::UpToDate));
    more();
    news_.run_finished({});
    return shown_.take();
  }
  void fail(const std::string& message) {
    news_.image_finished(ended("b", ImageState::Failed, message));
  }

  Shown shown_;
  NewsOnly news_{shown_};
};

TEST_F(NewsOnlyTest, ARunInWhichNothingHappensIsNotShown) {
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_THAT(run([] {}, true), ElementsAre("step look", "started", "finished a", "end"));
  EXPECT_THAT(run(), IsEmpty());
}

TEST_F(NewsOnlyTest, WhatWasHeldBackComesFirst) {
  const auto build = [&] {
    news_.build_started("b");
    news_.image_finished(ended("b", ImageState::Built));
  };
  EXPECT_THAT(run(build),
              ElementsAre("step look", "started", "finished a", "building b", "finished b", "end"));
}

TEST_F(NewsOnlyTest, WhatStillFailsIsNoNews) {
  const std::vector<std::string> told = {"step look", "started", "finished a", "finished b", "end"};
  EXPECT_EQ(run([&] { fail("no file"); }), told);
  EXPECT_THAT(run([&] { fail("no file"); }), IsEmpty());
  EXPECT_EQ(run([&] { fail("another reason"); }), told);
  EXPECT_THAT(run([&] { fail("another reason"); }), IsEmpty());
  // That it is well is.
  const auto is_well = [&] { news_.image_finished(ended("b", ImageState::UpToDate)); };
  EXPECT_EQ(run(is_well), told);
  EXPECT_THAT(run(is_well), IsEmpty());
  EXPECT_EQ(run([&] { fail("another reason"); }), told);
}

TEST_F(NewsOnlyTest, WarningsAndPublishing) {
  const auto warn = [&] { news_.warning("odd"); };
  EXPECT_THAT(run(warn), ElementsAre("step look", "started", "finished a", "warning odd", "end"));
  EXPECT_THAT(run(warn), IsEmpty());
  const auto refuse = [&] { news_.publishing_failed("a", "r/a", "refused"); };
  EXPECT_THAT(run(refuse),
              ElementsAre("step look", "started", "finished a", "not published r/a", "end"));
  EXPECT_THAT(run(refuse), IsEmpty());
  EXPECT_THAT(run(warn), ElementsAre("step look", "started", "finished a", "warning odd", "end"));
}

TEST_F(NewsOnlyTest, ARunThatWasGivenUpLeavesNothing) {
  news_.begin(false);
  news_.step("look");
  news_.begin(false);
  news_.warning("no engine");
  EXPECT_THAT(shown_.take(), ElementsAre("warning no engine"));
  EXPECT_THAT(run(), IsEmpty());
}

}  // namespace
}  // namespace imagewright
