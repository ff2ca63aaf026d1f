// What a registry answers for an image's name: a manifest, or an index over the manifests of
// several platforms. Knows nothing of how it is asked. Pure.
// Rules: the OCI image specification; Docker's image manifest, version 2, schema 2; which of an
// index's images serves a platform: containerd's platforms.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>

#include "core/error.h"

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

/// Reads what was answered, for `platform` ("linux/arm64", "linux/arm/v7"). Errors: it is no
/// manifest, one of the first schema, no image (an artifact), or an index without this platform.
tl::expected<ReadManifest, ParseError> read_manifest(std::string_view text,
                                                     const std::string& platform);

/// `sha256:` and 64 lower-case hexadecimal digits?
bool is_sha256_digest(std::string_view text);

}  // namespace imagewright
