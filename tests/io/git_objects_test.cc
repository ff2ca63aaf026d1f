// Objects read without git, and just as git reads them.
#include "io/git_objects.h"

#include <gmock/gmock.h>

#include <map>

#include "io/git_fixture.h"

namespace imagewright {
namespace {

using git_fixture::GitTest;
using git_fixture::lines_of;
namespace fs = std::filesystem;

class GitObjectsTest : public GitTest {
 protected:
  // Every object, by id, as git says: its type and content.
  std::map<std::string, std::pair<std::string, std::string>> all_by_git() {
    std::map<std::string, std::pair<std::string, std::string>> all;
    for (const std::string& line : lines_of(
             in_repo("cat-file --batch-all-objects --batch-check='%(objectname) %(objecttype)'"))) {
      const std::string id = line.substr(0, line.find(' '));
      const std::string type = line.substr(line.find(' ') + 1);
      Command command;
      command.argv = {"git", "-C", (root_ / "repo").string(), "cat-file", type, id};
      all[id] = {type, capture(command).out};
    }
    return all;
  }

  void expect_the_same() {
    const auto objects = GitObjects::open(root_ / "repo/.git");
    ASSERT_NE(objects, nullptr);
    const auto expected = all_by_git();
    EXPECT_GT(expected.size(), 10u);
    for (const auto& [id, object] : expected) {
      std::pair<std::string, std::string> read;
      EXPECT_TRUE(objects->read(id, [&](std::string_view type, std::string_view content) {
        read = {std::string(type), std::string(content)};
      }));
      EXPECT_EQ(read, object);
      EXPECT_EQ(objects->type_of(id), object.first);
    }
  }
};

TEST_F(GitObjectsTest, AllAreReadAsGitReadsThem) {
  for (int i = 0; i < 20; ++i) {
    std::string content;
    for (int line = 0; line < 2000; ++line)
      content += std::to_string(line + i * (line == 7)) + "\n";
    commit("large", content);
  }
  commit("none", "");
  commit("binary", std::string("\0\n\xff\r", 4));
  in_repo("tag -a v1 -m v1");
  expect_the_same();
  in_repo("repack -q -a -d --depth=50");  // deltas upon deltas
  ASSERT_THAT(in_repo("count-objects -v"), testing::HasSubstr("count: 0"));
  expect_the_same();
}

TEST_F(GitObjectsTest, ARefIsReadAsItIs) {
  const auto objects = GitObjects::open(root_ / "repo/.git");
  ASSERT_NE(objects, nullptr);
  EXPECT_EQ(objects->ref("refs/heads/main"), in_repo("rev-parse HEAD"));
  EXPECT_EQ(objects->ref("HEAD"), std::nullopt);  // it names another one
  EXPECT_EQ(objects->ref("refs/heads/none"), std::nullopt);
  git_fixture::write_file(root_ / "repo/.git/refs/heads/cut", "");
  EXPECT_EQ(objects->ref("refs/heads/cut"), std::nullopt);
}

TEST_F(GitObjectsTest, WhatIsNotThereIsNotRead) {
  const auto objects = GitObjects::open(root_ / "repo/.git");
  ASSERT_NE(objects, nullptr);
  for (const std::string& id : {std::string(40, '1'), std::string(40, 'x'), std::string(64, '1'),
                                std::string("1"), std::string()}) {
    EXPECT_FALSE(objects->read(id, [](auto, auto) { ADD_FAILURE(); })) << id;
    EXPECT_EQ(objects->type_of(id), "") << id;
  }
  // What came after it was opened is.
  commit("file", "later\n");
  EXPECT_EQ(objects->type_of(in_repo("rev-parse HEAD")), "commit");
}

TEST_F(GitObjectsTest, WhatItMayNotUnderstandIsLeftToGit) {
  git("init -q --object-format=sha256 other");
  EXPECT_EQ(GitObjects::open(root_ / "other/.git"), nullptr);
  in_repo("pack-refs --all");
  EXPECT_EQ(GitObjects::open(root_ / "repo/.git"), nullptr);
  EXPECT_EQ(GitObjects::open(root_ / "none"), nullptr);
}

}  // namespace
}  // namespace imagewright
