#include "core/dockerfile.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/dockerfile_words.h"
#include "core/lower_case.h"
#include "core/shown.h"
#include "core/utf8.h"

namespace imagewright {

namespace {

constexpr std::size_t kLongestLine = 65'535;

struct DockerfileError {
  std::string message;
};

[[noreturn]] void fail(std::string message) {
  throw DockerfileError{std::move(message)};
}

bool is_ascii_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// The bytes of the blank character at the front; 0: it is none.
std::size_t blank_size(std::string_view text) {
  if (text.empty()) return 0;
  if (static_cast<unsigned char>(text.front()) < 0x80) return is_ascii_space(text.front()) ? 1 : 0;
  for (std::size_t size = 2; size <= std::min<std::size_t>(3, text.size()); ++size) {
    const std::u32string characters = decoded(text.substr(0, size));
    if (characters.size() == 1) return is_space(characters.front()) ? size : 0;
  }
  return 0;
}

std::string_view without_leading_blanks(std::string_view text) {
  while (const std::size_t size = blank_size(text)) text.remove_prefix(size);
  return text;
}

std::string_view without_blanks_around(std::string_view text) {
  text = without_leading_blanks(text);
  while (!text.empty()) {
    std::size_t size = 1;
    while (size < std::min<std::size_t>(3, text.size()) &&
           (text[text.size() - size] & 0xc0) == 0x80) {
      ++size;
    }
    if (blank_size(text.substr(text.size() - size)) != size) break;
    text.remove_suffix(size);
  }
  return text;
}

std::string_view without_line_end(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

bool is_comment(std::string_view line) {
  return without_leading_blanks(line).starts_with('#');
}

// `key = value` behind the sign of a comment.
struct Directive {
  std::string key;
  std::string value;
};

std::optional<Directive> read_directive(std::string_view line, std::string_view comment) {
  const auto skip = [&] {
    while (!line.empty() && is_ascii_space(line.front())) line.remove_prefix(1);
  };
  if (!line.starts_with(comment)) return std::nullopt;
  line.remove_prefix(comment.size());
  skip();
  const auto is_letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  const auto end = std::find_if_not(line.begin(), line.end(),
                                    [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
  Directive directive;
  directive.key = lower_case(line.substr(0, static_cast<std::size_t>(end - line.begin())));
  if (directive.key.empty() || !is_letter(directive.key.front())) return std::nullopt;
  line.remove_prefix(directive.key.size());
  skip();
  if (!line.starts_with('=')) return std::nullopt;
  line.remove_prefix(1);
  skip();
  while (!line.empty() && is_ascii_space(line.back())) line.remove_suffix(1);
  if (line.empty()) return std::nullopt;
  directive.value = line;
  return directive;
}

// The directives at the top, up to the first line that is none.
class Directives {
 public:
  explicit Directives(std::string_view comment = "#") : comment_(comment) {}

  std::optional<Directive> next(std::string_view line) {
    if (done_) return std::nullopt;
    auto directive = read_directive(line, comment_);
    const bool is_known = directive && (directive->key == "syntax" || directive->key == "escape" ||
                                        directive->key == "check");
    if (!is_known) {
      done_ = true;
      return std::nullopt;
    }
    if (!seen_.insert(directive->key).second) {
      fail(fmt::format("only one parser directive '{}' can be used", directive->key));
    }
    return directive;
  }

 private:
  std::string_view comment_;
  std::set<std::string> seen_;
  bool done_ = false;
};

// Takes the lines off a text, each with its end.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  std::string_view next() {
    const std::string_view line = rest_.substr(0, rest_.find('\n') + 1);  // npos + 1 is 0
    const std::string_view taken = line.empty() ? rest_ : line;
    ++number_;
    if (taken.size() > kLongestLine) {
      fail(fmt::format("a line is longer than {} bytes", kLongestLine));
    }
    rest_.remove_prefix(taken.size());
    return taken;
  }
  int number() const { return number_; }  // of the line that was taken last

 private:
  std::string_view rest_;
  int number_ = 0;
};

// The directive that names the frontend.
struct Syntax {
  std::string image;
  int line = 0;
};

// A comment's, also of other languages, or JSON's.
Syntax find_syntax(std::string_view text) {
  const int before = text.starts_with("#!") ? 1 : 0;
  if (before != 0) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  for (const std::string_view comment : {"#", "//"}) {
    Directives directives(comment);
    for (Lines lines(text); !lines.at_end();) {
      const auto directive = directives.next(without_line_end(lines.next()));
      if (!directive) break;
      if (directive->key == "syntax") return {directive->value, before + lines.number()};
    }
  }
  if (!without_leading_blanks(text).starts_with('{')) return {};
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("syntax") || !json["syntax"].is_string()) return {};
  return {json["syntax"].get<std::string>(), 1};
}

// --- One instruction

// The words of `flags` at the front of the text, which are taken off it; and where each began and
// ended.
std::vector<std::string> take_flags(std::string_view& text,
                                    std::vector<std::string_view>& as_written) {
  std::vector<std::string> flags;
  while (true) {
    text = without_leading_blanks(text);
    if (!text.starts_with("--")) return flags;
    const char* const begin = text.data();
    std::string flag;
    char quote = '\0';
    while (!text.empty() && (quote != '\0' || blank_size(text) == 0)) {
      char c = text.front();
      text.remove_prefix(1);
      if (c == quote) {
        quote = '\0';
        continue;
      }
      if (quote == '\0' && (c == '\'' || c == '"')) {
        quote = c;
        continue;
      }
      if (c == '\\') {
        if (text.empty()) break;
        c = text.front();
        text.remove_prefix(1);
      }
      flag += c;
    }
    if (flag == "--") return flags;
    flags.push_back(std::move(flag));
    as_written.emplace_back(begin, static_cast<std::size_t>(text.data() - begin));
  }
}

bool is_split_space(char c) {
  return is_ascii_space(c) && c != '\n';
}

// At every run of blanks.
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const auto end = std::find_if(text.begin(), text.end(), is_split_space);
    words.emplace_back(text.begin(), end);
    const auto next = std::find_if_not(end, text.end(), is_split_space);
    text.remove_prefix(static_cast<std::size_t>(next - text.begin()));
  }
  return words;
}

