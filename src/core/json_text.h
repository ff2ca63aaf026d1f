// A text out of JSON that anybody may have written. Knows nothing of what it means.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace imagewright {

/// The text under a key; "" where there is none, or `object` is no object.
std::string text_of(const nlohmann::json& object, const char* key);

}  // namespace imagewright
