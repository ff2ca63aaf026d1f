#include "run/live_region.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pty.h"

namespace imagewright {
namespace {

using testing::HasSubstr;
using testing::Not;

PaintedLine line(std::string_view text, const char* paint = "") {
  PaintedLine line;
  line.add(text, paint);
  return line;
}

std::string repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

struct Shown {
  explicit Shown(unsigned short columns, unsigned short rows = 24, bool color = false)
      : pty(columns, rows), terminal(pty.stream()), region(terminal, color) {}
  Pty pty;
  Terminal terminal;
  LiveRegion region;
};

TEST(LiveRegion, AFrameIsDrawnOverTheLastOneAndTheCursorRestsWhereItBegins) {
  Shown shown(40);
  shown.region.show({}, {line("one"), line("two"), line("three")});
  EXPECT_EQ(shown.pty.read(),
            "\x1b[?2026h\x1b[?25l\r\x1b[?7lone\x1b[K\r\ntwo\x1b[K\r\nthree\x1b[J\x1b[2A\r\x1b[?7h"
            "\x1b[?2026l");
  shown.region.show({}, {line("one")});
  EXPECT_EQ(shown.pty.read(), "\x1b[?2026h\x1b[?25l\r\x1b[?7lone\x1b[J\r\x1b[?7h\x1b[?2026l");
}

TEST(LiveRegion, NothingIsErasedBeforeItIsDrawnOver) {
  Shown shown(40);
  shown.region.show({}, {line("one"), line("two")});
  shown.pty.read();
  shown.region.show({line("stays")}, {line("one"), line("two")});
  const std::string frame = shown.pty.read();
  EXPECT_THAT(frame, HasSubstr("\rstays\x1b[K\r\n\x1b[?7lone\x1b[K\r\ntwo\x1b[J\x1b[1A\r"));
}

TEST(LiveRegion, WithoutOneLinesThatStayAreJustLines) {
  Shown shown(40);
  shown.region.show({line("one"), line("two")}, {});
  shown.region.close();
  EXPECT_EQ(shown.pty.read(), "one\r\ntwo\r\n");
}

TEST(LiveRegion, ItsEndLeavesNothing) {
  const std::string end = "\r\x1b[?7l\x1b[J\x1b[?7h\x1b[?25h\x1b[?2026l";
  Shown shown(40);
  shown.region.show({}, {line("one")});
  shown.pty.read();
  shown.region.close();
  EXPECT_THAT(shown.pty.read(), HasSubstr(end));
  shown.region.close();
  EXPECT_EQ(shown.pty.read(), "") << "once";

  Pty pty(40, 24);
  Terminal terminal(pty.stream());
  try {
    LiveRegion region(terminal, false);
    region.show({}, {line("one")});
    pty.read();
    throw std::runtime_error("something");
  } catch (const std::runtime_error&) {
    EXPECT_THAT(pty.read(), HasSubstr(end)) << "whatever ends it";
  }
}

TEST(LiveRegion, LinesAreCutToTheWidthThatItHasNow) {
  Shown shown(40);
  const std::string wide = repeated("世", 150);
  shown.region.show({}, {line(wide)});
  EXPECT_THAT(shown.pty.read(), HasSubstr("l" + repeated("世", 19) + "\x1b[J"));
  shown.pty.resize(200, 24);
  shown.region.show({}, {line(wide)});
  EXPECT_THAT(shown.pty.read(), HasSubstr("l" + repeated("世", 99) + "\x1b[J"));
  shown.pty.resize(1, 24);
  shown.region.show({}, {line(wide)});
  EXPECT_THAT(shown.pty.read(), Not(HasSubstr("世")));
}

TEST(LiveRegion, WhatTheTerminalBrokeIntoRowsAtAnotherWidthIsForgottenFirst) {
  Shown shown(40);
  shown.region.show({}, {line("one"), line("two")});
  shown.pty.read();
  shown.pty.resize(20, 24);
  shown.region.show({line("stays")}, {line("one"), line("two")});
  EXPECT_THAT(shown.pty.read(), HasSubstr("\r\x1b[Jstays\x1b[K\r\n"));
  shown.region.show({}, {line("one"), line("two")});
  EXPECT_THAT(shown.pty.read(), HasSubstr("\r\x1b[?7lone")) << "once";
}

TEST(LiveRegion, ThereIsAlwaysARowForWhatStays) {
  Shown shown(40, 3);
  shown.region.show({}, {line("one"), line("two"), line("three"), line("four")});
  const std::string frame = shown.pty.read();
  EXPECT_THAT(frame, HasSubstr("one\x1b[K\r\ntwo\x1b[J\x1b[1A\r"));
  EXPECT_THAT(frame, Not(HasSubstr("three")));
  shown.pty.resize(40, 1);
  shown.region.show({}, {line("one"), line("two")});
  EXPECT_THAT(shown.pty.read(), Not(HasSubstr("two")));
}

TEST(LiveRegion, ALongLineThatStaysCoversAllOfItsRows) {
  Shown shown(10);
  shown.region.show({}, {line("one"), line("two")});
  shown.pty.read();
  shown.region.show({line("0123456789abc")}, {line("one")});
  EXPECT_THAT(shown.pty.read(), HasSubstr("\r0123456789abc\x1b[K\r\n"));
  // At the end of a full row an erasing would take its last character.
  shown.region.show({line("0123456789")}, {line("one")});
  EXPECT_THAT(shown.pty.read(), HasSubstr("\r0123456789\r\n"));
  // A wide character that does not fit into the row leaves its last column as it was.
  shown.region.show({line("012345678世")}, {line("one")});
  EXPECT_THAT(shown.pty.read(), HasSubstr("\r012345678\x1b[K世\x1b[K\r\n"));
}

TEST(LiveRegion, ColoursOnlyWhereAsked) {
  PaintedLine painted;
  painted.add("a ");
  painted.add("faint", "2");
  painted.add(" b");
  Shown plain(40);
  plain.region.show({painted}, {painted});
  EXPECT_THAT(plain.pty.read(), Not(HasSubstr("m")));
  Shown colored(40, 24, true);
  colored.region.show({painted}, {painted});
  EXPECT_THAT(
      colored.pty.read(),
      HasSubstr("\ra \x1b[2mfaint\x1b[0m b\x1b[K\r\n\x1b[?7la \x1b[2mfaint\x1b[0m b\x1b[J"));
  colored.pty.resize(5, 24);
  colored.region.show({}, {painted});
  EXPECT_THAT(colored.pty.read(), HasSubstr("la \x1b[2mfa\x1b[0m\x1b[J")) << "cut, and ended";
}

}  // namespace
}  // namespace imagewright