// At the first run of blanks. The second part is nullopt where there is none.
std::pair<std::string_view, std::optional<std::string_view>> split_once(std::string_view text) {
  const auto end = std::find_if(text.begin(), text.end(), is_split_space);
  const auto next = std::find_if_not(end, text.end(), is_split_space);
  const auto head = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  if (end == text.end()) return {head, std::nullopt};
  return {head, text.substr(static_cast<std::size_t>(next - text.begin()))};
}

// At the blanks outside of quotes, which stay.
std::vector<std::string> split_quoted(std::string_view text, char escape) {
  std::vector<std::string> words;
  while (true) {
    text = without_leading_blanks(text);
    if (text.empty()) return words;
    std::string word;
    char quote = '\0';
    while (!text.empty() && (quote != '\0' || blank_size(text) == 0)) {
      const char c = text.front();
      text.remove_prefix(1);
      if (c == escape && quote != '\'') {
        if (text.empty()) break;  // one at the very end is left out
        word += c;
        word += text.front();
        text.remove_prefix(1);
        continue;
      }
      if (c == quote) {
        quote = '\0';
      } else if (quote == '\0' && (c == '\'' || c == '"')) {
        quote = c;
      }
      word += c;
    }
    if (!word.empty()) words.push_back(std::move(word));
  }
}

// A JSON list of texts; nullopt: it is not JSON's.
std::optional<std::vector<std::string>> read_json(std::string_view text) {
  text = without_leading_blanks(text);
  if (!text.starts_with('[')) return std::nullopt;
  const auto json = nlohmann::json::parse(encoded(decoded(text)), nullptr, false);
  if (!json.is_array()) return std::nullopt;
  std::vector<std::string> words;
  for (const auto& item : json) {
    if (!item.is_string()) fail("a list in JSON may hold only strings");
    words.push_back(item.get<std::string>());
  }
  return words;
}

Instruction read_instruction(std::string_view line, char escape);

// The words of an instruction, by its kind.
class WordReader {
 public:
  WordReader(Instruction& instruction, std::string_view text, char escape)
      : instruction_(instruction), text_(text), escape_(escape) {}

  void read() {
    const auto is = [&](std::initializer_list<std::string_view> names) {
      return std::find(names.begin(), names.end(), instruction_.name) != names.end();
    };
    if (text_.empty()) return;
    if (is({"add", "copy", "volume"})) {
      if (!json()) words() = split(text_);
    } else if (is({"cmd", "entrypoint", "run", "shell"})) {
      if (!json()) words() = {std::string(text_)};
    } else if (is({"expose", "from"})) {
      words() = split(text_);
    } else if (is({"maintainer", "stopsignal", "user", "workdir"})) {
      words() = {std::string(text_)};
    } else if (is({"arg"})) {
      words() = split_quoted(text_, escape_);
    } else if (is({"env", "label"})) {
      pairs();
    } else if (is({"healthcheck"})) {
      healthcheck();
    } else if (is({"onbuild"})) {
      instruction_.trigger.push_back(read_instruction(text_, escape_));
      instruction_.trigger.front().flag_spans.clear();
      instruction_.trigger.front().first_word = {};
    }
  }

