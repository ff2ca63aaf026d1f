#include "io/reached_links.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "temp_directory.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;

class ReachedLinks : public testing::Test {
 protected:
  void file(const std::string& path) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << path;
  }
  void link(const std::string& path, const std::string& target) {
    fs::create_directories((root_ / path).parent_path());
    fs::create_symlink(target, root_ / path);
  }
  std::string followed(const std::vector<std::string>& paths) const {
    std::string all;
    for (const std::string& path : with_links_followed(root_.string(), paths)) all += path + " ";
    return all;
  }

  TempDirectory directory_;
  fs::path root_ = directory_.path();
};

TEST_F(ReachedLinks, WithoutLinksPathsStayAsTheyAre) {
  file("a/b");
  EXPECT_EQ(followed({"a/b", "c", "*.txt", "a/b/c"}), "*.txt a/b a/b/c c ");
}

TEST_F(ReachedLinks, ALinkAndWhatItLeadsToAreReached) {
  file("real/x");
  link("l", "real/x");
  EXPECT_EQ(followed({"l"}), "l real/x ");
}

TEST_F(ReachedLinks, PartByPart) {
  file("real/deep/x");
  link("one", "real");
  link("real/two", "deep");
  EXPECT_EQ(followed({"one/two/x"}), "one one/two/x real/deep/x real/two ");
}

TEST_F(ReachedLinks, AChainOfThem) {
  file("x");
  link("a", "b");
  link("b", "c");
  link("c", "x");
  EXPECT_EQ(followed({"a"}), "a b c x ");
}

TEST_F(ReachedLinks, NeverOutOfTheContext) {
  file("etc/x");
  link("absolute", "/etc/x");
  link("up", "../../../etc/x");
  link("d/up", "../../etc");
  EXPECT_EQ(followed({"absolute"}), "absolute etc/x ");
  EXPECT_EQ(followed({"up"}), "etc/x up ");
  EXPECT_EQ(followed({"d/up/x"}), "d/up d/up/x etc/x ");
}

TEST_F(ReachedLinks, DotsGoUpFromWhereALinkLeads) {
  file("a/b/x");
  file("a/y");
  link("l", "a/b");
  link("m", "l/../y");  // a/y, not y
  EXPECT_EQ(followed({"m"}), "a/y l m y ") << "and y, which it is by the text alone";
}

TEST_F(ReachedLinks, ALinkToTheRootReachesAll) {
  link("l", ".");
  EXPECT_EQ(followed({"l"}), "* l ");
  link("m", "/");
  EXPECT_EQ(followed({"m/x"}), "m m/x x ");
}

TEST_F(ReachedLinks, LoopsAndLinksToNothingEnd) {
  link("a", "b");
  link("b", "a");
  link("self", "self/x");
  link("nowhere", "gone/x");
  EXPECT_EQ(followed({"a", "nowhere"}), "a b gone/x nowhere ");
  EXPECT_NE(followed({"self"}), "");
}

TEST_F(ReachedLinks, OfWildcardsThoseThatMatch) {
  file("x1");
  file("y");
  link("l1", "y");
  link("other", "x1");
  EXPECT_EQ(followed({"?1"}), "?1 l1 y ");
}

TEST_F(ReachedLinks, WildcardsOnTheWay) {
  file("d1/f");
  file("t/f");
  link("d2", "t");
  link("d1/g", "../y");
  file("y");
  EXPECT_EQ(followed({"d*/f"}), "d*/f d2 t/f ");
  EXPECT_EQ(followed({"d*/g"}), "d*/g d1/g d2 t/g y ");
}

TEST_F(ReachedLinks, WildcardsBehindALink) {
  file("real/a.txt");
  file("real/b.o");
  link("l", "real");
  EXPECT_EQ(followed({"l/*.txt"}), "l l/*.txt real/*.txt ");
}

TEST_F(ReachedLinks, OddNamesBecomePatterns) {
  file("a b/+");
  link("l", "a b/+");
  EXPECT_EQ(followed({"l"}), "a?b/? l ");
  link("m\xc3\xa9", "l");
  EXPECT_EQ(followed({"m?"}), "a?b/? l m* m? ");
}

}  // namespace
}  // namespace imagewright
