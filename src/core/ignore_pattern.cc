#include "core/ignore_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "core/utf8.h"

namespace imagewright {

namespace {

constexpr auto kNone = std::string_view::npos;

// A byte that begins no valid code point counts as this, as for the engines: such names are
// matched, not skipped.
constexpr CodePoint kInvalid = {kReplacement, 1};

// The first code point of a text that is not empty.
CodePoint decode(std::string_view text) {
  return first_code_point(text).value_or(kInvalid);
}

enum class Outcome { No, Yes, Malformed };

// One character of a class, which may be escaped; nullopt: malformed. As in Go a class
// cannot end with the text.
std::optional<char32_t> take_class_character(std::string_view& chunk) {
  if (chunk.empty() || chunk[0] == '-' || chunk[0] == ']') return std::nullopt;
  if (chunk[0] == '\\') chunk.remove_prefix(1);
  if (chunk.empty()) return std::nullopt;
  const CodePoint point = decode(chunk);
  chunk.remove_prefix(point.size);
  if ((point.value == kInvalid.value && point.size == kInvalid.size) || chunk.empty())
    return std::nullopt;
  return point.value;
}

// The class at the start of `chunk` (behind its `[`) against one code point.
Outcome take_class(std::string_view& chunk, char32_t point) {
  const bool negated = chunk.starts_with('^');
  if (negated) chunk.remove_prefix(1);
  bool found = false;
  for (bool first = true; first || !chunk.starts_with(']'); first = false) {
    const auto low = take_class_character(chunk);
    if (!low) return Outcome::Malformed;
    auto high = low;
    if (chunk[0] == '-') {
      chunk.remove_prefix(1);
      high = take_class_character(chunk);
      if (!high) return Outcome::Malformed;
    }
    if (*low <= point && point <= *high) found = true;
  }
  chunk.remove_prefix(1);
  return found != negated ? Outcome::Yes : Outcome::No;
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
      if (outcome == Outcome::Malformed) return outcome;
      failed = failed || outcome == Outcome::No;
    } else if (kind == '?') {
      failed = failed || rest[0] == '/';
    } else {
      if (kind == '\\' && chunk.empty()) return Outcome::Malformed;
      const char literal = kind == '\\' ? chunk[0] : kind;
      if (kind == '\\') chunk.remove_prefix(1);
      failed = failed || rest[0] != literal;
      if (!failed) rest.remove_prefix(1);
      continue;
    }
    if (!failed) rest.remove_prefix(point.size);
  }
  if (failed) return Outcome::No;
  name = rest;
  return Outcome::Yes;
}

// Does moby's matcher refuse the pattern? It tries it on the name "." and looks no further than
// that takes it, so that what stands behind the first `*` is mostly not checked.
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
    if (stars > 0 && !(outcome == Outcome::Yes && is_end()) && outcome != Outcome::Malformed &&
        !name.empty()) {
      rest = name.substr(1);
      outcome = match_chunk(chunk, rest);
    }
    if (outcome == Outcome::Malformed) return true;
    if (outcome == Outcome::No || !is_end()) return false;
    name = rest;
  }
  return false;
}

// One attempt to match a sequence. Each wildcard is tried at each position once, so the time is
// bounded by pattern times path, whatever they are.
class Attempt {
 public:
  enum class Goal { Whole, Below };

  // With `below` the question is whether anything could match that begins with the text.
  Attempt(const IgnorePattern& pattern, std::string_view text, Goal goal)
      : elements_(pattern.elements), text_(text), goal_(goal) {
    const std::size_t words = pattern.wildcards * (text.size() + 1) / 64 + 1;
    if (words > few_.size()) many_.resize(words);
    tried_ = words > few_.size() ? many_.data() : few_.data();
  }

  bool run() { return from(0, 0); }

