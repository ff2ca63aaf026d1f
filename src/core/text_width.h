// How many columns of a terminal a text takes, and cutting it to some. Text has no escape sequences
// and no control characters here. Knows nothing of terminals beyond their cells.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace imagewright {

/// A character with all that combines with it.
struct Glyph {
  std::size_t size = 0;   ///< bytes
  std::size_t width = 0;  ///< columns
};

/// The first one of a text that is not empty. A byte that belongs to no character takes a column,
/// as the replacement that is shown for it.
///
/// Terminals differ in what they make of emoji that are put together (joined, or with a tone of
/// skin): here their parts stand side by side, so that a text never takes more than it is said to.
Glyph first_glyph(std::string_view text);

/// Columns that the text takes.
std::size_t text_width(std::string_view text);

/// As much of its beginning as fits into so many columns.
std::string_view cut_to_width(std::string_view text, std::size_t columns);

/// The text if it fits into so many columns, else `…` and as much of its end as fits.
std::string end_of(std::string_view text, std::size_t columns);

}  // namespace imagewright
