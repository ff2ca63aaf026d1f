// What a registry answers for an image's name: a manifest, or an index over the manifests of
// several platforms. Knows nothing of how it is asked. Pure.
// Rules: the OCI image specification; Docker's image manifest, version 2, schema 2; which of an
// index's images serves a platform: containerd's platforms.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

namespace imagewright {

/// The media types that a question for a manifest accepts, as its Accept header has them.
inline constexpr std::string_view kManifestTypes =
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

/// One platform's image: its config, which the same image has under every name and in every store.
struct ManifestOfOne {
  std::string config;  ///< `sha256:…`
  bool operator==(const ManifestOfOne&) const = default;
};

/// Of an index: where the manifest of the platform that was asked for is.
struct ManifestElsewhere {
  std::string digest;  ///< `sha256:…`
  bool operator==(const ManifestElsewhere&) const = default;
};

using ReadManifest = std::variant<ManifestOfOne, ManifestElsewhere>;

/// What was answered holds no image that could be named.
struct NoManifest {
  std::string message;  ///< a part of a sentence
  /// It is an answer all the same: an index without this platform, a manifest of the first schema,
  /// an artifact. Else nobody knows what it is (a proxy's page).
  bool is_answer = false;
};

/// Reads what was answered, for `platform` (core/platform).
tl::expected<ReadManifest, NoManifest> read_manifest(std::string_view text,
                                                     const std::string& platform);

/// A manifest in a registry, of an image for one platform.
struct ManifestOfPlatform {
  std::string media_type;
  std::string digest;  ///< `sha256:…`
  std::size_t size = 0;
  std::string platform;  ///< (core/platform)
};

struct IndexManifest {
  std::string media_type;
  std::string text;
};

/// The index over these: Docker's manifest list where all of them are Docker's, else OCI's. The
/// same of them give the same bytes.
IndexManifest make_index(const std::vector<ManifestOfPlatform>& manifests);

/// `sha256:` and 64 lower-case hexadecimal digits?
bool is_sha256_digest(std::string_view text);

}  // namespace imagewright