 private:
  bool from(std::size_t element, std::size_t at) {
    for (; element < elements_.size(); ++element) {
      if (goal_ == Goal::Below && at == text_.size()) return true;
      const IgnoreElement& wanted = elements_[element];
      const std::string_view left = text_.substr(at);
      switch (wanted.kind) {
        case IgnoreElement::Kind::Literal:
          if (goal_ == Goal::Below && wanted.literal.starts_with(left)) return true;
          if (!left.starts_with(wanted.literal)) return false;
          at += wanted.literal.size();
          break;
        case IgnoreElement::Kind::Any:
        case IgnoreElement::Kind::OneOf: {
          if (left.empty()) return false;
          const CodePoint point = decode(left);
          const bool is_any = wanted.kind == IgnoreElement::Kind::Any;
          if (is_any ? point.value == '/' : !wanted.contains(point.value)) return false;
          at += point.size;
          break;
        }
        case IgnoreElement::Kind::Rest:
          return left.find('\n') == kNone;
        case IgnoreElement::Kind::Star:
        case IgnoreElement::Kind::Directories:
          return from_wildcard(element, at);
      }
    }
    return at == text_.size();
  }

  bool from_wildcard(std::size_t element, std::size_t at) {
    const IgnoreElement& wildcard = elements_[element];
    // Once a position was tried, so were all that the wildcard can reach from there.
    while (try_first(wildcard.number, at)) {
      if (from(element + 1, at)) return true;
      const std::string_view left = text_.substr(at);
      if (wildcard.kind == IgnoreElement::Kind::Star) {
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

  const std::vector<IgnoreElement>& elements_;
  std::string_view text_;
  Goal goal_;
  std::array<std::uint64_t, 16> few_{};  // enough for nearly all, and costs no allocation
  std::vector<std::uint64_t> many_;
  std::uint64_t* tried_ = nullptr;
};

// Bytes that are not UTF-8, or the character that stands for them.
bool has_invalid(std::string_view text) {
  while (!text.empty()) {
    const CodePoint point = decode(text);
    if (point.value == kInvalid.value) return true;
    text.remove_prefix(point.size);
  }
  return false;
}

bool is_word_character(char32_t point) {
  return (point >= '0' && point <= '9') || (point >= 'a' && point <= 'z') ||
         (point >= 'A' && point <= 'Z');
}

// Compiles a cleaned pattern. Moby's matcher makes a regular expression of it without escaping all
// that means something there, and only of patterns with wildcards. What can be read in two ways is
// `odd`.
class Compiler {
 public:
  explicit Compiler(std::string_view text) : text_(text), left_(text) {}

  IgnoreCompiled compile(IgnorePattern& pattern) {
    pattern.kind = IgnorePattern::Kind::Odd;
    if (is_malformed(text_)) return IgnoreCompiled::Malformed;
    // BuildKit sends patterns as JSON, which can hold no bytes that are not UTF-8. And the
    // character that stands for them is any of them behind a wildcard, but itself elsewhere.
    if (text_.starts_with(kByteOrderMark) || has_invalid(text_)) return IgnoreCompiled::Odd;
    while (!left_.empty()) {
      const bool is_first = left_.size() == text_.size();
      take(is_first);
      // Where a class is strange, so is its end.
      if (is_unterminated_) return is_odd_ ? IgnoreCompiled::Odd : IgnoreCompiled::Malformed;
    }
    // Where moby's matcher compares texts, nothing means anything else.
    if (is_odd_ && kind_ == IgnorePattern::Kind::Sequence) return IgnoreCompiled::Odd;
    finish(pattern);
    return IgnoreCompiled::Good;
  }

 private:
  // Takes one item off the text. The kind follows moby's matcher: the last item that has a say
  // decides.
  void take(bool is_first) {
    const CodePoint point = decode(left_);
    const std::string_view bytes = left_.substr(0, point.size);
    if (left_.starts_with("**")) {
      left_.remove_prefix(2);
      if (left_.starts_with('/')) left_.remove_prefix(1);
      add_double_star();
      if (is_first) kind_ = IgnorePattern::Kind::Suffix;
      return;
    }
    left_.remove_prefix(point.size);
    switch (point.value) {
      case '*':
        add_wildcard(IgnoreElement::Kind::Star);
        break;
      case '?':
        add({IgnoreElement::Kind::Any, {}, {}, false, 0});
        break;
      case '[':
        add_class();
        break;
      case '\\':
        take_escaped();
        break;
      case ']':
        kind_ = IgnorePattern::Kind::Sequence;
        add_literal(bytes);
        break;
      case '{':
        is_odd_ = is_odd_ || is_repetition();
        add_literal(bytes);
        break;
      case '|':
      case '^':
        is_odd_ = true;
        [[fallthrough]];
      default:
        add_literal(bytes);
    }
  }

  void add(IgnoreElement element) {
    kind_ = IgnorePattern::Kind::Sequence;
    elements_.push_back(std::move(element));
  }

  void add_wildcard(IgnoreElement::Kind kind) {
    // Two of one kind side by side are as good as one.
    const bool is_repeated = !elements_.empty() && elements_.back().kind == kind;
    if (is_repeated) {
      kind_ = IgnorePattern::Kind::Sequence;
    } else {
      add({kind, {}, {}, false, wildcards_++});
    }
  }

  void add_double_star() {
    if (!left_.empty()) {
      add_wildcard(IgnoreElement::Kind::Directories);
    } else if (kind_ == IgnorePattern::Kind::Exact) {
      kind_ = IgnorePattern::Kind::Prefix;
    } else {
      add({IgnoreElement::Kind::Rest, {}, {}, false, 0});
    }
  }

  void add_literal(std::string_view bytes) {
    if (elements_.empty() || elements_.back().kind != IgnoreElement::Kind::Literal) {
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
    kind_ = IgnorePattern::Kind::Sequence;
    const CodePoint point = decode(left_);
    is_odd_ = is_odd_ || is_word_character(point.value) || point.value >= 0x80;
    add_literal(left_.substr(0, point.size));
    left_.remove_prefix(point.size);
  }

  // `{2}`, `{2,}`, `{2,3}`: all other braces are themselves.
  bool is_repetition() const {
    const std::size_t end = left_.find_first_not_of("0123456789,");
    return end != kNone && end > 0 && left_[0] != ',' && left_[end] == '}' &&
           std::count(left_.begin(), left_.begin() + static_cast<std::ptrdiff_t>(end), ',') < 2;
  }

  void add_class() {
    IgnoreElement element{IgnoreElement::Kind::OneOf, {}, {}, left_.starts_with('^'), 0};
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

  void finish(IgnorePattern& pattern) {
    using Kind = IgnorePattern::Kind;
    pattern.kind = kind_;
    if (kind_ == Kind::Exact) pattern.start = text_;
    if (kind_ == Kind::Prefix) pattern.start = text_.substr(0, text_.size() - 2);
    if (kind_ == Kind::Suffix) {
      pattern.end = text_.substr(2);
      const bool is_name = pattern.end.starts_with('/');
      if (is_name) pattern.kind = Kind::Name;
      if (is_name) pattern.end.erase(0, 1);
    }
    if (kind_ != Kind::Sequence) return;
    const auto literal_of = [](const IgnoreElement& element) {
      return element.kind == IgnoreElement::Kind::Literal ? element.literal : "";
    };
    pattern.start = literal_of(elements_.front());
    pattern.end = literal_of(elements_.back());
    if (is_star_and_end(0)) {
      pattern.kind = Kind::Flat;
    } else if (elements_[0].kind == IgnoreElement::Kind::Directories && is_star_and_end(1)) {
      pattern.kind = Kind::Extension;
    } else {
      pattern.elements = std::move(elements_);
      pattern.wildcards = wildcards_;
    }
  }

  // From there on: `*`, or `*` and a text without `/`.
  bool is_star_and_end(std::size_t from) const {
    const std::size_t size = elements_.size() - from;
    if (size == 0 || size > 2 || elements_[from].kind != IgnoreElement::Kind::Star) return false;
    return size == 1 || (elements_.back().kind == IgnoreElement::Kind::Literal &&
                         elements_.back().literal.find('/') == kNone);
  }

  std::string_view text_;
  std::string_view left_;
  IgnorePattern::Kind kind_ = IgnorePattern::Kind::Exact;
  std::vector<IgnoreElement> elements_;
  std::size_t wildcards_ = 0;
  bool is_odd_ = false;
  bool is_unterminated_ = false;
};

}  // namespace

bool IgnorePattern::matches(std::string_view path) const {
  if (!is_below) return matches_itself(path);
  for (std::size_t slash = path.find('/'); slash != kNone; slash = path.find('/', slash + 1)) {
    if (matches_itself(path.substr(0, slash))) return true;
  }
  return false;
}

bool IgnorePattern::matches_itself(std::string_view path) const {
  switch (kind) {
    case Kind::Exact:
      return path == start;
    case Kind::Prefix:
      return path.starts_with(start);
    case Kind::Suffix:
      return path.ends_with(end);
    case Kind::Name:
      return path.ends_with(end) &&
             (path.size() == end.size() || path[path.size() - end.size() - 1] == '/');
    case Kind::Flat:
      return path.ends_with(end) && path.find('/') == kNone;
    case Kind::Extension: {
      if (!path.ends_with(end)) return false;
      const std::size_t slash = path.rfind('/');
      return slash == kNone || path.substr(0, slash).find('\n') == kNone;
    }
    case Kind::Sequence:
      return path.starts_with(start) && path.ends_with(end) &&
             Attempt(*this, path, Attempt::Goal::Whole).run();
    case Kind::Odd:
      return false;
  }
  return false;
}

bool IgnorePattern::could_match_below(std::string_view directory) const {
  if (is_below) return true;
  const std::string path = fmt::format("{}/", directory);
  switch (kind) {
    case Kind::Exact:
      return start.starts_with(path);
    case Kind::Prefix:
      return start.starts_with(path) || path.starts_with(start);
    case Kind::Flat:
      return false;
    case Kind::Sequence:
      return Attempt(*this, path, Attempt::Goal::Below).run();
    case Kind::Suffix:
    case Kind::Name:
    case Kind::Extension:
    case Kind::Odd:
      return true;
  }
  return true;
}

bool IgnorePattern::admits_start(char first) const {
  return start.empty() || start.front() == first;
}

bool IgnorePattern::admits_end(char last) const {
  if (is_below) return true;
  const std::string& ending = kind == Kind::Exact ? start : end;
  return ending.empty() || ending.back() == last;
}

bool IgnorePattern::is_read_alike() const {
  const auto is_plain = [](std::string_view literal) {
    return literal.find_first_of("+(){|}^") == kNone;
  };
  if (kind == Kind::Odd || (kind == Kind::Suffix && !end.empty())) return false;
  return is_plain(start) && is_plain(end) &&
         std::all_of(elements.begin(), elements.end(),
                     [&](const IgnoreElement& element) { return is_plain(element.literal); });
}

IgnoreCompiled compile_ignore_pattern(std::string_view text, IgnorePattern& pattern) {
  return Compiler(text).compile(pattern);
}

IgnorePattern exception_below(IgnorePattern pattern) {
  using Kind = IgnorePattern::Kind;
  std::string text;
  // What means something only behind a wildcard is escaped, as there is one now.
  const bool is_text = pattern.kind == Kind::Exact || pattern.kind == Kind::Prefix ||
                       pattern.kind == Kind::Suffix || pattern.kind == Kind::Name;
  for (const char byte : pattern.text) {
    if (is_text && std::string_view("^|{").find(byte) != kNone) text += '\\';
    text += byte;
  }
  // `**a` is any path that ends with an a, but `**a/` is a directory of that name; and what is
  // below `a**` is `a*/**`.
  const bool is_open =
      pattern.kind == Kind::Prefix ||
      (pattern.kind == Kind::Sequence && pattern.elements.back().kind == IgnoreElement::Kind::Rest);
  if (pattern.kind == Kind::Suffix) text.insert(2, "/*");
  if (is_open) text.pop_back();
  pattern.text = text + "/**";
  pattern.exception = true;
  pattern.is_below = true;
  return pattern;
}

}  // namespace imagewright
