#include "core/shown.h"

#include <cstddef>

namespace imagewright {

std::string printable(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : '\0');
    // U+0080 to U+009F, which terminals know as well, have two bytes.
    const bool is_c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;
    result += is_c1 || byte < 0x20 || byte == 0x7f ? '?' : text[i];
    if (is_c1) ++i;
  }
  return result;
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t kMaxShown = 80;
  if (text.size() <= kMaxShown) return printable(text);
  std::size_t size = kMaxShown;
  while (size > 0 && (text[size] & 0xc0) == 0x80) --size;
  return printable(text.substr(0, size)) + "…";
}

std::string shown(std::string_view text) {
  return "'" + excerpt(text) + "'";
}

}  // namespace imagewright
