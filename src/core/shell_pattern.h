// The patterns of `${x#pattern}`, `${x%pattern}` and `${x/pattern/text}`: `*` and `?`, escaped by a
// backslash. Pure. Rules: BuildKit's shell lexer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imagewright {

class ShellPattern {
 public:
  /// nullopt: a backslash stands before what cannot be escaped.
  static std::optional<ShellPattern> parse(std::u32string_view text);

  /// For texts that are reversed, too.
  ShellPattern reversed() const;

  /// How much of the text's beginning it matches: the most or the least. nullopt: nothing.
  std::optional<std::size_t> match(std::u32string_view text, bool greedy) const;

  /// The matches from the text's beginning on, at most so many: where each begins and ends, the
  /// longest of those that begin there, none within the one before.
  std::vector<std::pair<std::size_t, std::size_t>> find(std::u32string_view text,
                                                        std::size_t most) const;

 private:
  enum class Kind { Character, Any, Many };
  struct Part {
    Kind kind = Kind::Character;
    char32_t character = 0;
  };

  class Matches;

  std::vector<Part> parts_;
};

}  // namespace imagewright
