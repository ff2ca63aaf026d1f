// Where the conformance data lie: in the folder that IMAGEWRIGHT_CONFORMANCE names.
#pragma once

#include <cstdlib>
#include <string>

namespace imagewright {

inline std::string conformance_file(const std::string& name) {
  const char* folder = std::getenv("IMAGEWRIGHT_CONFORMANCE");
  return std::string(folder != nullptr ? folder : IMAGEWRIGHT_CONFORMANCE_DEFAULT) + "/" + name;
}

}  // namespace imagewright
