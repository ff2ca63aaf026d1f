// The environment's variables.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace imagewright {

/// nullopt: it is not set.
inline std::optional<std::string> variable_if_set(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

/// "": it is not set, or empty.
inline std::string variable(const std::string& name) {
  return variable_if_set(name).value_or("");
}

}  // namespace imagewright
