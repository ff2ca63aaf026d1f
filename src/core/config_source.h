// An image's `from`, as text or as a map. What the text means is in core/source.
#pragma once

#include "core/config_reader.h"
#include "core/source.h"

namespace imagewright {

/// Throws YamlError.
Source read_source(ConfigReader& reader, const YamlEntry& from);

}  // namespace imagewright
