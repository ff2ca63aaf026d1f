#include "core/text_width.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

TEST(TextWidth, ALetterTakesOneColumnWhateverItsBytes) {
  EXPECT_EQ(text_width(""), 0U);
  EXPECT_EQ(text_width("plain"), 5U);
  EXPECT_EQ(text_width("ümläut ⠋ ━ …"), 12U);
}

TEST(TextWidth, WideCharactersTakeTwo) {
  EXPECT_EQ(text_width("世界"), 4U);
  EXPECT_EQ(text_width("ｆｕｌｌ"), 8U);
  EXPECT_EQ(text_width("한글"), 4U);
  EXPECT_EQ(text_width("\U00020000"), 2U);
}

TEST(TextWidth, WhatCombinesTakesNone) {
  EXPECT_EQ(text_width("e\u0301"), 1U);
  EXPECT_EQ(text_width("\u0301"), 0U) << "with nothing before it";
  EXPECT_EQ(text_width("a\u200bb\u2060c\ufeff"), 3U) << "spaces and joiners without a width";
  EXPECT_EQ(text_width("\u1112\u1161\u11ab"), 2U) << "a syllable in its parts";
  EXPECT_EQ(text_width("soft\u00adhyphen"), 11U) << "which terminals show";
}

TEST(TextWidth, EmojiTakeTwo) {
  EXPECT_EQ(text_width("🚀"), 2U);
  EXPECT_EQ(text_width("✅❌"), 4U);
  EXPECT_EQ(text_width("❤"), 1U);
  EXPECT_EQ(text_width("❤\ufe0f"), 2U);
  EXPECT_EQ(text_width("🇩🇪"), 2U) << "a flag is two letters";
  EXPECT_EQ(text_width("👩\u200d🚀"), 4U) << "never less than a terminal takes";
}

TEST(TextWidth, WhatIsNoUtf8TakesAColumnAByte) {
  EXPECT_EQ(text_width("a\xff\xe2\x82"), 4U);
  EXPECT_EQ(cut_to_width("\xff\xff\xff", 2), "\xff\xff");
}

TEST(TextWidth, CutsBetweenCharactersOnly) {
  EXPECT_EQ(cut_to_width("plain", 3), "pla");
  EXPECT_EQ(cut_to_width("plain", 9), "plain");
  EXPECT_EQ(cut_to_width("plain", 0), "");
  EXPECT_EQ(cut_to_width("世界", 3), "世") << "half of one is not shown";
  EXPECT_EQ(cut_to_width("e\u0301e\u0301", 1), "e\u0301") << "with what combines with it";
  EXPECT_EQ(cut_to_width("a❤\ufe0f", 2), "a");
}

TEST(TextWidth, TheEndOfATextThatDoesNotFit) {
  EXPECT_EQ(end_of("example/web", 11), "example/web");
  EXPECT_EQ(end_of("example/web", 6), "…e/web");
  EXPECT_EQ(end_of("世界世界", 4), "…界");
  EXPECT_EQ(end_of("example", 1), "…");
  EXPECT_EQ(end_of("example", 0), "");
}

}  // namespace
}  // namespace imagewright
