#include "core/error.h"

#include <fmt/format.h>

namespace imagewright {

std::string describe(const ParseError& error, const std::string& file) {
  std::string place = file;
  if (error.line > 0) {
    place += fmt::format(":{}", error.line);
    if (error.column > 0) place += fmt::format(":{}", error.column);
  }
  return place.empty() ? error.message : place + ": " + error.message;
}

}  // namespace imagewright