 private:
  std::vector<std::string>& words() { return instruction_.words; }

  bool json() {
    auto list = read_json(text_);
    instruction_.is_json = list.has_value();
    if (list) words() = std::move(*list);
    return list.has_value();
  }

  // `NAME VALUE` or `NAME=VALUE …`: what stands in the first word tells.
  void pairs() {
    const std::vector<std::string> parts = split_quoted(text_, escape_);
    if (parts.empty()) return;
    if (parts.front().find('=') == std::string::npos) {
      const auto [name, value] = split_once(text_);
      if (!value) {
        const bool is_env = instruction_.name == "env";
        fail(fmt::format("{} must have two arguments", is_env ? "ENV" : "LABEL"));
      }
      words() = {std::string(name), std::string(*value), ""};
      return;
    }
    for (const std::string& part : parts) {
      const std::size_t equals = part.find('=');
      if (equals == std::string::npos) {
        fail(fmt::format("{} is not of the form NAME=VALUE", shown(part)));
      }
      words().insert(words().end(), {part.substr(0, equals), part.substr(equals + 1), "="});
    }
  }

  void healthcheck() {
    const auto end = std::find_if(text_.begin(), text_.end(), is_ascii_space);
    const std::string type(text_.begin(), end);
    const auto next = std::find_if_not(end, text_.end(), is_ascii_space);
    text_.remove_prefix(static_cast<std::size_t>(next - text_.begin()));
    if (!text_.empty() && !json()) words() = {std::string(text_)};
    words().insert(words().begin(), type);
  }

  Instruction& instruction_;
  std::string_view text_;
  char escape_;
};

Instruction read_instruction(std::string_view line, char escape) {
  const auto [name, arguments] = split_once(without_blanks_around(line));
  Instruction instruction;
  instruction.name = lower_case(name);
  std::string_view rest = arguments.value_or("");
  // (Behind a name alone there is nothing, and no place for it.)
  std::vector<std::string_view> written;
  instruction.flags = take_flags(rest, written);
  const auto span = [&](std::string_view part) {
    const auto begin = static_cast<std::size_t>(part.data() - line.data());
    return Span{begin, begin + part.size()};
  };
  for (const std::string_view flag : written) instruction.flag_spans.push_back(span(flag));
  rest = without_blanks_around(rest);
  WordReader(instruction, rest, escape).read();
  if (instruction.name == "from" && !instruction.words.empty())
    instruction.first_word = span(rest.substr(0, instruction.words.front().size()));
  return instruction;
}

// --- Heredocs

std::optional<std::string> nothing_is_set(const std::string& /*name*/) {
  return std::nullopt;
}

// What a word of a line announces: `3<<-"NAME"`.
std::optional<Heredoc> read_heredoc(std::string_view word) {
  Heredoc heredoc;
  const std::size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
  for (const char digit : word.substr(0, std::min<std::size_t>(digits, 9))) {
    heredoc.descriptor = heredoc.descriptor * 10 + (digit - '0');
  }
  word.remove_prefix(digits);
  if (!word.starts_with("<<")) return std::nullopt;
  word.remove_prefix(2);
  heredoc.chomps = word.starts_with('-');
  if (heredoc.chomps) word.remove_prefix(1);
  while (!word.empty() && is_ascii_space(word.front())) word.remove_prefix(1);
  if (word.empty() || word.find('<') != std::string_view::npos) return std::nullopt;
  // Read with its quotes and without: if that makes a difference, it has some.
  WordRules rules;
  rules.keep_unset = true;
  const auto names = expand_words(word, rules, nothing_is_set);
  rules.raw_quotes = true;
  const auto raw_names = expand_words(word, rules, nothing_is_set);
  if (!names) fail(names.error());
  if (!raw_names) fail(raw_names.error());
  if (names->size() != 1 || raw_names->size() != 1) return std::nullopt;
  const auto quotes = [](const std::string& text) {
    return std::count_if(text.begin(), text.end(), [](char c) { return c == '\'' || c == '"'; });
  };
  heredoc.name = names->front();
  heredoc.expands = quotes(heredoc.name) == quotes(raw_names->front());
  return heredoc;
}

bool may_have_heredocs(const Instruction& instruction) {
  const Instruction& inner =
      instruction.trigger.empty() ? instruction : instruction.trigger.front();
  return (inner.name == "add" || inner.name == "copy" || inner.name == "run") && !inner.is_json;
}

