#include "core/shell_pattern.h"

namespace imagewright {

namespace {

// Can the parts from p on match what begins at i? All answers at once, so that no pattern takes
// more than its length times the text's.
class Answers {
 public:
  Answers(std::size_t parts, std::size_t characters)
      : width_(characters + 1), answers_((parts + 1) * width_) {}

  std::vector<bool>::reference at(std::size_t p, std::size_t i) { return answers_[p * width_ + i]; }

 private:
  std::size_t width_;
  std::vector<bool> answers_;
};

}  // namespace

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

std::optional<std::pair<std::size_t, std::size_t>> ShellPattern::search(std::u32string_view text,
                                                                        std::size_t first,
                                                                        std::size_t last,
                                                                        bool greedy) const {
  const auto is_any = [&](std::size_t i) { return i < text.size() && text[i] != U'\n'; };
  Answers can(parts_.size(), text.size());
  for (std::size_t i = 0; i <= text.size(); ++i) can.at(parts_.size(), i) = true;
  for (std::size_t p = parts_.size(); p-- > 0;) {
    for (std::size_t i = text.size() + 1; i-- > 0;) {
      switch (parts_[p].kind) {
        case Kind::Character:
          can.at(p, i) = i < text.size() && text[i] == parts_[p].character && can.at(p + 1, i + 1);
          break;
        case Kind::Any:
          can.at(p, i) = is_any(i) && can.at(p + 1, i + 1);
          break;
        case Kind::Many:
          can.at(p, i) = can.at(p + 1, i) || (is_any(i) && can.at(p, i + 1));
          break;
      }
    }
  }
  std::size_t start = first;
  while (start <= last && !can.at(0, start)) ++start;
  if (start > last) return std::nullopt;
  std::size_t end = start;
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    if (parts_[p].kind != Kind::Many) {
      ++end;
      continue;
    }
    std::size_t best = end;
    for (std::size_t i = end; i <= text.size(); ++i) {
      if (can.at(p + 1, i)) {
        best = i;
        if (!greedy) break;
      }
      if (!is_any(i)) break;
    }
    end = best;
  }
  return std::pair(start, end);
}

std::optional<std::size_t> ShellPattern::match(std::u32string_view text, bool greedy) const {
  const auto found = search(text, 0, 0, greedy);
  return found ? std::optional(found->second) : std::nullopt;
}

std::optional<std::pair<std::size_t, std::size_t>> ShellPattern::find(std::u32string_view text,
                                                                      std::size_t start) const {
  return search(text, start, text.size(), true);
}

}  // namespace imagewright
