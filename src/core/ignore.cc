#include "core/ignore.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

namespace imagewright {

namespace {

constexpr std::size_t kMaxLine = 64 * 1024;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr auto kNone = std::string_view::npos;

tl::unexpected<ParseError> wrong(std::string message) {
  return tl::make_unexpected(ParseError{std::move(message), 0, 0});
}

// --- Text
// ---------------------------------------------------------------------------------------------

struct CodePoint {
  char32_t value;
  std::size_t size;
};

// The first code point of a text that is not empty. A byte that begins no valid one counts as
// U+FFFD, as in the original: such names are matched, not skipped.
CodePoint decode(std::string_view text) {
  constexpr CodePoint kInvalid = {0xFFFD, 1};
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return kInvalid;
  char32_t value = lead & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0U) != 0x80) return kInvalid;
    value = (value << 6U) | (byte & 0x3FU);
  }
  const bool is_overlong = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  const bool is_surrogate = value >= 0xD800 && value <= 0xDFFF;
  return is_overlong || is_surrogate || value > 0x10FFFF ? kInvalid : CodePoint{value, size};
}

// What Unicode calls white space, as the original trims it.
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

// --- The check for malformed patterns
// -------------------------------------------------------------------

enum class Outcome { no, yes, malformed };

// One character of a class, which may be escaped; nullopt: malformed. As in the original a class
// cannot end with the text.
std::optional<char32_t> take_class_character(std::string_view& chunk) {
  if (chunk.empty() || chunk[0] == '-' || chunk[0] == ']') return std::nullopt;
  if (chunk[0] == '\\') chunk.remove_prefix(1);
  if (chunk.empty()) return std::nullopt;
  const CodePoint point = decode(chunk);
  chunk.remove_prefix(point.size);
  if ((point.value == 0xFFFD && point.size == 1) || chunk.empty()) return std::nullopt;
  return point.value;
}

// The class at the start of `chunk` (behind its `[`) against one code point.
Outcome take_class(std::string_view& chunk, char32_t point) {
  const bool negated = chunk.starts_with('^');
  if (negated) chunk.remove_prefix(1);
  bool found = false;
  for (bool first = true; first || !chunk.starts_with(']'); first = false) {
    const auto low = take_class_character(chunk);
    if (!low) return Outcome::malformed;
    auto high = low;
    if (chunk[0] == '-') {
      chunk.remove_prefix(1);
      high = take_class_character(chunk);
      if (!high) return Outcome::malformed;
    }
    if (*low <= point && point <= *high) found = true;
  }
  chunk.remove_prefix(1);
  return found != negated ? Outcome::yes : Outcome::no;
}

// A pattern's part without `*` against the start of `name`, which it shortens. Where it cannot
// match any more it goes on, to see if the rest is well-formed.
Outcome match_chunk(std::string_view chunk, std::string_view& name) {
  bool failed = false;
  std::string_view rest = name;
  while (!chunk.empty()) {
    failed = failed || rest.empty();
    const char kind = chunk[0];
    chunk.remove_prefix(1);
    const CodePoint point = failed ? CodePoint{0, 0} : decode(rest);
    if (kind == '[') {
      const Outcome outcome = take_class(chunk, point.value);
      if (outcome == Outcome::malformed) return outcome;
      failed = failed || outcome == Outcome::no;
    } else if (kind == '?') {
      failed = failed || rest[0] == '/';
    } else {
      if (kind == '\\' && chunk.empty()) return Outcome::malformed;
      const char literal = kind == '\\' ? chunk[0] : kind;
      if (kind == '\\') chunk.remove_prefix(1);
      failed = failed || rest[0] != literal;
      if (!failed) rest.remove_prefix(1);
      continue;
    }
    if (!failed) rest.remove_prefix(point.size);
  }
  if (failed) return Outcome::no;
  name = rest;
  return Outcome::yes;
}

