// An image for several platforms: one image for each of them, published together as an index. Pure.
// Rules: docs/config.md, "platforms"; the OCI image index.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "core/config.h"
#include "core/error.h"

namespace imagewright {

/// The name of an image's part for a platform: its tag (`latest`, if it has none) with the platform
/// behind it. "a/b:1.0" for linux/arm/v7 is "a/b:1.0-linux-arm-v7".
std::string name_for_platform(const std::string& name, const std::string& platform);

/// Each image of several platforms, or that shares its name with another one of other platforms,
/// becomes one for each platform, named as above, with ImageConfig::index; all others stay as they
/// are. Of those of an index one leads it: the one that runs on `host`, else the first. Errors: two
/// images would have one name, or one that no registry takes.
tl::expected<std::vector<ImageConfig>, ParseError> one_for_each_platform(
    std::vector<ImageConfig> images, const std::string& host);

}  // namespace imagewright
