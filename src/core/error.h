// The errors that parsers return: what is wrong and where. Knows nothing of files or exit codes.
#pragma once

#include <string>

namespace imagewright {

/// What a parser of ours returns (in tl::expected) when its text is wrong.
/// `line` and `column` count from 1; 0 means that there is no such place to name.
/// `message` is one sentence without a final full stop: what is wrong, then what would be right.
struct ParseError {
  std::string message;
  int line = 0;
  int column = 0;
};

/// "FILE:LINE:COLUMN: message", leaving out what is 0. `file` may be empty.
std::string describe(const ParseError& error, const std::string& file);

}  // namespace imagewright
