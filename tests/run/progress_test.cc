#include "run/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace imagewright {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

// A FILE whose text can be looked at.
class Memory {
 public:
  Memory() : file_(open_memstream(&text_, &size_)) {}
  ~Memory() {
    std::fclose(file_);
    std::free(text_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::FILE* file() { return file_; }
  std::string text() {
    std::fflush(file_);
    return {text_, size_};
  }

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* file_;
};

ImageResult built() {
  ImageResult result;
  result.name = "a/b";
  result.state = ImageState::Built;
  result.reasons = {{ReasonKind::NeverBuilt, InputKind::Context, ""}};
  result.duration = milliseconds(1234);
  return result;
}

ImageResult failed() {
  ImageResult result;
  result.name = "a/c";
  result.state = ImageState::Failed;
  result.message = "docker build ended with status 1";
  result.last_lines = {"step 1", "\x1b[31mred\x1b[0m"};
  result.log = "/logs/x.log";
  return result;
}

ImageResult skipped() {
  ImageResult result;
  result.name = "a/d";
  result.state = ImageState::Skipped;
  result.because = "a/c";
  return result;
}

TEST(PlainProgress, OneLineForWhatWasBuiltOrFailedAndNoneForWhatIsUpToDate) {
  Memory out;
  Memory err;
  const auto progress = make_plain_progress(out.file(), err.file(), false, false);
  ImageResult up_to_date;
  up_to_date.state = ImageState::UpToDate;
  progress->image_finished(built());
  progress->image_finished(failed());
  progress->image_finished(up_to_date);
  progress->run_finished({});
  EXPECT_EQ(out.text(), "built a/b in 1.2 s (never built)\n");
  EXPECT_EQ(err.text(),
            "failed a/c: docker build ended with status 1\n  | step 1\n  | red\n  the whole log: "
            "/logs/x.log\n");
}

TEST(PlainProgress, QuietTellsOnlyFailures) {
  Memory out;
  Memory err;
  const auto progress = make_plain_progress(out.file(), err.file(), true, false);
  progress->image_finished(built());
  progress->image_finished(failed());
  progress->row_retired("old");
  EXPECT_EQ(out.text(), "");
  EXPECT_THAT(err.text(), HasSubstr("failed a/c"));
}

TEST(PlainProgress, WhatIsSkippedBecauseOfAFailureIsToldAlsoQuietly) {
  for (const bool quiet : {false, true}) {
    Memory out;
    Memory err;
    const auto progress = make_plain_progress(out.file(), err.file(), quiet, false);
    ImageResult interrupted;
    interrupted.message = "interrupted";
    progress->image_finished(skipped());
    progress->image_finished(interrupted);
    EXPECT_EQ(out.text(), "");
    EXPECT_EQ(err.text(), "skipped a/d: a/c failed\n");
  }
}

TEST(LiveProgress, TheLiveLineIsClearedBeforeALastingOne) {
  Memory terminal;
  const auto progress = make_live_progress(terminal.file(), false);
  progress->run_started("c", 2, 1);
  progress->image_started("a/b");
  progress->image_decided("a/b", {built().reasons});
  progress->build_started("a/b");
  progress->image_finished(built());
  progress->run_finished({});
  EXPECT_THAT(terminal.text(), HasSubstr("[1/2] a/b 0 s never built"));
  EXPECT_THAT(terminal.text(), HasSubstr("\r\x1b[Kbuilt a/b in 1.2 s (never built)\n"));
  EXPECT_THAT(terminal.text(), Not(HasSubstr("\x1b[2m"))) << "no colours unless asked";
}

TEST(LiveProgress, OutputCannotPlayWithTheTerminal) {
  Memory terminal;
  const auto progress = make_live_progress(terminal.file(), false);
  progress->run_started("c", 1, 1);
  progress->image_started("a/b");
  progress->output("a/b", "\x1b]0;title\x07 \x1b[2Jtext\x08");
  progress->tick(std::nullopt);
  EXPECT_THAT(terminal.text(), Not(HasSubstr("\x1b]0")));
  EXPECT_THAT(terminal.text(), Not(HasSubstr("\x1b[2J")));
  EXPECT_THAT(terminal.text(), HasSubstr("text"));
}

TEST(JsonProgress, EveryEventIsOneObjectALine) {
  Memory out;
  const auto progress = make_json_progress(out.file());
  progress->run_started("/c.yml", 2, 4);
  progress->image_started("a/b");
  progress->image_decided("a/b", {built().reasons});
  progress->build_started("a/b");
  progress->output("a/b", "not utf-8: \xff");
  progress->image_finished(built());
  progress->image_finished(failed());
  progress->image_finished(skipped());
  RunSummary summary;
  summary.images = {built(), failed(), skipped()};
  summary.signal = SIGINT;
  progress->run_finished(summary);
  std::istringstream lines(out.text());
  std::vector<nlohmann::json> events;
  for (std::string line; std::getline(lines, line);) events.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(events.size(), 9U);
  EXPECT_EQ(events[0]["event"], "run-started");
  EXPECT_EQ(events[0]["version"], 1);
  EXPECT_EQ(events[0]["jobs"], 4);
  EXPECT_EQ(events[2]["build"], true);
  EXPECT_EQ(events[2]["reasons"][0]["kind"], "never-built");
  EXPECT_EQ(events[3]["event"], "build-started");
  EXPECT_EQ(events[3]["image"], "a/b");
  EXPECT_EQ(events[5]["result"], "built");
  EXPECT_EQ(events[5]["because"], nullptr);
  EXPECT_EQ(events[5]["seconds"], 1.234);
  EXPECT_EQ(events[6]["result"], "failed");
  EXPECT_EQ(events[6]["log"], "/logs/x.log");
  EXPECT_EQ(events[7]["result"], "skipped");
  EXPECT_EQ(events[7]["because"], "a/c");
  EXPECT_EQ(events[8]["interrupted"], true);
  EXPECT_EQ(events[8]["built"], 1);
}

TEST(Progress, DurationsAreReadable) {
  EXPECT_EQ(describe(milliseconds(7)), "7 ms");
  EXPECT_EQ(describe(milliseconds(1234)), "1.2 s");
  EXPECT_EQ(describe(milliseconds(200'000)), "3 min 20 s");
}

TEST(Progress, ASummaryCountsWhatThereIs) {
  RunSummary summary;
  EXPECT_EQ(describe(summary), "nothing to do");
  summary.images = {built(), failed()};
  EXPECT_EQ(describe(summary), "1 built, 1 failed");
}

}  // namespace
}  // namespace imagewright
