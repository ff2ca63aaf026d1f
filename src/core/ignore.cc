#include "core/ignore.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>

#include "core/ignore_pattern.h"

namespace imagewright {

namespace {

constexpr std::size_t kMaxLine = 65536;
constexpr auto kNone = std::string_view::npos;
constexpr std::size_t kWordBits = 64;
constexpr std::size_t kBytes = 256;

tl::unexpected<ParseError> wrong(std::string message) {
  return tl::make_unexpected(ParseError{std::move(message), 0, 0});
}

// What Unicode calls white space, as Go trims it.
constexpr std::array<std::string_view, 25> kBlanks = {
    "\t",     "\n",     "\v",     "\f",     "\r",     " ",      "\u0085", "\u00A0", "\u1680",
    "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008",
    "\u2009", "\u200A", "\u2028", "\u2029", "\u202F", "\u205F", "\u3000"};

std::size_t leading_blank(std::string_view text) {
  const auto* found = std::find_if(kBlanks.begin(), kBlanks.end(),
                                   [&](std::string_view blank) { return text.starts_with(blank); });
  return found == kBlanks.end() ? 0 : found->size();
}

std::size_t trailing_blank(std::string_view text) {
  const auto* found = std::find_if(kBlanks.begin(), kBlanks.end(),
                                   [&](std::string_view blank) { return text.ends_with(blank); });
  return found == kBlanks.end() ? 0 : found->size();
}

std::string_view trimmed(std::string_view text) {
  while (const std::size_t size = leading_blank(text)) text.remove_prefix(size);
  while (const std::size_t size = trailing_blank(text)) text.remove_suffix(size);
  return text;
}

// The shortest spelling of a path, by its text alone: `a//b/./c/../` is `a/b`, `` is `.`.
std::string cleaned(std::string_view path) {
  const bool rooted = path.starts_with('/');
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(slash == kNone ? path.size() : slash + 1);
    if (name.empty() || name == ".") continue;
    const bool climbs = name == "..";
    if (climbs && !names.empty() && names.back() != "..") {
      names.pop_back();
    } else if (!climbs || !rooted) {
      names.push_back(name);
    }
  }
  const std::string text = fmt::format("{}{}", rooted ? "/" : "", fmt::join(names, "/"));
  return text.empty() ? "." : text;
}

// The first of the two passes that a line goes through, the file reader's: "" where it holds no
// pattern.
std::string read_line(std::string_view line) {
  if (line.starts_with('#')) return "";
  line = trimmed(line);
  const bool exception = line.starts_with('!');
  if (exception) line = trimmed(line.substr(1));
  std::string pattern = line.empty() ? "" : cleaned(line);
  if (pattern.size() > 1 && pattern[0] == '/') pattern.erase(0, 1);
  return exception ? "!" + pattern : pattern;
}

// The second pass, the matcher's. Both trim and clean, and what the first leaves may be cleaned
// further by the second (`/ ./a`).
std::string read_pattern(std::string_view text) {
  text = trimmed(text);
  return text.empty() ? "" : cleaned(text);
}

// nullopt: it is empty, and no pattern.
tl::expected<std::optional<IgnorePattern>, ParseError> compiled(std::string_view text) {
  IgnorePattern pattern;
  pattern.text = read_pattern(text);
  if (pattern.text.empty()) return std::nullopt;
  pattern.exception = pattern.text[0] == '!';
  if (pattern.exception) pattern.text.erase(0, 1);
  if (pattern.text.empty()) return wrong("'!' stands alone: a pattern must follow it");
  if (compile_ignore_pattern(pattern.text, pattern) == IgnoreCompiled::Malformed) {
    return wrong(
        fmt::format("the pattern '{}' is malformed: a '[' needs its ']' and a rising range, and "
                    "'\\' a character behind it",
                    pattern.text));
  }
  return pattern;
}

// The path itself or, if nothing is known of them, a directory above it.
bool matches_at(const IgnorePattern& pattern, std::string_view path, bool parents_too) {
  if (pattern.matches(path)) return true;
  if (!parents_too) return false;
  for (std::size_t slash = path.find('/'); slash != kNone; slash = path.find('/', slash + 1)) {
    if (pattern.matches(path.substr(0, slash))) return true;
  }
  return false;
}

std::size_t byte_at(std::string_view path, std::size_t at) {
  return at < path.size() ? static_cast<unsigned char>(path[at]) : 0;
}

template <typename Matched>
auto& word_of(Matched& matched, std::size_t word) {
  return word == 0 ? matched.first : matched.more[word - 1];
}

// A pattern as a line that goes through both passes unchanged. Most do as they are; `#a` and `!./a`
// need a `/` before them, and blanks at the ends must not be at the ends. "" for a rooted pattern,
// which no line can say: it matches no relative path anyway.
std::string as_line(const IgnorePattern& pattern) {
  const std::string plain = (pattern.exception ? "!" : "") + pattern.text;
  for (const std::string_view before : {"", "/", "/ ./"}) {
    for (const std::string_view after : {"", "/. /"}) {
      const std::string line = fmt::format("{}{}{}", before, plain, after);
      if (read_pattern(read_line(line)) == plain) return line + "\n";
    }
  }
  return "";
}

}  // namespace