// Does the original refuse the pattern? It tries it on the name "." and looks no further than that
// takes it, so that what stands behind the first `*` is mostly not checked.
bool is_malformed(std::string_view pattern) {
  std::string_view name = ".";
  while (!pattern.empty()) {
    const std::size_t stars = std::min(pattern.find_first_not_of('*'), pattern.size());
    pattern.remove_prefix(stars);
    std::size_t end = 0;
    for (bool in_class = false; end < pattern.size(); ++end) {
      if (pattern[end] == '*' && !in_class) break;
      if (pattern[end] == '[') in_class = true;
      if (pattern[end] == ']') in_class = false;
      if (pattern[end] == '\\' && end + 1 < pattern.size()) ++end;
    }
    const std::string_view chunk = pattern.substr(0, end);
    pattern.remove_prefix(end);
    if (chunk.empty()) return false;
    std::string_view rest = name;
    Outcome outcome = match_chunk(chunk, rest);
    const auto is_end = [&] { return rest.empty() || !pattern.empty(); };
    if (stars > 0 && !(outcome == Outcome::yes && is_end()) && outcome != Outcome::malformed &&
        !name.empty()) {
      rest = name.substr(1);
      outcome = match_chunk(chunk, rest);
    }
    if (outcome == Outcome::malformed) return true;
    if (outcome == Outcome::no || !is_end()) return false;
    name = rest;
  }
  return false;
}

// --- One pattern
// ----------------------------------------------------------------------------------------

struct Element {
  enum class Kind {
    literal,      // these bytes
    any,          // `?`: one code point that is not `/`
    one_of,       // `[…]`: one code point; `/` too
    star,         // `*`: anything without `/`
    directories,  // `**`: nothing, or anything that ends with `/`; no newline
    rest,         // a `**` at the end: anything; no newline
  };
  Kind kind = Kind::literal;
  std::string literal;
  std::vector<std::pair<char32_t, char32_t>> ranges;
  bool negated = false;
  std::size_t number = 0;  // among the stars and directories

  bool contains(char32_t point) const {
    const bool found = std::any_of(ranges.begin(), ranges.end(), [point](const auto& range) {
      return range.first <= point && point <= range.second;
    });
    return found != negated;
  }
};

struct Pattern {
  enum class Kind {
    exact,     // the path is `start`
    prefix,    // it begins with it
    suffix,    // it ends with `end`
    name,      // it ends with `end` as whole names (`**/a`)
    sequence,  // it is what the elements say; `start` and `end` are its literal ends
    always,
  };
  std::string text;  // cleaned, without the `!`
  bool exception = false;
  Kind kind = Kind::exact;
  std::string start;
  std::string end;
  std::vector<Element> elements;
  std::size_t wildcards = 0;

  bool matches(std::string_view path) const;
  bool could_match_below(std::string_view directory) const;
};

// Most paths fail at one byte, and asking for it here spares them a call.
bool begins_with(std::string_view text, std::string_view start) {
  return start.empty() || (!text.empty() && text[0] == start[0] && text.starts_with(start));
}
bool ends_with(std::string_view text, std::string_view end) {
  return end.empty() || (!text.empty() && text.back() == end.back() && text.ends_with(end));
}

// One attempt to match a sequence. Each wildcard is tried at each position once, so the time is
// bounded by pattern times path, whatever they are.
class Attempt {
 public:
  enum class Goal { whole, below };

  // With `below` the question is whether anything could match that begins with the text.
  Attempt(const Pattern& pattern, std::string_view text, Goal goal)
      : elements_(pattern.elements), text_(text), goal_(goal) {
    const std::size_t words = pattern.wildcards * (text.size() + 1) / 64 + 1;
    if (words > few_.size()) many_.resize(words);
    tried_ = words > few_.size() ? many_.data() : few_.data();
    std::fill_n(tried_, words, 0);
  }

  bool run() { return from(0, 0); }

