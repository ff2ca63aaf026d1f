// ASCII letters in lower case. Knows nothing of other letters: names that are compared so have
// none.
#pragma once

#include <string>
#include <string_view>

namespace imagewright {

inline std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace imagewright
