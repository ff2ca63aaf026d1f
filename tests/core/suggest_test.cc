#include "core/suggest.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

const std::vector<std::string> kKeys = {"name", "from", "args", "target", "dockerfile"};

TEST(Suggest, FindsSlips) {
  EXPECT_EQ(nearest("nmae", kKeys), "name");
  EXPECT_EQ(nearest("form", kKeys), "from");
  EXPECT_EQ(nearest("arg", kKeys), "args");
  EXPECT_EQ(nearest("dockerfiles", kKeys), "dockerfile");
  EXPECT_EQ(nearest("dokerfle", kKeys), "dockerfile");
}

TEST(Suggest, FarWordsAreNone) {
  EXPECT_EQ(nearest("volumes", kKeys), "");
  EXPECT_EQ(nearest("dkrfile", kKeys), "");
  EXPECT_EQ(nearest("", kKeys), "");
  EXPECT_EQ(nearest("x", {}), "");
}

TEST(Suggest, ShortWordsAllowFewerEdits) {
  EXPECT_EQ(nearest("ab", {"ac"}), "");
  EXPECT_EQ(nearest("abc", {"abd"}), "abd");
  EXPECT_EQ(nearest("abcde", {"abxxe"}), "");
  EXPECT_EQ(nearest("abcdef", {"abxxef"}), "abxxef");
}

TEST(Suggest, NearestWinsThenTheFirst) {
  EXPECT_EQ(nearest("target", {"tarred", "targets"}), "targets");
  EXPECT_EQ(nearest("abcx", {"abca", "abcb"}), "abca");
}

TEST(Suggest, HugeWordsAreCheap) {
  EXPECT_EQ(nearest(std::string(1 << 20, 'x'), kKeys), "");
}

TEST(Suggest, Phrase) {
  EXPECT_EQ(did_you_mean("nmae", kKeys), "; did you mean 'name'?");
  EXPECT_EQ(did_you_mean("volumes", kKeys), "");
}

}  // namespace
}  // namespace imagewright
