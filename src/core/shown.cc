#include "core/shown.h"

#include <algorithm>
#include <cstddef>

namespace imagewright {

std::string excerpt(std::string_view text) {
  constexpr std::size_t kMaxShown = 80;
  std::size_t size = std::min(text.size(), kMaxShown);
  while (size < text.size() && size > 0 && (text[size] & 0xc0) == 0x80) --size;
  std::string result(text.substr(0, size));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  if (size < text.size()) result += "…";
  return result;
}

std::string shown(std::string_view text) {
  return "'" + excerpt(text) + "'";
}

}  // namespace imagewright
