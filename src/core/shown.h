// Text from outside as messages quote it: cut where it is long, and without what would move a
// terminal's cursor. Knows nothing of where the text is from.
#pragma once

#include <string>
#include <string_view>

namespace imagewright {

/// With `?` for each control character.
std::string printable(std::string_view text);

/// At most 80 bytes of the text, with `…` where more was, and `?` for each control character.
/// Characters of UTF-8 stay whole.
std::string excerpt(std::string_view text);

/// The same in single quotes.
std::string shown(std::string_view text);

}  // namespace imagewright
