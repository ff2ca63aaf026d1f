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

TEST(Utf8, AnyBytesComeBackFromText) {
  const auto there_and_back = [](const std::string& bytes) {
    const std::string text = text_of_bytes(bytes);
    EXPECT_EQ(encoded(decoded(text)), text) << "it is UTF-8";
    EXPECT_EQ(text.find('\0'), std::string::npos);
    EXPECT_EQ(bytes_of_text(text), bytes);
    return text;
  };
  EXPECT_EQ(there_and_back("plain ü 한 \n"), "plain ü 한 \n") << "text stays as it is";
  EXPECT_EQ(decoded(there_and_back("\xff"))[0], kBytePoint + 0xff);
  there_and_back(std::string("a\0b", 3));
  there_and_back("\xc3");
  there_and_back("\xed\xa0\x80");
  there_and_back(encoded(std::u32string{kBytePoint + 0xff, 0x10ffff, kBytePoint}));
  EXPECT_NE(text_of_bytes("\xff"), text_of_bytes(text_of_bytes("\xff")));
  std::string all;
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      all += static_cast<char>(first);
      all += static_cast<char>(second);
    }
  }
  there_and_back(all);
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
