// The keys of an image that only go on to the engine, as the Compose Build Specification has them.
// Knows nothing of what an engine makes of them.
#pragma once

#include "core/build_options.h"
#include "core/config_reader.h"

namespace imagewright {

/// Reads a key of an image into `options`; what was there is replaced. False: it is no such key.
/// Throws YamlError.
bool read_option(ConfigReader& reader, const YamlEntry& entry, BuildOptions& options);

}  // namespace imagewright