 private:
  bool from(std::size_t element, std::size_t at) {
    for (; element < elements_.size(); ++element) {
      if (goal_ == Goal::below && at == text_.size()) return true;
      const Element& wanted = elements_[element];
      const std::string_view left = text_.substr(at);
      switch (wanted.kind) {
        case Element::Kind::literal:
          if (goal_ == Goal::below && wanted.literal.starts_with(left)) return true;
          if (!begins_with(left, wanted.literal)) return false;
          at += wanted.literal.size();
          break;
        case Element::Kind::any:
        case Element::Kind::one_of: {
          if (left.empty()) return false;
          const CodePoint point = decode(left);
          const bool is_any = wanted.kind == Element::Kind::any;
          if (is_any ? point.value == '/' : !wanted.contains(point.value)) return false;
          at += point.size;
          break;
        }
        case Element::Kind::rest:
          return left.find('\n') == kNone;
        case Element::Kind::star:
        case Element::Kind::directories:
          return from_wildcard(element, at);
      }
    }
    return at == text_.size();
  }

  bool from_wildcard(std::size_t element, std::size_t at) {
    const Element& wildcard = elements_[element];
    // Once a position was tried, so were all that the wildcard can reach from there.
    while (try_first(wildcard.number, at)) {
      if (from(element + 1, at)) return true;
      const std::string_view left = text_.substr(at);
      if (wildcard.kind == Element::Kind::star) {
        if (left.empty() || left[0] == '/') return false;
        at += decode(left).size;
      } else {
        const std::size_t slash = left.find('/');
        if (slash == kNone || left.substr(0, slash).find('\n') != kNone) return false;
        at += slash + 1;
      }
    }
    return false;
  }

  bool try_first(std::size_t number, std::size_t at) {
    const std::size_t bit = number * (text_.size() + 1) + at;
    const std::uint64_t mask = std::uint64_t{1} << (bit % 64);
    const bool is_first = (tried_[bit / 64] & mask) == 0;
    tried_[bit / 64] |= mask;
    return is_first;
  }

  const std::vector<Element>& elements_;
  std::string_view text_;
  Goal goal_;
  std::array<std::uint64_t, 16> few_;
  std::vector<std::uint64_t> many_;
  std::uint64_t* tried_ = nullptr;
};

bool Pattern::matches(std::string_view path) const {
  if (!begins_with(path, start) || !ends_with(path, end)) return false;
  switch (kind) {
    case Kind::exact:
      return path.size() == start.size();
    case Kind::name:
      return path.size() == end.size() || path[path.size() - end.size() - 1] == '/';
    case Kind::sequence:
      return Attempt(*this, path, Attempt::Goal::whole).run();
    case Kind::prefix:
    case Kind::suffix:
    case Kind::always:
      return true;
  }
  return false;
}

bool Pattern::could_match_below(std::string_view directory) const {
  const std::string path = fmt::format("{}/", directory);
  switch (kind) {
    case Kind::exact:
      return start.starts_with(path);
    case Kind::prefix:
      return start.starts_with(path) || path.starts_with(start);
    case Kind::sequence:
      return Attempt(*this, path, Attempt::Goal::below).run();
    case Kind::suffix:
    case Kind::name:
    case Kind::always:
      return true;
  }
  return true;
}

// --- From text to pattern
// -------------------------------------------------------------------------------

bool is_word_character(char32_t point) {
  return (point >= '0' && point <= '9') || (point >= 'a' && point <= 'z') ||
         (point >= 'A' && point <= 'Z');
}

// Compiles a cleaned pattern. The original makes a regular expression of it without escaping all
// that means something there, and only of patterns with wildcards. What can be read in two ways is
// `odd`.
class Compiler {
 public:
  enum class Result { good, odd, malformed };

  explicit Compiler(std::string_view text) : text_(text), left_(text) {}

  Result compile(Pattern& pattern) {
    if (is_malformed(text_)) return Result::malformed;
    if (text_.starts_with(kByteOrderMark)) return Result::odd;
    while (!left_.empty()) {
      const bool is_first = left_.size() == text_.size();
      take(is_first);
      // Where a class is strange, so is its end.
      if (is_unterminated_) return is_odd_ ? Result::odd : Result::malformed;
    }
    finish(pattern);
    return is_odd_ && kind_ == Pattern::Kind::sequence ? Result::odd : Result::good;
  }

