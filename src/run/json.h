// How reasons and results are written as JSON, for events and documents alike (docs/formats.md).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/verdict.h"

namespace imagewright {

using Json = nlohmann::ordered_json;

/// null for an empty text.
Json text_or_null(const std::string& text);

Json to_json(const ContextChanges& changes);
Json to_json(const std::vector<Reason>& reasons);

/// One line, or indented. Bytes that are not UTF-8 become U+FFFD.
std::string dump(const Json& json, bool indented);

}  // namespace imagewright
