#include "core/image_manifest.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace imagewright {
namespace {

// A digest that is known by one digit.
std::string digest(char digit) {
  return "sha256:" + std::string(64, digit);
}

// "config X", "manifest X", or the error.
std::string read(const std::string& text, const std::string& platform = "linux/amd64") {
  const auto manifest = read_manifest(text, platform);
  if (!manifest) return manifest.error().message;
  if (const auto* one = std::get_if<ManifestOfOne>(&*manifest)) return "config " + one->config;
  return "manifest " + std::get<ManifestElsewhere>(*manifest).digest;
}

std::string entry(char digit, const std::string& os, const std::string& architecture,
                  const std::string& variant = "") {
  return fmt::format(
      R"({{"digest": "{}", "platform": {{"os": "{}", "architecture": "{}", "variant": "{}"}}}})",
      digest(digit), os, architecture, variant);
}

std::string index(const std::string& entries) {
  return R"({"schemaVersion": 2, "manifests": [)" + entries + "]}";
}

TEST(ImageManifest, OfOneNamesItsConfig) {
  EXPECT_EQ(read(R"({"schemaVersion": 2, "config": {"digest": ")" + digest('a') + R"("}})"),
            "config " + digest('a'));
}

TEST(ImageManifest, AnIndexGivesThePlatform) {
  const std::string text =
      index(entry('1', "linux", "arm64", "v8") + "," + entry('2', "unknown", "unknown") + "," +
            entry('3', "linux", "amd64") + "," + entry('4', "linux", "arm", "v6") + "," +
            entry('5', "linux", "arm", "v7") + "," + entry('6', "windows", "amd64"));
  EXPECT_EQ(read(text), "manifest " + digest('3'));
  EXPECT_EQ(read(text, "linux/arm64"), "manifest " + digest('1'));
  EXPECT_EQ(read(text, "linux/arm64/v8"), "manifest " + digest('1'));
  EXPECT_EQ(read(text, "linux/arm"), "manifest " + digest('5'));
  EXPECT_EQ(read(text, "linux/arm/v6"), "manifest " + digest('4'));
  EXPECT_EQ(read(text, "windows/amd64"), "manifest " + digest('6'));
  EXPECT_EQ(read(text, "linux/s390x"), "it has no image for linux/s390x");
  EXPECT_EQ(read(text, "unknown/unknown/x"), "it has no image for unknown/unknown/x");
}

TEST(ImageManifest, WhatRunsOnAMachineWillDo) {
  EXPECT_EQ(read(index(entry('1', "linux", "386"))), "manifest " + digest('1'));
  EXPECT_EQ(read(index(entry('1', "linux", "arm", "v7")), "linux/arm64"),
            "manifest " + digest('1'));
  EXPECT_EQ(read(index(entry('1', "linux", "arm", "v5")), "linux/arm/v7"),
            "manifest " + digest('1'));
  EXPECT_EQ(read(index(entry('1', "linux", "arm", "v7")), "linux/arm/v6"),
            "it has no image for linux/arm/v6");
  const std::string two =
      index(entry('1', "linux", "amd64", "v3") + "," + entry('2', "linux", "amd64"));
  EXPECT_EQ(read(two), "manifest " + digest('2'));
  EXPECT_EQ(read(two, "linux/amd64/v3"), "manifest " + digest('1'));
  EXPECT_EQ(read(two, "linux/amd64/v2"), "manifest " + digest('2'));
}

TEST(ImageManifest, APlatformHasManySpellings) {
  const std::string text = index(entry('1', "linux", "arm64") + "," + entry('2', "linux", "amd64"));
  for (const char* name : {"arm64", "aarch64", "linux/arm64/v8", "Linux/ARM64", "linux/aarch64"})
    EXPECT_EQ(read(text, name), "manifest " + digest('1')) << name;
  for (const char* name : {"amd64", "x86_64", "linux/x86-64"})
    EXPECT_EQ(read(text, name), "manifest " + digest('2')) << name;
}

TEST(ImageManifest, AnEntryWithoutAPlatformIsForWhoeverFindsNoOther) {
  const std::string bare = R"({"digest": ")" + digest('1') + R"("})";
  EXPECT_EQ(read(index(bare)), "manifest " + digest('1'));
  EXPECT_EQ(read(index(bare + "," + entry('2', "linux", "amd64"))), "manifest " + digest('2'));
}

TEST(ImageManifest, WhatIsNoneIsSaidToBe) {
  EXPECT_EQ(read(""), "what it answers is no manifest");
  EXPECT_EQ(read("[]"), "what it answers is no manifest");
  EXPECT_EQ(read("{}"), "what it answers is no manifest");
  EXPECT_EQ(read("<html>"), "what it answers is no manifest");
  EXPECT_EQ(read(R"({"schemaVersion": 1, "fsLayers": []})"),
            "its manifest is of schema 1, which says nothing of the image's content");
  EXPECT_EQ(read(R"({"config": {"digest": "sha512:1"}})"), "its manifest names no config");
  EXPECT_EQ(read(R"({"config": []})"), "its manifest names no config");
  EXPECT_EQ(read(index(R"(1, [], {"platform": 1}, {"digest": 1, "platform": {"os": 1}})")),
            "it has no image for linux/amd64");
  EXPECT_EQ(read(index("") + "x"), "what it answers is no manifest");
}

TEST(ImageManifest, WhatIsNoneAtAllIsNoAnswer) {
  EXPECT_FALSE(read_manifest("<html>", "linux/amd64").error().is_answer);
  EXPECT_FALSE(read_manifest("{}", "linux/amd64").error().is_answer);
  EXPECT_TRUE(read_manifest(index(""), "linux/amd64").error().is_answer);
  EXPECT_TRUE(read_manifest(R"({"schemaVersion": 1})", "linux/amd64").error().is_answer);
}

TEST(ImageManifest, AnIndexIsReadAsItWasMade) {
  const std::string docker = "application/vnd.docker.distribution.manifest.v2+json";
  const std::string oci = "application/vnd.oci.image.manifest.v1+json";
  const IndexManifest index = make_index({{docker, digest('a'), 10, "linux/amd64"},
                                          {docker, digest('b'), 11, "linux/arm64/v8"},
                                          {docker, digest('c'), 12, "linux/arm/v6"}});
  EXPECT_EQ(index.media_type, "application/vnd.docker.distribution.manifest.list.v2+json");
  EXPECT_EQ(read(index.text), "manifest " + digest('a'));
  const auto arm = read_manifest(index.text, "linux/arm64");
  ASSERT_TRUE(arm);
  EXPECT_EQ(std::get<ManifestElsewhere>(*arm).digest, digest('b'));
  const auto old = read_manifest(index.text, "linux/arm/v7");
  ASSERT_TRUE(old);
  EXPECT_EQ(std::get<ManifestElsewhere>(*old).digest, digest('c'));
  EXPECT_EQ(
      make_index({{docker, digest('a'), 10, "linux/amd64"}, {oci, digest('b'), 1, "linux/arm64"}})
          .media_type,
      "application/vnd.oci.image.index.v1+json");
}

TEST(ImageManifest, KnowsADigest) {
  EXPECT_TRUE(is_sha256_digest(digest('0')));
  EXPECT_FALSE(is_sha256_digest(digest('A')));
  EXPECT_FALSE(is_sha256_digest(digest('0') + "0"));
  EXPECT_FALSE(is_sha256_digest("sha256:"));
  EXPECT_FALSE(is_sha256_digest("latest"));
}

}  // namespace
}  // namespace imagewright
