#include "core/json_text.h"

#include <nlohmann/json.hpp>

namespace imagewright {

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace imagewright
