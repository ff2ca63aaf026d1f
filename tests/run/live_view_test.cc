#include "run/live_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/text_width.h"

namespace imagewright {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

const LiveRun::Clock::time_point kNow{hours(100)};

LiveRun run_of(std::vector<LiveRun::Building> building) {
  LiveRun run;
  run.building = std::move(building);
  run.images = 60;
  run.finished = 30;
  run.built = 5;
  run.started = kNow - seconds(72);
  return run;
}

std::vector<std::string> view(const LiveRun& run, std::size_t columns, std::size_t rows = 24) {
  std::vector<std::string> lines;
  for (const PaintedLine& line : live_view(run, kNow, 0, {columns, rows})) {
    EXPECT_LT(text_width(line.text), columns) << line.text;
    lines.push_back(line.text);
  }
  EXPECT_LT(lines.size(), std::max<std::size_t>(rows, 2));
  return lines;
}

std::string repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(LiveView, ALineForEachImageThatIsBuiltAndOneForTheRun) {
  LiveRun run = run_of({{"example/web", "STEP 3/7: COPY . /", kNow - seconds(125)},
                        {"tools", "", kNow - seconds(4)}});
  run.failed = 1;
  run.remaining = minutes(2);
  EXPECT_THAT(view(run, 200),
              ElementsAre("⠋ example/web 2 min 05 s STEP 3/7: COPY . /", "⠋ tools              4 s",
                          repeated("━", 15) + repeated("─", 15) +
                              " 30/60 5 built 1 failed 1 min 12 s ETA 2 min"));
  EXPECT_THAT(view(run, 40),
              ElementsAre("⠋ example/web 2 min 05 s STEP 3/7: COPY", "⠋ tools              4 s",
                          "━━━─── 30/60 5 built 1 failed ETA 2 min"));
}

TEST(LiveView, WhatIsOfLessUseGoesWhereThereIsNoRoom) {
  LiveRun run = run_of({});
  run.failed = 1;
  run.remaining = hours(3) + minutes(25);
  EXPECT_THAT(view(run, 42), ElementsAre("━━━━━────── 30/60 1 failed ETA 3 h 25 min"));
  EXPECT_THAT(view(run, 24), ElementsAre("━━━━──── 30/60 1 failed"));
  EXPECT_THAT(view(run, 14), ElementsAre("━━━──── 30/60"));
  EXPECT_THAT(view(run, 8), ElementsAre("30/60"));
  EXPECT_THAT(view(run, 4), ElementsAre("30/"));
  EXPECT_THAT(view(run, 1), ElementsAre(""));
}

TEST(LiveView, ALongNameLeavesRoomForTheTime) {
  const std::string name = "registry.example/some/where/a-name-that-is-long";
  const LiveRun run = run_of({{name, "line", kNow - seconds(4)}});
  EXPECT_EQ(view(run, 40)[0], "⠋ …e/some/where/a-name-that-is-long 4 s");
  EXPECT_EQ(view(run, 200)[0], "⠋ " + name + " 4 s line");
  for (std::size_t columns = 1; columns < 80; ++columns) view(run, columns);
}

TEST(LiveView, WideAndCombiningCharactersAreCounted) {
  const LiveRun run = run_of({{"a", repeated("世界", 100), kNow},
                              {"b", repeated("e\u0301", 300), kNow},
                              {"c", repeated("🚀", 100), kNow}});
  for (const std::size_t columns : {40U, 41U, 200U, 201U}) {
    const auto lines = view(run, columns);
    EXPECT_GE(text_width(lines[0]), columns - 2);
    EXPECT_EQ(text_width(lines[1]), columns - 1);
    EXPECT_GE(text_width(lines[2]), columns - 2);
  }
}

TEST(LiveView, WhatDoesNotFitTheHeightIsCounted) {
  std::vector<LiveRun::Building> building;
  for (int i = 0; i < 10; ++i) building.push_back({"image-" + std::to_string(i), "", kNow});
  const LiveRun run = run_of(building);
  EXPECT_THAT(view(run, 80, 12), SizeIs(11)) << "all fit";
  const auto lines = view(run, 80, 11);
  ASSERT_THAT(lines, SizeIs(10));
  EXPECT_THAT(lines[7], HasSubstr("image-7"));
  EXPECT_EQ(lines[8], "… and 2 more");
  EXPECT_THAT(lines[9], HasSubstr("30/60"));
  EXPECT_THAT(view(run, 80, 3), ElementsAre("… and 10 more", HasSubstr("30/60")));
  EXPECT_THAT(view(run, 80, 2), ElementsAre(HasSubstr("30/60")));
  EXPECT_THAT(view(run, 80, 1), ElementsAre(HasSubstr("30/60")));
}

TEST(LiveView, TheSpinnerTurns) {
  const LiveRun run = run_of({{"a", "", kNow}});
  const auto first = live_view(run, kNow, 0, {80, 24})[0].text;
  EXPECT_NE(live_view(run, kNow, 1, {80, 24})[0].text, first);
  EXPECT_EQ(live_view(run, kNow, 10, {80, 24})[0].text, first);
}

TEST(LiveView, TheEstimateIsSaidRoughly) {
  EXPECT_EQ(about(milliseconds(400)), "1 s");
  EXPECT_EQ(about(seconds(59)), "59 s");
  EXPECT_EQ(about(seconds(80)), "1 min");
  EXPECT_EQ(about(seconds(100)), "2 min");
  EXPECT_EQ(about(minutes(125)), "2 h 5 min");
  LiveRun run = run_of({});
  run.remaining = milliseconds(0);
  EXPECT_EQ(view(run, 200).back().find("ETA"), std::string::npos) << "it took longer than ever";
}

}  // namespace
}  // namespace imagewright
