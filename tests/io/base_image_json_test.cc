#include "io/base_image_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace imagewright {
namespace {

// "?" for nullopt, else what it brings.
std::string brings(const std::string& json, const std::string& platform = "linux/amd64") {
  const auto base = base_image_of(nlohmann::json::parse(json, nullptr, false), platform);
  if (!base) return "?";
  std::string text;
  for (const std::string& one : base->environment) text += "env " + one + ";";
  for (const std::string& one : base->triggers) text += "onbuild " + one + ";";
  return text;
}

TEST(BaseImageJson, IsReadInEitherSpelling) {
  EXPECT_EQ(brings(R"({"Os": "linux", "Architecture": "amd64",
                       "Config": {"Env": ["A=1"], "OnBuild": ["RUN x"]}})"),
            "env A=1;onbuild RUN x;");
  EXPECT_EQ(brings(R"({"os": "linux", "architecture": "amd64",
                       "config": {"Env": ["A=1"], "OnBuild": ["RUN x"]}})"),
            "env A=1;onbuild RUN x;");
}

TEST(BaseImageJson, NothingIsNothing) {
  EXPECT_EQ(brings(R"({"Os": "linux", "Architecture": "amd64", "Config": {}})"), "");
  EXPECT_EQ(brings(R"({"Os": "linux", "Architecture": "amd64",
                       "Config": {"Env": null, "OnBuild": null}})"),
            "");
}

TEST(BaseImageJson, OfAnotherPlatformItSaysNothing) {
  const std::string arm = R"({"Os": "linux", "Architecture": "arm64", "Config": {}})";
  EXPECT_EQ(brings(arm), "?");
  EXPECT_EQ(brings(arm, "linux/arm64"), "");
  EXPECT_EQ(brings(arm, "linux/arm64/v8"), "");
  EXPECT_EQ(brings(arm, "linux/arm"), "?");
}

TEST(BaseImageJson, WhatIsNoImageSaysNothing) {
  EXPECT_EQ(brings(""), "?");
  EXPECT_EQ(brings("[]"), "?");
  EXPECT_EQ(brings(R"({"Os": "linux", "Architecture": "amd64"})"), "?");
  EXPECT_EQ(brings(R"({"Os": "linux", "Architecture": "amd64", "Config": {"OnBuild": "RUN x"}})"),
            "?");
  EXPECT_EQ(brings(R"({"Os": "linux", "Architecture": "amd64", "Config": {"Env": [1]}})"), "?");
}

}  // namespace
}  // namespace imagewright
