// What one job builds.
#include "service/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace imagewright {
namespace {

using ::testing::ElementsAre;

ImageConfig image(const std::string& name, const std::string& index = "", int weight = 1) {
  ImageConfig config;
  config.name = name;
  config.index = index;
  config.weight = weight;
  return config;
}

Project project(std::vector<ImageConfig> images) {
  Project project;
  project.config_path = "/somewhere/images.yml";
  project.config.images = std::move(images);
  return project;
}

TEST(Units, AnImageIsOneOfItsOwn) {
  const Units units(project({image("a"), image("b", "", 3)}));
  ASSERT_EQ(units.all().size(), 2u);
  EXPECT_THAT(units.find("b")->images, ElementsAre("b"));
  EXPECT_EQ(units.find("b")->weight, 3);
  EXPECT_EQ(units.find("c"), nullptr);
  EXPECT_EQ(units.find_image("c"), nullptr);
}

TEST(Units, TheImagesOfAnIndexAreOne) {
  const Units units(project({image("app-amd64", "app"), image("b"), image("app-arm64", "app", 2)}));
  ASSERT_EQ(units.all().size(), 2u);
  EXPECT_THAT(units.find("app")->images, ElementsAre("app-amd64", "app-arm64"));
  EXPECT_EQ(units.find("app")->weight, 3);
  EXPECT_EQ(units.of_image("app-arm64").name, "app");
  EXPECT_EQ(units.find("app-amd64"), nullptr);
}

TEST(Units, WhatIsPublishedTogetherIsOne) {
  Project together = project({image("a"), image("b")});
  together.config.publish = PublishWhen::Together;
  const Units units(together);
  ASSERT_EQ(units.all().size(), 1u);
  EXPECT_EQ(units.of_image("b").name, "images.yml");
  EXPECT_THAT(units.find("images.yml")->images, ElementsAre("a", "b"));
}

}  // namespace
}  // namespace imagewright
