#include "core/shown.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

TEST(Shown, QuotesWhatIsShort) {
  EXPECT_EQ(shown(""), "''");
  EXPECT_EQ(shown("a b"), "'a b'");
  EXPECT_EQ(excerpt("a b"), "a b");
}

TEST(Shown, ControlCharactersDoNothing) {
  EXPECT_EQ(shown("a\x1b[31m\nb\x7f"), "'a?[31m?b?'");
  EXPECT_EQ(shown(std::string_view("a\0b", 3)), "'a?b'");
  // U+009B is what `ESC [` is.
  EXPECT_EQ(shown("\u009b31m\u0080\u009f\u00a0"), "'?31m??\u00a0'");
}

TEST(Shown, CutsWhatIsLongBetweenCharacters) {
  const std::string ascii(80, 'a');
  EXPECT_EQ(shown(ascii), "'" + ascii + "'");
  EXPECT_EQ(shown(ascii + "a"), "'" + ascii + "…'");
  const std::string before(79, 'a');
  EXPECT_EQ(shown(before + "ä"), "'" + before + "…'");
  EXPECT_EQ(shown(before + "\U0001F433 and more"), "'" + before + "…'");
}

}  // namespace
}  // namespace imagewright
