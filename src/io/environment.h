// The environment's variables.
#pragma once

#include <cstdlib>
#include <string>

namespace imagewright {

/// "": it is not set, or empty.
inline std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace imagewright