std::vector<Heredoc> find_heredocs(std::string_view line) {
  std::vector<Heredoc> heredocs;
  WordRules rules;
  rules.raw_quotes = true;
  rules.raw_escapes = true;
  rules.keep_unset = true;
  rules.heredocs = true;
  // (A line that cannot be split is the shell's to complain about.)
  for (const std::string& word :
       expand_words(line, rules, nothing_is_set).value_or(std::vector<std::string>())) {
    if (auto heredoc = read_heredoc(word)) heredocs.push_back(std::move(*heredoc));
  }
  return heredocs;
}

// --- The file

// Without a byte order mark at the beginning.
std::string_view without_mark(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return text;
}

class FileReader {
 public:
  explicit FileReader(std::string_view text) : text_(text), lines_(without_mark(text)) {}

  tl::expected<Dockerfile, ParseError> read() {
    try {
      Syntax syntax = find_syntax(without_mark(text_));
      file_.syntax = std::move(syntax.image);
      file_.syntax_line = syntax.line;
      while (!lines_.at_end()) {
        start_ = lines_.number() + 1;
        read_next();
      }
      if (file_.instructions.empty()) fail("the file has no instructions");
    } catch (DockerfileError& error) {
      return tl::unexpected(ParseError{std::move(error.message), std::max(start_, 1), 0});
    }
    return std::move(file_);
  }

 private:
  void read_next() {
    std::string_view line = without_leading_blanks(without_line_end(lines_.next()));
    note_directive(line);
    if (is_comment(line)) line = "";
    bool goes_on = cut_continuation(line);
    if (!goes_on && line.empty()) return;
    std::string whole(line);
    std::vector<Piece> pieces = {{0, offset(line)}};
    while (goes_on && !lines_.at_end()) {
      std::string_view more = without_line_end(lines_.next());
      note_directive(more);
      if (is_comment(more) || without_leading_blanks(more).empty()) continue;
      goes_on = cut_continuation(more);
      pieces.push_back({whole.size(), offset(more)});
      whole += more;
    }
    Instruction instruction = read_instruction(whole, file_.escape);
    for (Span& span : instruction.flag_spans) span = in_text(span, pieces);
    instruction.first_word = in_text(instruction.first_word, pieces);
    if (may_have_heredocs(instruction) && whole.find("<<") != std::string::npos) {
      for (Heredoc& heredoc : find_heredocs(whole)) {
        read_content(heredoc);
        instruction.heredocs.push_back(std::move(heredoc));
      }
    }
    instruction.line = start_;
    instruction.end_line = lines_.number();
    file_.instructions.push_back(std::move(instruction));
  }

  // A line's part of an instruction: where it begins in that, and where in the text.
  struct Piece {
    std::size_t in_whole;
    std::size_t in_text;
  };

  std::size_t offset(std::string_view part) const {
    return static_cast<std::size_t>(part.data() - text_.data());
  }

  // Where in the text a part of an instruction stands.
  static Span in_text(Span span, const std::vector<Piece>& pieces) {
    // What ends where a line does ends on that line, not on the next one.
    const auto place = [&](std::size_t at, bool is_end) {
      auto piece = pieces.begin();
      for (auto next = piece; next != pieces.end(); ++next) {
        if (next->in_whole < at || (next->in_whole == at && !is_end)) piece = next;
      }
      return piece->in_text + (at - piece->in_whole);
    };
    return {place(span.begin, false), place(span.end, true)};
  }

  void note_directive(std::string_view line) {
    const auto directive = directives_.next(line);
    if (!directive || directive->key != "escape") return;
    if (directive->value != "\\" && directive->value != "`") {
      fail(fmt::format("the escape character {} is neither ` nor \\", shown(directive->value)));
    }
    file_.escape = directive->value.front();
  }

  // An escape character at the end, behind which there are only blanks and before which there is
  // no other. False: there is none.
  bool cut_continuation(std::string_view& line) const {
    const std::size_t last = line.find_last_not_of(" \t");
    if (last == std::string_view::npos || line[last] != file_.escape) return false;
    if (last > 0 && line[last - 1] == file_.escape) return false;
    line = line.substr(0, last);
    return true;
  }

  void read_content(Heredoc& heredoc) {
    while (!lines_.at_end()) {
      const std::string_view line = lines_.next();
      std::string_view end = without_line_end(line);
      if (heredoc.chomps) end.remove_prefix(std::min(end.find_first_not_of('\t'), end.size()));
      if (end == heredoc.name) return;
      heredoc.content += line;
    }
    fail(fmt::format("the heredoc {} does not end", shown(heredoc.name)));
  }

  std::string_view text_;
  Lines lines_;
  Directives directives_;
  Dockerfile file_;
  int start_ = 0;
};

}  // namespace

tl::expected<Dockerfile, ParseError> parse_dockerfile(std::string_view text) {
  return FileReader(text).read();
}

}  // namespace imagewright
