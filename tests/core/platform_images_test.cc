#include "core/platform_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace imagewright {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Strings = std::vector<std::string>;

ImageConfig image(const std::string& name, Strings platforms = {}) {
  ImageConfig one;
  one.name = name;
  one.options.platforms = std::move(platforms);
  return one;
}

// "NAME [PLATFORM] of INDEX, leads" each.
Strings shown(const std::vector<ImageConfig>& images) {
  Strings all;
  for (const ImageConfig& one : images) {
    std::string text = one.name;
    for (const std::string& platform : one.options.platforms) text += " " + platform;
    if (!one.index.empty()) text += " of " + one.index;
    if (one.leads_index) text += ", leads";
    all.push_back(std::move(text));
  }
  return all;
}

TEST(PlatformImages, Names) {
  EXPECT_EQ(name_for_platform("a/b", "linux/amd64"), "a/b:latest-linux-amd64");
  EXPECT_EQ(name_for_platform("host:5000/b:1.0", "Linux/ARM/v7"), "host:5000/b:1.0-linux-arm-v7");
}

TEST(PlatformImages, OneForEach) {
  const auto all = one_for_each_platform(
      {image("a"), image("b:1", {"linux/arm64", "linux/amd64"}), image("c", {"linux/arm64"})},
      "linux/amd64");
  ASSERT_TRUE(all);
  EXPECT_THAT(shown(*all),
              ElementsAre("a", "b:1-linux-arm64 linux/arm64 of b:1",
                          "b:1-linux-amd64 linux/amd64 of b:1, leads", "c linux/arm64"));
}

TEST(PlatformImages, TheFirstLeadsWhereNoneIsTheMachines) {
  const auto all =
      one_for_each_platform({image("a", {"linux/s390x", "linux/arm64"})}, "linux/amd64");
  ASSERT_TRUE(all);
  EXPECT_THAT(shown(*all), ElementsAre("a:latest-linux-s390x linux/s390x of a, leads",
                                       "a:latest-linux-arm64 linux/arm64 of a"));
  // (Whatever the spelling.)
  const auto spelled =
      one_for_each_platform({image("a", {"linux/arm64", "linux/x86_64"})}, "linux/amd64");
  ASSERT_TRUE(spelled);
  EXPECT_TRUE(spelled->back().leads_index);
}

TEST(PlatformImages, ImagesOfOneNameForOtherPlatformsAreOneIndex) {
  const auto all = one_for_each_platform(
      {image("team/a", {"linux/amd64"}), image("docker.io/team/a:latest", {"linux/arm64"})},
      "linux/amd64");
  ASSERT_TRUE(all);
  EXPECT_THAT(shown(*all), ElementsAre("team/a:latest-linux-amd64 linux/amd64 of team/a, leads",
                                       "team/a:latest-linux-arm64 linux/arm64 of team/a"));
}

TEST(PlatformImages, WhatCannotBeOneIndex) {
  ImageConfig tagged = image("a", {"linux/arm64"});
  tagged.tags = {":x"};
  const auto apart = one_for_each_platform({image("a", {"linux/amd64"}), tagged}, "linux/amd64");
  ASSERT_FALSE(apart);
  EXPECT_THAT(apart.error().message, HasSubstr("must have the same 'tags' and 'push'"));
  const auto bare = one_for_each_platform({image("a", {"linux", "windows"})}, "linux/amd64");
  ASSERT_FALSE(bare);
  EXPECT_THAT(bare.error().message, HasSubstr("each must say its architecture"));
}

TEST(PlatformImages, NamesThatCannotBe) {
  const auto twice = one_for_each_platform(
      {image("a", {"linux/amd64", "linux/arm64"}), image("a:latest-linux-arm64")}, "linux/amd64");
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message,
              HasSubstr("two images would be called 'a:latest-linux-arm64'"));
  const auto longer = one_for_each_platform(
      {image("a:" + std::string(120, 'x'), {"linux/amd64", "linux/arm64"})}, "linux/amd64");
  ASSERT_FALSE(longer);
  EXPECT_THAT(longer.error().message, HasSubstr("for one of its platforms"));
}

}  // namespace
}  // namespace imagewright
