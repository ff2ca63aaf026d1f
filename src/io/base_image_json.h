// What an image brings into builds, from its configuration as engines show it. Knows nothing of how
// they are asked.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/reach.h"

namespace imagewright {

/// Is an image, as above, for that platform, or does it run there?
bool fits_platform(const nlohmann::json& image, const std::string& platform);

/// `image`: an object like that of docker's API, with `config` or `Config`, and its platform's
/// parts in either spelling. nullopt: it is none, or does not fit `platform`
/// ("linux/arm64").
std::optional<BaseImage> base_image_of(const nlohmann::json& image, const std::string& platform);

}  // namespace imagewright
