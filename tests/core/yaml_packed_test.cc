#include <gtest/gtest.h>

#include "core/config.h"
#include "core/yaml.h"

namespace imagewright {
namespace {

constexpr char kText[] = R"(x-base: &base {args: {ONE: "1.10", TWO: ~}, labels: [a=b, 'c=d e']}
builder:
  engine: buildah
  images:
  - {name: one, from: a, <<: *base}
  - {name: two, from: "ä/b"}
)";

std::optional<std::string> no_environment(const std::string& /*name*/) {
  return std::nullopt;
}

std::string config_of(Yaml& yaml) {
  const auto config = parse_config(yaml, no_environment);
  if (!config) return describe(config.error(), "f");
  std::string text = config->engine;
  for (const ImageConfig& image : config->images) {
    text += "\n" + image.name + " from " + describe(image.source);
    for (const auto& [name, value] : image.args) text += " " + name + "=" + value;
    for (const auto& [name, value] : image.labels) text += " " + name + "=" + value;
  }
  return text;
}

TEST(YamlPacked, SaysTheSame) {
  Yaml yaml(kText);
  auto again = Yaml::unpacked(yaml.packed());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->packed(), yaml.packed());
  EXPECT_EQ(config_of(*again), config_of(yaml));
  EXPECT_NE(config_of(*again).find("ONE=1.10"), std::string::npos);
}

TEST(YamlPacked, KeepsPlaces) {
  Yaml yaml("builder:\n  images:\n  - {name: one, from: a, wrong: b}\n");
  auto again = Yaml::unpacked(yaml.packed());
  ASSERT_TRUE(again);
  EXPECT_EQ(config_of(*again), config_of(yaml));
  EXPECT_EQ(config_of(*again).substr(0, 7), "f:3:26:");
}

TEST(YamlPacked, AnEmptyTextStaysEmpty) {
  auto again = Yaml::unpacked(Yaml("# nothing\n").packed());
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->empty());
}

TEST(YamlPacked, OfAnotherFormatItIsNothing) {
  EXPECT_FALSE(Yaml::unpacked(""));
  std::string packed = Yaml(kText).packed();
  packed[0] = static_cast<char>(packed[0] + 1);
  EXPECT_FALSE(Yaml::unpacked(packed));
}

TEST(YamlPacked, HalfOfItIsNothing) {
  const std::string packed = Yaml(kText).packed();
  std::size_t whole = 0;
  for (std::size_t size = 1; size < packed.size(); ++size) {
    // Where it ends between two nodes, what is missing is a child of what is there.
    if (Yaml::unpacked(packed.substr(0, size))) ++whole;
  }
  EXPECT_EQ(whole, 0U);
}

TEST(YamlPacked, WhateverTheBytesItEnds) {
  const std::string packed = Yaml(kText).packed();
  for (std::size_t i = 0; i < packed.size(); ++i) {
    for (const int flip : {1, 0x80, 0xff}) {
      std::string damaged = packed;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      if (auto yaml = Yaml::unpacked(damaged)) config_of(*yaml);
    }
  }
}

}  // namespace
}  // namespace imagewright
