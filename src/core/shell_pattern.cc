#include "core/shell_pattern.h"

#include <algorithm>

namespace imagewright {

std::optional<ShellPattern> ShellPattern::parse(std::u32string_view text) {
  ShellPattern pattern;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char32_t character = text[i];
    if (character == U'*' || character == U'?') {
      pattern.parts_.push_back({character == U'*' ? Kind::Many : Kind::Any});
      continue;
    }
    if (character == U'\\') {
      if (++i == text.size()) return std::nullopt;
      character = text[i];
      // (The last two are escaped for the `${…}` around the pattern.)
      if (std::u32string_view(U"*?\\}/").find(character) == std::u32string_view::npos)
        return std::nullopt;
    }
    pattern.parts_.push_back({Kind::Character, character});
  }
  return pattern;
}

ShellPattern ShellPattern::reversed() const {
  ShellPattern pattern;
  pattern.parts_.assign(parts_.rbegin(), parts_.rend());
  return pattern;
}

// Where the parts from each on can match in a text, worked out once: so that no pattern takes more
// than its length times the text's, however often it matches.
class ShellPattern::Matches {
 public:
  Matches(const std::vector<Part>& parts, std::u32string_view text)
      : parts_(parts), text_(text), can_((parts.size() + 1) * (text.size() + 1)) {
    for (std::size_t i = 0; i <= text.size(); ++i) can(parts.size(), i) = true;
    for (std::size_t p = parts.size(); p-- > 0;) {
      for (std::size_t i = text.size() + 1; i-- > 0;) can(p, i) = can_here(p, i);
    }
  }

  bool begins_at(std::size_t start) { return can(0, start); }

  // Of what begins there.
  std::size_t end(std::size_t start, bool greedy) {
    std::size_t end = start;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      end = parts_[p].kind == Kind::Many ? behind_many(p, end, greedy) : end + 1;
    }
    return end;
  }

 private:
  std::vector<bool>::reference can(std::size_t p, std::size_t i) {
    return can_[p * (text_.size() + 1) + i];
  }
  bool is_any(std::size_t i) const { return i < text_.size() && text_[i] != U'\n'; }

  bool can_here(std::size_t p, std::size_t i) {
    switch (parts_[p].kind) {
      case Kind::Character:
        return i < text_.size() && text_[i] == parts_[p].character && can(p + 1, i + 1);
      case Kind::Any:
        return is_any(i) && can(p + 1, i + 1);
      case Kind::Many:
        return can(p + 1, i) || (is_any(i) && can(p, i + 1));
    }
    return false;
  }

  std::size_t behind_many(std::size_t p, std::size_t start, bool greedy) {
    std::size_t best = start;
    for (std::size_t i = start; i <= text_.size(); ++i) {
      if (can(p + 1, i)) {
        best = i;
        if (!greedy) break;
      }
      if (!is_any(i)) break;
    }
    return best;
  }

  const std::vector<Part>& parts_;
  std::u32string_view text_;
  std::vector<bool> can_;
};

std::optional<std::size_t> ShellPattern::match(std::u32string_view text, bool greedy) const {
  Matches matches(parts_, text);
  return matches.begins_at(0) ? std::optional(matches.end(0, greedy)) : std::nullopt;
}

std::vector<std::pair<std::size_t, std::size_t>> ShellPattern::find(std::u32string_view text,
                                                                    std::size_t most) const {
  Matches matches(parts_, text);
  std::vector<std::pair<std::size_t, std::size_t>> found;
  for (std::size_t at = 0; at <= text.size() && found.size() < most;) {
    if (!matches.begins_at(at)) {
      ++at;
      continue;
    }
    const std::size_t end = matches.end(at, true);
    found.emplace_back(at, end);
    at = std::max(at + 1, end);
  }
  return found;
}

}  // namespace imagewright
