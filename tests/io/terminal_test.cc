#include "io/terminal.h"

#include <gtest/gtest.h>

#include <chrono>

#include "pty.h"

namespace imagewright {
namespace {

TEST(Terminal, TellsItsSizeAnewEachTime) {
  Pty pty(40, 10);
  const Terminal terminal(pty.stream());
  EXPECT_EQ(terminal.size().columns, 40U);
  EXPECT_EQ(terminal.size().rows, 10U);
  pty.resize(200, 50);
  EXPECT_EQ(terminal.size().columns, 200U);
  EXPECT_EQ(terminal.size().rows, 50U);
}

TEST(Terminal, HasAUsualSizeWhereItTellsNone) {
  Pty pty(0, 0);
  EXPECT_EQ(Terminal(pty.stream()).size().columns, 80U);
  EXPECT_EQ(Terminal(pty.stream()).size().rows, 24U);
}

TEST(Terminal, IsNotWaitedForWhenItDoesNotKeepUp) {
  Pty pty(80, 24);
  Terminal terminal(pty.stream());
  const auto began = std::chrono::steady_clock::now();
  const std::string line(1000, 'x');
  std::size_t written = 0;
  // Nobody reads: it takes some tens of kilobytes, then no more.
  for (; terminal.keeps_up() && written < 10'000'000; written += line.size()) terminal.write(line);
  terminal.write("the end");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  EXPECT_LT(written, 10'000'000U);

  std::string all;
  while (!terminal.keeps_up()) all += pty.read();
  terminal.flush();
  for (std::string more = pty.read(); !more.empty(); more = pty.read()) all += more;
  EXPECT_EQ(all.size(), written + 7) << "all of it comes, in order";
  EXPECT_EQ(all.substr(written), "the end");
}

TEST(Terminal, AnyOtherStreamGetsAllAtOnce) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* memory = open_memstream(&text, &size);
  {
    Terminal terminal(memory);
    terminal.write("some text");
    EXPECT_TRUE(terminal.keeps_up());
    EXPECT_EQ(std::string(text, size), "some text");
    EXPECT_EQ(terminal.size().columns, 80U);
  }
  std::fclose(memory);
  std::free(text);
}

}  // namespace
}  // namespace imagewright
