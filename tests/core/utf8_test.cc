#include "core/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace imagewright {
namespace {

TEST(Utf8, EveryCodePointComesBack) {
  std::u32string all;
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c < 0xd800 || c > 0xdfff) all += c;
  }
  EXPECT_TRUE(decoded(encoded(all)) == all);
}

TEST(Utf8, EachByteThatBelongsToNoneIsReplaced) {
  EXPECT_EQ(encoded(decoded("a\xff\xc3")), "a\uFFFD\uFFFD");
  EXPECT_EQ(decoded("\xc0\x80").size(), 2U) << "overlong";
  EXPECT_EQ(decoded("\xed\xa0\x80").size(), 3U) << "a surrogate";
  EXPECT_EQ(decoded("\xf4\x90\x80\x80").size(), 4U) << "beyond the last";
  EXPECT_EQ(decoded("\xe2\x82").size(), 2U) << "cut off";
  EXPECT_EQ(decoded("\uFFFD").size(), 1U) << "the replacement itself is a character";
}

TEST(Utf8, BlanksAndLettersAreUnicodes) {
  for (const char32_t c : {U' ', U'\t', U'\u0085', U'\u00a0', U'\u2003', U'\u3000'}) {
    EXPECT_TRUE(is_space(c)) << static_cast<unsigned>(c);
  }
  EXPECT_FALSE(is_space(U'\u200b'));
  for (const char32_t c : {U'a', U'Z', U'ä', U'한', U'я'}) EXPECT_TRUE(is_letter(c));
  for (const char32_t c : {U'1', U'_', U'@', U'[', U'`', U'→'}) EXPECT_FALSE(is_letter(c));
}

}  // namespace
}  // namespace imagewright
