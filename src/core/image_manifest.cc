#include "core/image_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json_text.h"
#include "core/platform.h"
#include "core/shown.h"

namespace imagewright {

namespace {

using Json = nlohmann::json;

NoManifest wrong(std::string message, bool is_answer = true) {
  return {std::move(message), is_answer};
}

tl::expected<ReadManifest, NoManifest> choose(const Json& list, const std::string& platform) {
  for (const Platform& candidate : what_runs_on(parse_platform(platform))) {
    for (const Json& entry : list) {
      const auto found = entry.is_object() ? entry.find("platform") : entry.end();
      if (!entry.is_object() || found == entry.end()) continue;
      const Platform its = platform_of(text_of(*found, "os"), text_of(*found, "architecture"),
                                       text_of(*found, "variant"));
      const std::string digest = text_of(entry, "digest");
      if (its == candidate && is_sha256_digest(digest)) return ManifestElsewhere{digest};
    }
  }
  // One that does not say what it is for is for whoever finds no other.
  for (const Json& entry : list) {
    const std::string digest = text_of(entry, "digest");
    if (entry.is_object() && !entry.contains("platform") && is_sha256_digest(digest))
      return ManifestElsewhere{digest};
  }
  return tl::unexpected(wrong("it has no image for " + printable(platform)));
}

}  // namespace

IndexManifest make_index(const std::vector<ManifestOfPlatform>& manifests) {
  const bool all_docker =
      std::all_of(manifests.begin(), manifests.end(), [](const ManifestOfPlatform& one) {
        return one.media_type == "application/vnd.docker.distribution.manifest.v2+json";
      });
  IndexManifest index;
  index.media_type = all_docker ? "application/vnd.docker.distribution.manifest.list.v2+json"
                                : "application/vnd.oci.image.index.v1+json";
  Json list = Json::array();
  for (const ManifestOfPlatform& one : manifests) {
    const Platform platform = parse_platform(one.platform);
    Json its = {{"architecture", platform.architecture}, {"os", platform.os}};
    if (!platform.variant.empty()) its["variant"] = platform.variant;
    list.push_back({{"mediaType", one.media_type},
                    {"digest", one.digest},
                    {"size", one.size},
                    {"platform", std::move(its)}});
  }
  const Json json = {
      {"schemaVersion", 2}, {"mediaType", index.media_type}, {"manifests", std::move(list)}};
  index.text = json.dump();
  return index;
}

bool is_sha256_digest(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256:";
  constexpr std::size_t kDigits = 64;
  return text.starts_with(kAlgorithm) && text.size() == kAlgorithm.size() + kDigits &&
         text.find_first_not_of("0123456789abcdef", kAlgorithm.size()) == std::string_view::npos;
}

tl::expected<ReadManifest, NoManifest> read_manifest(std::string_view text,
                                                     const std::string& platform) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return tl::unexpected(wrong("what it answers is no manifest", false));
  if (const auto list = json.find("manifests"); list != json.end() && list->is_array())
    return choose(*list, platform);
  if (const auto version = json.find("schemaVersion"); version != json.end() && *version == 1) {
    return tl::unexpected(
        wrong("its manifest is of schema 1, which says nothing of the image's content"));
  }
  const auto config = json.find("config");
  if (config == json.end()) return tl::unexpected(wrong("what it answers is no manifest", false));
  const std::string digest = text_of(*config, "digest");
  if (!is_sha256_digest(digest)) return tl::unexpected(wrong("its manifest names no config"));
  return ManifestOfOne{digest};
}

}  // namespace imagewright
