// The words of a Dockerfile's arguments: quotes, escapes and variables. Knows nothing of
// instructions. Pure. Rules: BuildKit's shell lexer.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace imagewright {

/// The value of a variable; nullopt: it is not set.
using Variables = std::function<std::optional<std::string>(const std::string& name)>;

/// How words are read.
struct WordRules {
  char escape = '\\';        ///< the Dockerfile's escape character
  bool raw_quotes = false;   ///< quotes stay in the result
  bool raw_escapes = false;  ///< escape characters do
  bool keep_unset = false;   ///< `$x` stays where x is not set
  bool heredocs = false;     ///< `<< NAME` is one word
};

/// The text with its quotes removed and its variables replaced. Errors say what is wrong: a quote
/// or brace that is not closed, a substitution that there is not, `${x?…}` of what is not set.
tl::expected<std::string, std::string> expand(std::string_view text, const WordRules& rules,
                                              const Variables& variables);

/// The same, split at the blanks that stand outside of quotes, those of variables' values included.
tl::expected<std::vector<std::string>, std::string> expand_words(std::string_view text,
                                                                 const WordRules& rules,
                                                                 const Variables& variables);

}  // namespace imagewright
