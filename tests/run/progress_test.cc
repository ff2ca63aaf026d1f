#include "run/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "pty.h"

namespace imagewright {
namespace {

using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;
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

// A run of two images, of which one is built.
void show_one_build(Progress& progress) {
  progress.run_started("c", 2, 2);
  progress.image_started("a/b");
  progress.image_decided("a/b", {built().reasons});
  progress.build_started("a/b");
  progress.image_finished(built());
}

TEST(LiveProgress, WhatIsBuiltIsDrawnAndWhatIsFinishedStaysAboveIt) {
  Memory terminal;
  const auto progress = make_live_progress(terminal.file(), false);
  show_one_build(*progress);
  EXPECT_THAT(terminal.text(), HasSubstr("\r\x1b[?7l⠋ a/b 0 s\x1b[K\n"));
  EXPECT_THAT(terminal.text(), HasSubstr(" 0/2 0 s\x1b[J\x1b[1A\r"));
  EXPECT_THAT(terminal.text(), HasSubstr("\rbuilt a/b in 1.2 s (never built)\x1b[K\n\x1b[?7l━"));
  EXPECT_THAT(terminal.text(), HasSubstr(" 1/2 1 built 0 s\x1b[J\r"));
  EXPECT_THAT(terminal.text(), Not(HasSubstr("\x1b[2m"))) << "no colours unless asked";
}

TEST(LiveProgress, IsGoneInTheEnd) {
  const std::string end = "\x1b[J\x1b[?7h\x1b[?25h\x1b[?2026l";
  for (const bool is_finished : {true, false}) {
    Memory terminal;
    auto progress = make_live_progress(terminal.file(), false);
    show_one_build(*progress);
    EXPECT_THAT(terminal.text(), Not(HasSubstr(end)));
    RunSummary summary;
    summary.images = {built()};
    if (is_finished) progress->run_finished(summary);
    progress.reset();
    EXPECT_THAT(terminal.text(),
                EndsWith(is_finished ? "\r1 built in 0 ms\x1b[K\n\x1b[?7l" + end : end))
        << "also where an error ends the run";
  }
}

TEST(LiveProgress, SeveralImagesAreInTheOrderInWhichTheyWereStarted) {
  Memory terminal;
  const auto progress = make_live_progress(terminal.file(), false);
  progress->run_started("c", 3, 3);
  for (const char* name : {"b", "a", "c"}) {
    progress->image_started(name);
    progress->image_decided(name, {built().reasons});
    progress->build_started(name);
  }
  progress->output("c", "line of c");
  progress->output("b", "line of b");
  ImageResult result = built();
  result.name = "a";
  progress->image_finished(result);
  EXPECT_THAT(terminal.text(), HasSubstr(" b 0 s line of b\x1b[K\n⠙ c 0 s line of c\x1b[K\n━"));
  result.name = "no such image";
  progress->output(result.name, "is passed over");
}

TEST(LiveProgress, ASecondRunCountedWhatTheFirstHad) {
  Memory terminal;
  const auto progress = make_live_progress(terminal.file(), false);
  show_one_build(*progress);
  progress->run_finished({});
  const std::size_t first = terminal.text().size();
  show_one_build(*progress);
  EXPECT_THAT(terminal.text().substr(first), HasSubstr(" 1/2 1 built 0 s"));
}

TEST(LiveProgress, FramesKeepADistance) {
  Memory terminal;
  const auto progress = make_live_progress(terminal.file(), false);
  show_one_build(*progress);
  const std::string before = terminal.text();
  for (int i = 0; i < 10; ++i) progress->tick(std::nullopt);
  EXPECT_EQ(terminal.text(), before);
  ImageResult result = built();
  result.state = ImageState::UpToDate;
  progress->image_finished(result);
  EXPECT_EQ(terminal.text(), before) << "also where many are up to date";
}

TEST(LiveProgress, NothingIsDrawnWhereNothingIsBuilt) {
  Memory terminal;
  const auto progress = make_live_progress(terminal.file(), true);
  progress->run_started("c", 1, 2);
  progress->image_started("a/b");
  progress->image_decided("a/b", {});
  ImageResult result = built();
  result.state = ImageState::UpToDate;
  progress->image_finished(result);
  RunSummary summary;
  summary.images = {result};
  progress->run_finished(summary);
  EXPECT_EQ(terminal.text(), "1 up to date in 0 ms\n");
}

TEST(LiveProgress, WhatFailedIsRed) {
  Memory terminal;
  const auto progress = make_live_progress(terminal.file(), true);
  progress->image_finished(failed());
  EXPECT_EQ(
      terminal.text(),
      "\x1b[31mfailed a/c: docker build ended with status 1\x1b[0m\n\x1b[31m  | step 1\x1b[0m\n"
      "\x1b[31m  | red\x1b[0m\n\x1b[31m  the whole log: /logs/x.log\x1b[0m\n");
}

TEST(LiveProgress, OutputCannotPlayWithTheTerminal) {
  Memory terminal;
  const auto progress = make_live_progress(terminal.file(), false);
  progress->run_started("c", 2, 1);
  progress->build_started("a/b");
  progress->build_started("a/c");
  progress->output("a/b", "\x1b]0;title\x07 \x1b[2Jtext\x08");
  progress->image_finished(failed());
  EXPECT_THAT(terminal.text(), Not(HasSubstr("\x1b]0")));
  EXPECT_THAT(terminal.text(), Not(HasSubstr("\x1b[2J")));
  EXPECT_THAT(terminal.text(), HasSubstr(" text\x1b[K"));
}

TEST(LiveProgress, ATerminalThatTakesNothingHoldsNothingUp) {
  Pty pty(200, 50);
  const auto progress = make_live_progress(pty.stream(), false);
  const auto began = std::chrono::steady_clock::now();
  progress->run_started("c", 2000, 1);
  progress->build_started("stays");
  for (int i = 0; i < 2000; ++i) {
    ImageResult result = built();
    result.name = "image-" + std::to_string(i) + std::string(100, '-');
    progress->build_started(result.name);
    progress->image_finished(result);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  std::string text;
  std::thread reader([&] {
    while (text.find("nothing to do in") == std::string::npos) text += pty.read();
  });
  progress->run_finished({});
  reader.join();
  EXPECT_THAT(text, HasSubstr("built image-0-"));
  EXPECT_THAT(text, HasSubstr("built image-1999-")) << "and nothing that stays is lost";
}

TEST(LogProgress, EachImagesStoryIsToldWholeAlsoIfSeveralAreBuiltAtOnce) {
  testing::internal::CaptureStderr();
  const auto progress = make_log_progress(false);
  ImageResult first = failed();
  first.name = "a/b";
  ImageResult second = failed();
  second.name = "a/c";
  progress->image_started("a/b");
  progress->image_started("a/c");
  progress->image_started("a/d");
  progress->output("a/c", "c1");
  progress->output("a/b", "b1");
  progress->output("a/d", "d1");
  progress->image_finished(second);
  progress->output("a/b", "b2");
  progress->image_finished(first);
  progress->output("a/d", "d2");
  const std::string text = testing::internal::GetCapturedStderr();
  std::size_t last = 0;
  for (const char* part :
       {"on a/b", "b1", "b2", "Failed a/b", "on a/c", "c1", "Failed a/c", "on a/d", "d1", "d2"}) {
    const std::size_t at = text.find(part);
    ASSERT_NE(at, std::string::npos) << part;
    EXPECT_GE(at, last) << part;
    last = at;
  }
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