 private:
  // Takes one item off the text. The kind follows the original's: the last item that has a say
  // decides.
  void take(bool is_first) {
    const CodePoint point = decode(left_);
    const std::string_view bytes = left_.substr(0, point.size);
    if (left_.starts_with("**")) {
      left_.remove_prefix(2);
      if (left_.starts_with('/')) left_.remove_prefix(1);
      add_double_star();
      if (is_first) kind_ = Pattern::Kind::suffix;
      return;
    }
    left_.remove_prefix(point.size);
    switch (point.value) {
      case '*':
        add_wildcard(Element::Kind::star);
        break;
      case '?':
        add({Element::Kind::any, {}, {}, false, 0});
        break;
      case '[':
        add_class();
        break;
      case '\\':
        take_escaped();
        break;
      case ']':
        kind_ = Pattern::Kind::sequence;
        add_literal(point, bytes);
        break;
      case '{':
        is_odd_ = is_odd_ || is_repetition();
        add_literal(point, bytes);
        break;
      case '|':
      case '^':
        is_odd_ = true;
        [[fallthrough]];
      default:
        add_literal(point, bytes);
    }
  }

  void add(Element element) {
    kind_ = Pattern::Kind::sequence;
    elements_.push_back(std::move(element));
  }

  void add_wildcard(Element::Kind kind) {
    // Two of one kind side by side are as good as one.
    const bool is_repeated = !elements_.empty() && elements_.back().kind == kind;
    if (is_repeated) {
      kind_ = Pattern::Kind::sequence;
    } else {
      add({kind, {}, {}, false, wildcards_++});
    }
  }

  void add_double_star() {
    if (!left_.empty()) {
      add_wildcard(Element::Kind::directories);
    } else if (kind_ == Pattern::Kind::exact) {
      kind_ = Pattern::Kind::prefix;
    } else {
      add({Element::Kind::rest, {}, {}, false, 0});
    }
  }

  void add_literal(CodePoint point, std::string_view bytes) {
    if (point.value == 0xFFFD) {
      // Stands for any invalid byte, too.
      elements_.push_back({Element::Kind::one_of, {}, {{0xFFFD, 0xFFFD}}, false, 0});
      return;
    }
    if (elements_.empty() || elements_.back().kind != Element::Kind::literal) {
      elements_.push_back({});
    }
    elements_.back().literal += bytes;
  }

  void take_escaped() {
    if (left_.empty()) {
      // An end that would be escaped: of an exact pattern a plain backslash.
      is_odd_ = true;
      return;
    }
    kind_ = Pattern::Kind::sequence;
    const CodePoint point = decode(left_);
    is_odd_ = is_odd_ || is_word_character(point.value) || point.value >= 0x80;
    add_literal(point, left_.substr(0, point.size));
    left_.remove_prefix(point.size);
  }

  // `{2}`, `{2,}`, `{2,3}`: all other braces are themselves.
  bool is_repetition() const {
    const std::size_t end = left_.find_first_not_of("0123456789,");
    return end != kNone && end > 0 && left_[0] != ',' && left_[end] == '}' &&
           std::count(left_.begin(), left_.begin() + static_cast<std::ptrdiff_t>(end), ',') < 2;
  }

  void add_class() {
    Element element{Element::Kind::one_of, {}, {}, left_.starts_with('^'), 0};
    if (element.negated) left_.remove_prefix(1);
    bool is_first = true;
    while (is_first || !left_.starts_with(']')) {
      const auto low = take_class_character(is_first);
      auto high = low;
      is_first = false;
      if (left_.starts_with('-') && !left_.starts_with("-]")) {
        left_.remove_prefix(1);
        high = take_class_character(false);
      }
      // The engines refuse a range that runs backwards, too.
      is_unterminated_ = !low || !high || *low > *high;
      if (is_unterminated_) return;
      element.ranges.emplace_back(*low, *high);
    }
    left_.remove_prefix(1);
    add(std::move(element));
  }

