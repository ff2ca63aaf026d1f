// Text with separators, read from its beginning on, field by field. Pure.
#pragma once

#include <algorithm>
#include <string_view>

namespace imagewright {

/// The next field of `text`, up to `separator`, which goes too; the rest where there is none.
inline std::string_view take_field(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view field = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return field;
}

}  // namespace imagewright
