// Replacing in a text. Knows nothing of what the texts are.
#pragma once

#include <string>
#include <string_view>

namespace imagewright {

/// Every `what`, which is not empty, from left to right; what was put in is not looked at again.
inline void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
}

}  // namespace imagewright
