// "Did you mean": the nearest of some known words. Knows nothing of what the words are for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace imagewright {

/// The word nearest to `word` by edit distance, if it is near enough to be a slip of the fingers
/// (at most two edits, and at most a third of the word's length); else "".
std::string nearest(std::string_view word, const std::vector<std::string>& known);

/// "; did you mean 'X'?", or "" where nothing is near: to be put behind a message.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace imagewright