struct IgnoreRules::Rules {
  std::vector<IgnorePattern> patterns;
  std::vector<std::string> warnings;
  // The patterns that admit a path by its first and by its last byte: a bit each, 64 a word, the
  // words of one byte side by side.
  std::size_t words = 0;
  std::vector<std::uint64_t> by_start;
  std::vector<std::uint64_t> by_end;

  // While patterns are added: an odd one was among them; and behind it an exception.
  bool is_odd_seen = false;
  bool is_unsure = false;

  void add(IgnorePattern pattern, int line);
  void index_patterns();
  bool match(std::string_view path, const Matched& parent, Matched* matched) const;
};

// Odd patterns are settled here, such that nothing is ignored that would not be, whatever they
// match. One that ignores is left out; one that includes may include anything. But what an
// exception brings back also depends on where it was tried, and so on what was ignored there: from
// the first `!` behind an odd pattern on, a pattern that ignores is sure to do so only for what it
// matches itself, and one that includes may do so for all below.
void IgnoreRules::Rules::add(IgnorePattern pattern, int line) {
  const bool is_odd = pattern.kind == IgnorePattern::Kind::Odd;
  is_odd_seen = is_odd_seen || is_odd;
  is_unsure = is_unsure || (is_odd_seen && pattern.exception);
  if (is_odd) {
    warnings.push_back(fmt::format(
        "line {}: the pattern '{}' is read differently by different engines, so it is "
        "taken to {}",
        line, pattern.text, pattern.exception ? "include everything" : "ignore nothing"));
    if (pattern.exception) patterns.clear();
    return;
  }
  if (is_unsure && !pattern.exception) {
    warnings.push_back(
        fmt::format("line {}: the pattern '{}' follows a '!' and a pattern that is read "
                    "differently by different engines, so it is taken to ignore nothing below what "
                    "it matches",
                    line, pattern.text));
  }
  patterns.push_back(std::move(pattern));
  if (is_unsure) patterns.push_back(exception_below(patterns.back()));
}

void IgnoreRules::Rules::index_patterns() {
  words = (patterns.size() + kWordBits - 1) / kWordBits;
  by_start.resize(words * kBytes);
  by_end.resize(words * kBytes);
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const std::uint64_t bit = std::uint64_t{1} << (i % kWordBits);
    for (std::size_t byte = 0; byte < kBytes; ++byte) {
      const std::size_t word = byte * words + i / kWordBits;
      if (patterns[i].admits_start(static_cast<char>(byte))) by_start[word] |= bit;
      if (patterns[i].admits_end(static_cast<char>(byte))) by_end[word] |= bit;
    }
  }
}

