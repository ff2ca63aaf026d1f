#include "core/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/config.h"

namespace imagewright {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kTwice =
    "builder:\n"
    "  images:\n"
    "  - {name: a, from: one, platforms: [linux/amd64, linux/s390x]}\n"
    "  - {name: a, from: two, platforms: [linux/arm64]}\n"
    "  - {name: b, from: three}\n"
    "  - {name: c, from: four, constraints: [fast, '!small']}\n";

tl::expected<Config, ParseError> parse(const std::string& text, const Selection& selection) {
  return parse_config(text, {}, selection);
}

std::string chosen(const std::string& text, const Selection& selection) {
  const auto config = parse(text, selection);
  if (!config) return describe(config.error(), "f");
  std::string all;
  for (const ImageConfig& image : config->images) {
    all += image.name + "=" + std::get<DirectorySource>(image.source).path;
    for (const std::string& platform : image.options.platforms) all += " " + platform;
    all += ";";
  }
  return all;
}

TEST(Selection, OnePlatformOfSeveral) {
  EXPECT_EQ(chosen(kTwice, {"linux/amd64", "linux/amd64", {}}), "a=one linux/amd64;b=three;");
  EXPECT_EQ(chosen(kTwice, {"native", "linux/s390x", {}}), "a=one linux/s390x;b=three;");
  // In whatever spelling; what is for any platform is then for that one.
  EXPECT_EQ(chosen(kTwice, {"linux/aarch64", "linux/amd64", {}}),
            "a=two linux/arm64;b=three linux/aarch64;");
  EXPECT_EQ(chosen(kTwice, {"linux/riscv64", "linux/amd64", {}}), "b=three linux/riscv64;");
}

TEST(Selection, ASystemAloneWasNeverChosen) {
  const std::string text = "builder: {images: [{name: a, from: ., platforms: [linux]}]}";
  EXPECT_EQ(chosen(text, {"linux/arm64", "linux/amd64", {}}), "a=. linux/arm64;");
  EXPECT_EQ(chosen(text, {"native", "linux/amd64", {}}), "a=. linux;");
  EXPECT_FALSE(are_disjoint({"linux"}, {"linux/amd64"}));
  EXPECT_TRUE(are_disjoint({"linux"}, {"windows/amd64"}));
}

TEST(Selection, WithoutAPlatformTwoOfOneNameHaveNoneInCommon) {
  EXPECT_EQ(chosen(kTwice, {}), "a=one linux/amd64 linux/s390x;a=two linux/arm64;b=three;");
  const std::string overlapping =
      "builder:\n  images:\n  - {name: a, from: one, platforms: [linux/arm64]}\n"
      "  - {name: a, from: two, platforms: [linux/amd64, linux/arm64/v8]}\n";
  EXPECT_EQ(chosen(overlapping, {}), "f:4:12: the image 'a' is defined already, in line 3");
  EXPECT_EQ(chosen(overlapping, {"linux/arm64", "linux/amd64", {}}),
            "f:4:12: the image 'a' is defined already, in line 3");
  EXPECT_EQ(chosen("builder:\n  images:\n  - {name: a, from: one, platforms: [linux/arm64]}\n"
                   "  - {name: a, from: two}\n",
                   {}),
            "f:4:12: the image 'a' is defined already, in line 3");
  // Whichever of the earlier ones is in the way.
  EXPECT_EQ(chosen("builder:\n  images:\n  - {name: a, from: one, platforms: [linux/arm64]}\n"
                   "  - {name: a, from: two, platforms: [linux/amd64]}\n"
                   "  - {name: a, from: three, platforms: [linux/amd64]}\n",
                   {}),
            "f:5:12: the image 'a' is defined already, in line 4");
}

TEST(Selection, NamesOfOtherRunsAreKept) {
  const auto config = parse(kTwice, {"linux/amd64", "linux/amd64", {}});
  ASSERT_TRUE(config);
  const std::vector<std::string> names = all_names(*config);
  for (const char* name :
       {"a", "a:latest-linux-amd64", "a:latest-linux-s390x", "a:latest-linux-arm64", "b", "c"}) {
    EXPECT_THAT(names, testing::Contains(name));
  }
}

TEST(Selection, ConstraintsThatHold) {
  const Selection fast{"linux/amd64", "linux/amd64", {"fast", "other"}};
  EXPECT_EQ(chosen(kTwice, fast), "a=one linux/amd64;b=three;c=four;");
  Selection small = fast;
  small.constraints.emplace_back("small");
  EXPECT_EQ(chosen(kTwice, small), "a=one linux/amd64;b=three;");
  const auto config = parse(kTwice, small);
  ASSERT_TRUE(config);
  ASSERT_EQ(config->left_out.size(), 2u);
  EXPECT_EQ(config->left_out[0].why, "it is for linux/arm64, not for linux/amd64");
  EXPECT_EQ(config->left_out[1].why, "its constraint '!small' does not hold");
  EXPECT_THAT(all_names(*config), testing::IsSupersetOf({"a", "b", "c"}));
}

TEST(Selection, TheFileHasAPlatformUnlessTheUserNamesOne) {
  const std::string text = "builder:\n  platform: linux/arm64\n  images:\n  - {name: a, from: .}\n";
  EXPECT_EQ(chosen(text, {}), "a=. linux/arm64;");
  EXPECT_EQ(chosen(text, {"native", "linux/amd64", {}}), "a=.;");
  EXPECT_THAT(
      chosen("builder: {platform: arm64, images: [{name: a, from: .}]}", {}),
      HasSubstr("'platform' must be native or a platform like linux/arm64, and not 'arm64'"));
}

TEST(Selection, WhatIsLeftOutIsSaid) {
  EXPECT_THAT(chosen("builder: {images: [{name: a, from: ., platforms: [linux/arm64]}]}",
                     {"native", "linux/amd64", {}}),
              HasSubstr("no image is left to build: of 'a', it is for linux/arm64, not for "
                        "linux/amd64"));
  EXPECT_THAT(chosen("builder: {images: [{name: a, from: ., depends_on: b}, "
                     "{name: b, from: ., constraints: [x]}]}",
                     {}),
              HasSubstr("'depends_on' names 'b', which is left out here: its constraint 'x' does "
                        "not hold"));
  EXPECT_THAT(chosen("builder: {images: [{name: a, from: ., constraints: ['a b']}]}", {}),
              HasSubstr("'a b' is no constraint"));
}

TEST(Selection, NamesAndTagsOfWhatIsLeftOutAreFree) {
  EXPECT_EQ(chosen("builder:\n  images:\n"
                   "  - {name: 'w:1', from: one, tags: [':w'], constraints: [x]}\n"
                   "  - {name: 'w:2', from: two, tags: [':w'], constraints: [y]}\n",
                   {"", "linux/amd64", {"y"}}),
            "w:2=two;");
}

TEST(Selection, WhereACommitIsToBeFound) {
  const std::string id(40, 'a');
  const auto fetch = [&](const std::string& keys) {
    const auto config =
        parse("builder: {images: [{name: a, from: {git: https://h/r.git, " + keys + "}}]}", {});
    return config ? std::get<GitSource>(config->images[0].source).fetch : config.error().message;
  };
  EXPECT_EQ(fetch("commit: " + id + ", fetch: refs/heads/main"), "refs/heads/main");
  EXPECT_EQ(fetch("commit: " + id + ", fetch: 'refs/heads/*'"), "refs/heads/*");
  EXPECT_THAT(fetch("branch: b, fetch: refs/heads/main"), HasSubstr("there is none here"));
  EXPECT_THAT(fetch("commit: " + id + ", fetch: main"),
              HasSubstr("must be the full name of a ref"));
  EXPECT_THAT(fetch("commit: " + id + ", fetch: 'refs/heads/a:refs/heads/b'"),
              HasSubstr("holds what no branch"));
  EXPECT_THAT(fetch("commit: " + id + ", fetch: 'refs/*/x'"), HasSubstr("holds what no branch"));
  EXPECT_THAT(fetch("commit: " + id + ", fetch: refs/heads/-x"), HasSubstr("begins with '-'"));
}

}  // namespace
}  // namespace imagewright
