#include "core/ignore.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/ignore_pattern.h"

namespace imagewright {

namespace {

constexpr std::size_t kMaxLine = 65536;
constexpr auto kNone = std::string_view::npos;

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
struct RuleSet {
  std::vector<IgnorePattern> patterns;
  std::vector<std::string> warnings;
};

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

tl::expected<void, ParseError> add_pattern(RuleSet& rules, std::string_view text) {
  IgnorePattern pattern;
  pattern.text = read_pattern(text);
  if (pattern.text.empty()) return {};
  pattern.exception = pattern.text[0] == '!';
  if (pattern.exception) pattern.text.erase(0, 1);
  if (pattern.text.empty()) return wrong("'!' stands alone: a pattern must follow it");
  switch (compile_ignore_pattern(pattern.text, pattern)) {
    case IgnoreCompiled::Malformed:
      return wrong(
          fmt::format("the pattern '{}' is malformed: a '[' needs its ']' and a rising range, and "
                      "'\\' a character "
                      "behind it",
                      pattern.text));
    case IgnoreCompiled::Odd:
      rules.warnings.push_back(fmt::format(
          "the pattern '{}' is read differently by different engines, so it is taken to {}",
          pattern.text, pattern.exception ? "include everything" : "ignore nothing"));
      if (!pattern.exception) return {};
      pattern = IgnorePattern{};
      pattern.text = "**";
      pattern.exception = true;
      pattern.kind = IgnorePattern::Kind::Always;
      break;
    case IgnoreCompiled::Good:
      break;
  }
  rules.patterns.push_back(std::move(pattern));
  return {};
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

struct IgnoreRules::Rules : RuleSet {};

IgnoreRules::IgnoreRules() : rules_(std::make_shared<const Rules>()) {}
IgnoreRules::~IgnoreRules() = default;
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
    const std::size_t warnings = rules->warnings.size();
    if (auto added = add_pattern(*rules, read_line(line)); !added) {
      return tl::make_unexpected(ParseError{added.error().message, number, 0});
    }
    if (rules->warnings.size() > warnings) {
      rules->warnings.back() = fmt::format("line {}: {}", number, rules->warnings.back());
    }
  }
  IgnoreRules parsed;
  parsed.rules_ = std::move(rules);
  return parsed;
}

bool IgnoreRules::match(std::string_view path, const Matched& parent, Matched* matched) const {
  const std::vector<IgnorePattern>& patterns = rules_->patterns;
  const bool is_root = parent.by_pattern.empty();
  std::vector<bool> here(matched != nullptr ? patterns.size() : 0);
  bool ignored = false;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const bool inherited = !is_root && parent.by_pattern[i];
    // A pattern that could change nothing is not even tried. That is more than a short cut: the
    // entries below do not inherit what was not tried.
    if (!inherited && patterns[i].exception != ignored) continue;
    if (!inherited && !matches_at(patterns[i], path, is_root)) continue;
    if (matched != nullptr) here[i] = true;
    ignored = !patterns[i].exception;
  }
  if (matched != nullptr) matched->by_pattern = std::move(here);
  return ignored;
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
  return std::any_of(rules_->patterns.begin(), rules_->patterns.end(),
                     [](const IgnorePattern& pattern) { return pattern.exception; });
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
  RuleSet rules;
  if (auto added = add_pattern(rules, pattern); !added) return tl::make_unexpected(added.error());
  return !rules.patterns.empty() && !rules.patterns[0].exception &&
         matches_at(rules.patterns[0], path, true);
}

}  // namespace imagewright