  // nullopt: the text ends within the class.
  std::optional<char32_t> take_class_character(bool is_first) {
    // Wildcards keep their meaning in a class, and it has classes of its own: `[*]`, `[[:alpha:]]`.
    const bool is_strange = left_.starts_with('*') || left_.starts_with('?') ||
                            left_.starts_with('-') || left_.starts_with("[:") ||
                            (is_first && left_.starts_with(']'));
    const bool is_escaped = left_.starts_with('\\');
    if (is_escaped) left_.remove_prefix(1);
    if (left_.empty()) return std::nullopt;
    const CodePoint point = decode(left_);
    left_.remove_prefix(point.size);
    is_odd_ = is_odd_ || is_strange ||
              (is_escaped && (is_word_character(point.value) || point.value >= 0x80));
    return point.value;
  }

  void finish(Pattern& pattern) {
    pattern.kind = kind_;
    if (kind_ == Pattern::Kind::exact) pattern.start = text_;
    if (kind_ == Pattern::Kind::prefix) pattern.start = text_.substr(0, text_.size() - 2);
    if (kind_ == Pattern::Kind::suffix) {
      pattern.end = text_.substr(2);
      const bool is_name = pattern.end.starts_with('/');
      if (is_name) pattern.kind = Pattern::Kind::name;
      if (is_name) pattern.end.erase(0, 1);
    }
    if (kind_ != Pattern::Kind::sequence) return;
    const auto literal_of = [](const Element& element) {
      return element.kind == Element::Kind::literal ? element.literal : "";
    };
    pattern.start = literal_of(elements_.front());
    pattern.end = literal_of(elements_.back());
    pattern.elements = std::move(elements_);
    pattern.wildcards = wildcards_;
  }

  std::string_view text_;
  std::string_view left_;
  Pattern::Kind kind_ = Pattern::Kind::exact;
  std::vector<Element> elements_;
  std::size_t wildcards_ = 0;
  bool is_odd_ = false;
  bool is_unterminated_ = false;
};

// --- The file
// -------------------------------------------------------------------------------------------

struct RuleSet {
  std::vector<Pattern> patterns;
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
  Pattern pattern;
  pattern.text = read_pattern(text);
  if (pattern.text.empty()) return {};
  pattern.exception = pattern.text[0] == '!';
  if (pattern.exception) pattern.text.erase(0, 1);
  if (pattern.text.empty()) return wrong("'!' stands alone: a pattern must follow it");
  switch (Compiler(pattern.text).compile(pattern)) {
    case Compiler::Result::malformed:
      return wrong(
          fmt::format("the pattern '{}' is malformed: a '[' needs its ']' and a rising range, and "
                      "'\\' a character "
                      "behind it",
                      pattern.text));
    case Compiler::Result::odd:
      rules.warnings.push_back(fmt::format(
          "the pattern '{}' is read differently by different engines, so it is taken to {}",
          pattern.text, pattern.exception ? "include everything" : "ignore nothing"));
      if (!pattern.exception) return {};
      pattern = Pattern{};
      pattern.text = "**";
      pattern.exception = true;
      pattern.kind = Pattern::Kind::always;
      break;
    case Compiler::Result::good:
      break;
  }
  rules.patterns.push_back(std::move(pattern));
  return {};
}

// The path itself or, if nothing is known of them, a directory above it.
bool matches_at(const Pattern& pattern, std::string_view path, bool parents_too) {
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
std::string as_line(const Pattern& pattern) {
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
  const std::vector<Pattern>& patterns = rules_->patterns;
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
                      [&](const Pattern& pattern) {
                        return pattern.exception && !pattern.matches(directory) &&
                               pattern.could_match_below(directory);
                      });
}

bool IgnoreRules::empty() const {
  return rules_->patterns.empty();
}

std::string IgnoreRules::text() const {
  std::string lines;
  for (const Pattern& pattern : rules_->patterns) lines += as_line(pattern);
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
