#include "core/dockerfile_words.h"

#include <algorithm>

#include "core/shell_pattern.h"
#include "core/shown.h"
#include "core/utf8.h"

namespace imagewright {

namespace {

struct WordError {
  std::string message;
};

[[noreturn]] void fail(std::string message) {
  throw WordError{std::move(message)};
}

// No character: behind the last.
constexpr char32_t kEnd = 0xffffffff;

bool is_digit(char32_t character) {
  return character >= '0' && character <= '9';
}

// What came of a text, as one and as words.
class Result {
 public:
  // A character that stands for itself.
  void add(char32_t character) {
    text_ += character;
    word_ += character;
    in_word_ = true;
  }
  // One that ends a word where it is a blank.
  void add_splitting(char32_t character) {
    if (!is_space(character)) return add(character);
    text_ += character;
    if (in_word_ && !word_.empty()) end_word();
  }
  void add(std::u32string_view text) {
    text_ += text;
    word_ += text;
    in_word_ = true;
  }
  void add_splitting(std::u32string_view text) {
    for (const char32_t character : text) add_splitting(character);
  }

  const std::u32string& text() const { return text_; }
  std::vector<std::u32string> take_words() {
    if (!word_.empty()) end_word();
    return std::move(words_);
  }

 private:
  void end_word() {
    words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }

  std::u32string text_;
  std::u32string word_;
  std::vector<std::u32string> words_;
  bool in_word_ = false;
};

class Reader {
 public:
  Reader(std::string_view text, const WordRules& rules, const Variables& variables)
      : text_(decoded(text)), rules_(rules), variables_(variables) {
    if (!text_.empty() && text_.front() == 0xfeff) text_.erase(0, 1);  // a byte order mark
  }

  Result read() { return read_to(kEnd, rules_.raw_escapes); }

 private:
  char32_t peek() const { return at_ < text_.size() ? text_[at_] : kEnd; }
  char32_t next() {
    const char32_t character = peek();
    if (character != kEnd) ++at_;
    return character;
  }

  // Up to a character, which is taken, too.
  Result read_to(char32_t stop, bool raw_escapes) {
    // (`${x:-${y:-…}}` is as deep as it is long.)
    constexpr int kDeepest = 200;
    if (++depth_ > kDeepest) fail("substitutions are nested too deep");
    Result result;
    while (peek() != kEnd && peek() != stop) {
      const char32_t character = peek();
      if (character == '$') {
        result.add_splitting(dollar());
      } else if (character == '\'') {
        result.add(single_quoted());
      } else if (character == '"') {
        result.add(double_quoted(raw_escapes));
      } else if (character == '<' && rules_.heredocs) {
        result.add(heredoc_sign());
      } else if (character == escape()) {
        if (raw_escapes) result.add(character);
        next();
        if (peek() != kEnd) result.add(next());
      } else {
        result.add_splitting(next());
      }
    }
    --depth_;
    if (peek() == stop && stop != kEnd) {
      next();
    } else if (stop != kEnd) {
      fail(stop == '}' ? "missing '}'" : "missing '/' in ${}");
    }
    return result;
  }

  std::u32string single_quoted() {
    std::u32string text = quote();
    while (peek() != '\'') {
      if (peek() == kEnd) fail("a single quote is not closed");
      text += next();
    }
    return text + quote();
  }

  std::u32string double_quoted(bool raw_escapes) {
    std::u32string text = quote();
    while (peek() != '"') {
      if (peek() == kEnd) fail("a double quote is not closed");
      if (peek() == '$') {
        text += dollar();
        continue;
      }
      const char32_t character = next();
      if (character != escape()) {
        text += character;
        continue;
      }
      if (raw_escapes) text += character;
      if (peek() == kEnd) continue;
      // Before anything else it is a character like any other.
      text += peek() == '"' || peek() == '$' || peek() == escape() ? next() : character;
    }
    return text + quote();
  }

  std::u32string quote() {
    const char32_t character = next();
    return rules_.raw_quotes ? std::u32string(1, character) : std::u32string();
  }

  // `<<`, with the blanks behind it.
  std::u32string heredoc_sign() {
    std::u32string text(1, next());
    if (peek() != '<') return text;
    text += next();
    while (peek() == ' ' || peek() == '\t') text += next();
    return text;
  }

  std::u32string dollar() {
    const std::size_t start = at_;
    next();
    if (peek() != '{') {
      const std::u32string name = read_name();
      if (name.empty()) return U"$";
      return value_or_source(name, start);
    }
    next();
    if (peek() == kEnd) fail("missing '}'");
    if (peek() == '{' || peek() == '}' || peek() == ':') fail("bad substitution");
    const std::u32string name = read_name();
    switch (const char32_t kind = next()) {
      case '}':
        return value_or_source(name, start);
      case ':':
        return conditional(name, next(), true, start);
      case '+':
      case '-':
      case '?':
      case '#':
      case '%':
        return conditional(name, kind, false, start);
      case '/':
        return replaced(name, start);
      case kEnd:
        fail("missing '}'");
      default:
        fail("there is no substitution with " + shown(encoded({&kind, 1})));
    }
  }

