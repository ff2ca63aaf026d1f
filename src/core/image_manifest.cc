#include "core/image_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "core/shown.h"

namespace imagewright {

namespace {

using Json = nlohmann::json;

struct Platform {
  std::string os, architecture, variant;
  bool operator==(const Platform&) const = default;
};

std::string text_of(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// With the variant that goes without saying.
Platform plain(Platform platform) {
  auto& [os, architecture, variant] = platform;
  if (architecture == "x86_64") architecture = "amd64";
  if (architecture == "aarch64") architecture = "arm64";
  if (architecture == "arm64" && (variant == "8" || variant == "v8")) variant.clear();
  if (architecture == "amd64" && variant == "v1") variant.clear();
  if (architecture == "arm") {
    if (variant.empty()) variant = "v7";
    if (variant.front() != 'v') variant.insert(0, 1, 'v');
  }
  return platform;
}

Platform parse(const std::string& text) {
  Platform platform;
  const std::size_t first = text.find('/');
  platform.os = text.substr(0, first);
  if (first != std::string::npos) {
    const std::size_t second = text.find('/', first + 1);
    platform.architecture = text.substr(first + 1, second - first - 1);
    if (second != std::string::npos) platform.variant = text.substr(second + 1);
  }
  return plain(platform);
}

// What runs on a machine of this platform, the best first.
std::vector<Platform> what_serves(const Platform& wanted) {
  std::vector<Platform> all = {wanted};
  const auto arm_up_to = [&](char newest) {
    for (char version = newest; version >= '5'; --version)
      all.push_back({wanted.os, "arm", std::string("v") + version});
  };
  if (wanted.architecture == "arm" && wanted.variant.size() == 2)
    arm_up_to(static_cast<char>(wanted.variant[1] - 1));
  if (wanted.architecture == "arm64") {
    if (!wanted.variant.empty()) all.push_back({wanted.os, "arm64", ""});
    arm_up_to('8');
  }
  if (wanted.architecture == "amd64") {
    if (wanted.variant.size() == 2) {
      for (char version = wanted.variant[1]; version-- > '2';)
        all.push_back({wanted.os, "amd64", std::string("v") + version});
      all.push_back({wanted.os, "amd64", ""});
    }
    all.push_back({wanted.os, "386", ""});
  }
  return all;
}

ParseError wrong(std::string message) {
  return {std::move(message)};
}

tl::expected<ReadManifest, ParseError> choose(const Json& list, const std::string& platform) {
  for (const Platform& candidate : what_serves(parse(platform))) {
    for (const Json& entry : list) {
      const auto found = entry.is_object() ? entry.find("platform") : entry.end();
      if (found == entry.end() || !entry.is_object()) continue;
      const Platform its = plain(
          {text_of(*found, "os"), text_of(*found, "architecture"), text_of(*found, "variant")});
      const std::string digest = text_of(entry, "digest");
      if (its == candidate && is_sha256_digest(digest)) return ManifestElsewhere{digest};
    }
  }
  return tl::unexpected(wrong("it has no image for " + printable(platform)));
}

}  // namespace

bool is_sha256_digest(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256:";
  constexpr std::size_t kDigits = 64;
  return text.starts_with(kAlgorithm) && text.size() == kAlgorithm.size() + kDigits &&
         text.find_first_not_of("0123456789abcdef", kAlgorithm.size()) == std::string_view::npos;
}

tl::expected<ReadManifest, ParseError> read_manifest(std::string_view text,
                                                     const std::string& platform) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return tl::unexpected(wrong("what it answers is no manifest"));
  if (const auto list = json.find("manifests"); list != json.end() && list->is_array())
    return choose(*list, platform);
  if (const auto version = json.find("schemaVersion"); version != json.end() && *version == 1) {
    return tl::unexpected(
        wrong("its manifest is of schema 1, which says nothing of the image's content"));
  }
  const auto config = json.find("config");
  if (config == json.end()) return tl::unexpected(wrong("what it answers is no manifest"));
  const std::string digest = text_of(*config, "digest");
  if (!is_sha256_digest(digest)) return tl::unexpected(wrong("its manifest names no config"));
  return ManifestOfOne{digest};
}

}  // namespace imagewright
