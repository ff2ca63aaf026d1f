#include "core/ls_refs.h"

#include <gtest/gtest.h>

#include <string>

namespace imagewright {
namespace {

const std::string kOne(40, 'a');
const std::string kTwo(40, 'b');

std::string packet(const std::string& line) {
  std::string size = "0000";
  const std::size_t length = line.size() + 5;
  for (int i = 0; i < 4; ++i)
    size[static_cast<std::size_t>(3 - i)] = "0123456789abcdef"[(length >> (4 * i)) & 15];
  return size + line + "\n";
}

std::string error_of(const std::string& answer) {
  const auto refs = parse_ls_refs(answer, {"HEAD"});
  return refs ? "" : refs.error().message;
}

TEST(LsRefs, TheQuestionIsAsGitWritesIt) {
  EXPECT_EQ(ls_refs_question({"refs/heads/x", "HEAD"}),
            "0014command=ls-refs\n0016agent=imagewright\n00010009peel\n000csymrefs\n"
            "0014ref-prefix HEAD\n001cref-prefix refs/heads/x\n0000");
}

TEST(LsRefs, VeryManyNamesAreAskedForByTheirKind) {
  std::set<std::string> names = {"refs/pull/1/head"};
  for (int i = 0; i < 3000; ++i) names.insert("refs/heads/x" + std::to_string(i));
  const std::string question = ls_refs_question(names);
  EXPECT_LT(question.size(), 300U);
  EXPECT_NE(question.find("ref-prefix refs/heads/\n"), std::string::npos);
  EXPECT_NE(question.find("ref-prefix refs/pull/1/head\n"), std::string::npos);
}

TEST(LsRefs, AnAnswerHasWhatRefsPeelToAndStandFor) {
  const auto refs =
      parse_ls_refs(packet(kOne + " HEAD symref-target:refs/heads/main") +
                        packet(kOne + " refs/heads/main") + packet(kOne + " refs/heads/main2") +
                        packet(kTwo + " refs/tags/v1 peeled:" + kOne) + "0000",
                    {"HEAD", "refs/heads/main", "refs/tags/v1", "refs/tags/none"});
  ASSERT_TRUE(refs.has_value());
  EXPECT_EQ(*refs, (std::vector<Ref>{{"HEAD", kOne, "", "refs/heads/main"},
                                     {"refs/heads/main", kOne, "", ""},
                                     {"refs/tags/v1", kTwo, kOne, ""}}));
}

TEST(LsRefs, NoSuchRefIsAnAnswer) {
  const auto refs = parse_ls_refs("0000", {"refs/heads/x"});
  ASSERT_TRUE(refs.has_value());
  EXPECT_TRUE(refs->empty());
}

TEST(LsRefs, AnEmptyRepositoryHasAHeadWithoutACommit) {
  const auto refs =
      parse_ls_refs(packet("unborn HEAD symref-target:refs/heads/main") + "0000", {"HEAD"});
  ASSERT_TRUE(refs.has_value());
  EXPECT_EQ(*refs, (std::vector<Ref>{{"HEAD", "", "", "refs/heads/main"}}));
}

TEST(LsRefs, WhatIsNotWholeIsNoAnswer) {
  const std::string line = packet(kOne + " HEAD");
  for (std::size_t size = 0; size < line.size() + 4; ++size)
    EXPECT_NE(error_of((line + "0000").substr(0, size)), "") << size;
  EXPECT_EQ(error_of(line + "0000"), "");
  EXPECT_NE(error_of(line + "0000" + line), "");
}

TEST(LsRefs, RubbishIsNoAnswer) {
  for (const std::string& text :
       {std::string("<html>a page</html>"), packet("ERR no such repository") + "0000",
        packet("HEAD") + "0000", packet("0123 HEAD") + "0000", packet(kOne + " ") + "0000",
        packet(kOne + " HEAD peeled:1") + "0000", std::string("0003"), std::string("-001"),
        std::string("ffff0000"), std::string("+0010000")}) {
    EXPECT_NE(error_of(text), "") << text;
  }
}

}  // namespace
}  // namespace imagewright
