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

/// Where a user's settings are: $XDG_CONFIG_HOME, else $HOME/.config; "": neither is known.
inline std::string config_home() {
  if (std::string own = variable("XDG_CONFIG_HOME"); !own.empty()) return own;
  const std::string home = variable("HOME");
  return home.empty() ? "" : home + "/.config";
}

}  // namespace imagewright