bool IgnoreRules::Rules::match(std::string_view path, const Matched& parent,
                               Matched* matched) const {
  // Directories above the path begin with the same byte, but end with any.
  const bool parents_too = !parent.is_known && path.find('/') != kNone;
  const std::uint64_t* start = by_start.data() + byte_at(path, 0) * words;
  const std::uint64_t* end = by_end.data() + byte_at(path, path.size() - 1) * words;
  if (matched != nullptr) {
    matched->is_known = true;
    if (words > 1) matched->more.resize(words - 1);
  }
  bool ignored = false;
  for (std::size_t word = 0; word < words; ++word) {
    const std::uint64_t inherited = parent.is_known ? word_of(parent, word) : 0;
    std::uint64_t here = 0;
    std::uint64_t left = inherited | (start[word] & (parents_too ? ~std::uint64_t{0} : end[word]));
    for (; left != 0; left &= left - 1) {
      const std::uint64_t bit = left & (~left + 1);
      const IgnorePattern& pattern =
          patterns[word * kWordBits + static_cast<std::size_t>(std::countr_zero(left))];
      if ((inherited & bit) == 0) {
        // A pattern that could change nothing is not even tried. That is more than a short cut: the
        // entries below do not inherit what was not tried.
        if (pattern.exception != ignored) continue;
        if (!matches_at(pattern, path, parents_too)) continue;
      }
      here |= bit;
      ignored = !pattern.exception;
    }
    if (matched != nullptr) word_of(*matched, word) = here;
  }
  return ignored;
}

IgnoreRules::IgnoreRules() : rules_(std::make_shared<const Rules>()) {}
IgnoreRules::~IgnoreRules() = default;
IgnoreRules::IgnoreRules(const IgnoreRules&) = default;
IgnoreRules& IgnoreRules::operator=(const IgnoreRules&) = default;
IgnoreRules::IgnoreRules(IgnoreRules&&) noexcept = default;
IgnoreRules& IgnoreRules::operator=(IgnoreRules&&) noexcept = default;

tl::expected<IgnoreRules, ParseError> IgnoreRules::parse(std::string_view text) {
  auto rules = std::make_shared<Rules>();
  int number = 0;
  while (!text.empty()) {
    ++number;
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.size() >= kMaxLine) {
      return tl::make_unexpected(ParseError{"the line is longer than 64 KiB", number, 0});
    }
    if (number == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    auto pattern = compiled(read_line(line));
    if (!pattern) return tl::make_unexpected(ParseError{pattern.error().message, number, 0});
    if (*pattern) rules->add(std::move(**pattern), number);
  }
  rules->index_patterns();
  IgnoreRules parsed;
  parsed.rules_ = std::move(rules);
  return parsed;
}

bool IgnoreRules::match(std::string_view path, const Matched& parent, Matched* matched) const {
  return rules_->match(path, parent, matched);
}

bool IgnoreRules::can_prune(std::string_view directory) const {
  // An exception that matches the directory itself did so before the pattern that had the last
  // word, and all below inherits both.
  return std::none_of(rules_->patterns.begin(), rules_->patterns.end(),
                      [&](const IgnorePattern& pattern) {
                        return pattern.exception && !pattern.matches(directory) &&
                               pattern.could_match_below(directory);
                      });
}

bool IgnoreRules::empty() const {
  return rules_->patterns.empty();
}

bool IgnoreRules::has_exceptions() const {
  return std::any_of(
      rules_->patterns.begin(), rules_->patterns.end(),
      [](const IgnorePattern& pattern) { return pattern.exception || !pattern.is_read_alike(); });
}

std::string IgnoreRules::text() const {
  std::string lines;
  for (const IgnorePattern& pattern : rules_->patterns) lines += as_line(pattern);
  return lines;
}

const std::vector<std::string>& IgnoreRules::warnings() const {
  return rules_->warnings;
}

tl::expected<bool, ParseError> glob_match(std::string_view pattern, std::string_view path) {
  const auto one = compiled(pattern);
  if (!one) return tl::make_unexpected(one.error());
  return one->has_value() && !(*one)->exception && matches_at(**one, path, true);
}

}  // namespace imagewright