  // `${x-…}` and the like. `null_is_unset`: a colon stands before the character.
  std::u32string conditional(const std::u32string& name, char32_t kind, bool null_is_unset,
                             std::size_t start) {
    const bool trims = kind == '#' || kind == '%';
    const std::u32string word = read_to('}', trims).text();
    const auto value = value_of(name);
    if (!value && rules_.keep_unset) return source(start);
    const bool is_unset = !value || (null_is_unset && value->empty());
    switch (kind) {
      case '-':
        return is_unset ? word : *value;
      case '+':
        return is_unset ? std::u32string() : word;
      case '?':
        if (!is_unset) return *value;
        fail(excerpt(encoded(name) + ": " +
                     (!word.empty() ? encoded(word)
                      : value       ? "is not allowed to be empty"
                                    : "is not allowed to be unset")));
      case '#':
      case '%':
        return trimmed(value.value_or(U""), word, kind);
      default:
        fail("there is no substitution with ':' and " + shown(encoded({&kind, 1})));
    }
  }

  // `${x#…}` and `${x%…}`; with a second one, as much as possible.
  static std::u32string trimmed(std::u32string value, std::u32string_view word, char32_t kind) {
    const bool greedy = !word.empty() && word.front() == kind;
    if (greedy) word.remove_prefix(1);
    ShellPattern pattern = pattern_of(word);
    if (kind == '%') {
      pattern = pattern.reversed();
      std::reverse(value.begin(), value.end());
    }
    if (const auto size = pattern.match(value, greedy)) value.erase(0, *size);
    if (kind == '%') std::reverse(value.begin(), value.end());
    return value;
  }

  // `${x/pattern/replacement}`; with two slashes wherever it matches.
  std::u32string replaced(const std::u32string& name, std::size_t start) {
    const bool all = peek() == '/';
    if (all) next();
    const std::u32string word = read_to('/', true).text();
    std::u32string replacement = read_to('}', true).text();
    const auto found = value_of(name);
    if (!found && rules_.keep_unset) return source(start);
    const std::u32string value = found.value_or(U"");
    const ShellPattern pattern = pattern_of(word);
    if (all) replacement = without_groups(replacement);
    std::u32string result;
    std::size_t done = 0;
    for (const auto& [begin, end] : pattern.find(value, all ? value.size() + 1 : 1)) {
      result += std::u32string_view(value).substr(done, begin - done);
      // Not where it matches nothing right behind a match.
      if (end > done || begin == 0) result += replacement;
      done = end;
    }
    return result + value.substr(done);
  }

  // A replacement of all matches is one for a regular expression, in which `$1` or `${name}` is a
  // group. The pattern has none.
  static std::u32string without_groups(std::u32string_view text) {
    std::u32string result;
    while (!text.empty()) {
      if (text.front() != '$') {
        result += text.front();
        text.remove_prefix(1);
        continue;
      }
      text.remove_prefix(1);
      if (!text.empty() && text.front() == '$') {
        result += '$';
        text.remove_prefix(1);
        continue;
      }
      const bool braced = !text.empty() && text.front() == '{';
      std::size_t end = braced ? 1 : 0;
      while (end < text.size() &&
             (is_letter(text[end]) || is_digit(text[end]) || text[end] == '_')) {
        ++end;
      }
      const bool closed = !braced || (end > 1 && end < text.size() && text[end] == '}');
      if (end == 0 || !closed) {
        result += '$';
        continue;
      }
      text.remove_prefix(braced ? end + 1 : end);
    }
    return result;
  }

  static ShellPattern pattern_of(std::u32string_view word) {
    auto pattern = ShellPattern::parse(word);
    if (!pattern)
      fail("a backslash stands before what cannot be escaped in " + shown(encoded(word)));
    return *std::move(pattern);
  }

  // Letters, digits and `_`; digits alone; or one of the shell's own.
  std::u32string read_name() {
    std::u32string name;
    if (is_digit(peek())) {
      while (is_digit(peek())) name += next();
      return name;
    }
    constexpr std::u32string_view kSpecial = U"@*#?-$!";
    if (peek() != kEnd && kSpecial.find(peek()) != kSpecial.npos) return {next()};
    while (peek() != kEnd && (is_letter(peek()) || is_digit(peek()) || peek() == '_')) {
      name += next();
    }
    return name;
  }

  std::optional<std::u32string> value_of(const std::u32string& name) const {
    const auto value = variables_(encoded(name));
    return value ? std::optional(decoded(*value)) : std::nullopt;
  }
  std::u32string value_or_source(const std::u32string& name, std::size_t start) const {
    const auto value = value_of(name);
    return value ? *value : rules_.keep_unset ? source(start) : std::u32string();
  }
  std::u32string source(std::size_t start) const { return text_.substr(start, at_ - start); }

  char32_t escape() const { return static_cast<unsigned char>(rules_.escape); }

  std::u32string text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  const WordRules& rules_;
  const Variables& variables_;
};

}  // namespace

tl::expected<std::string, std::string> expand(std::string_view text, const WordRules& rules,
                                              const Variables& variables) {
  try {
    return encoded(Reader(text, rules, variables).read().text());
  } catch (WordError& error) {
    return tl::unexpected(std::move(error.message));
  }
}

tl::expected<std::vector<std::string>, std::string> expand_words(std::string_view text,
                                                                 const WordRules& rules,
                                                                 const Variables& variables) {
  try {
    std::vector<std::string> words;
    for (const std::u32string& word : Reader(text, rules, variables).read().take_words()) {
      words.push_back(encoded(word));
    }
    return words;
  } catch (WordError& error) {
    return tl::unexpected(std::move(error.message));
  }
}

}  // namespace imagewright
