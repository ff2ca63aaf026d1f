// A configuration as `imagewright config` shows it: variables, defaults and matrices are worked
// out, so that the same text is read again as the same configuration (but for a password in a URL,
// which is not shown). Of secrets there is only where they come from.
#pragma once

#include <filesystem>
#include <string>

#include "core/config.h"
#include "run/json.h"

namespace imagewright {

/// What stands under `builder`. Paths that are relative to `base` are joined to it.
Json config_json(const Config& config, const std::filesystem::path& base);

/// The same as YAML, with `builder` above it; what is null or empty is left out.
std::string config_yaml(const Json& builder);

}  // namespace imagewright
