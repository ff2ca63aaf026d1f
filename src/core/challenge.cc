#include "core/challenge.h"

#include <algorithm>
#include <cctype>

#include "core/lower_case.h"

namespace imagewright {

namespace {

bool is_token_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (peek() != c || at_end()) return false;
    ++at_;
    return true;
  }
  void skip(std::string_view characters) {
    while (!at_end() && characters.find(peek()) != std::string_view::npos) ++at_;
  }
  std::string token() {
    const std::size_t begin = at_;
    while (!at_end() && is_token_character(peek())) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  // After a `"`. What is not ended goes to the end.
  std::string quoted() {
    std::string text;
    while (!at_end() && !take('"')) {
      take('\\');
      if (!at_end()) text += text_[at_++];
    }
    return text;
  }
  // A word behind which a `=` makes it a parameter's name.
  bool is_parameter() const {
    Reader ahead = *this;
    if (ahead.token().empty()) return false;
    ahead.skip(" \t");
    return ahead.take('=') && ahead.peek() != '=' && !ahead.at_end();
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::string Challenge::parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  return found == parameters.end() ? "" : found->second;
}

std::vector<Challenge> parse_challenges(std::string_view value) {
  std::vector<Challenge> challenges;
  Reader reader(value);
  for (reader.skip(" \t,"); !reader.at_end(); reader.skip(" \t,")) {
    if (!challenges.empty() && reader.is_parameter()) {
      const std::string name = lower_case(reader.token());
      reader.skip(" \t");
      reader.take('=');
      reader.skip(" \t");
      challenges.back().parameters[name] = reader.take('"') ? reader.quoted() : reader.token();
      continue;
    }
    const std::string scheme = lower_case(reader.token());
    if (scheme.empty()) return challenges;
    challenges.push_back({scheme, {}});
    reader.skip(" \t");
    // A token of its own (`Negotiate YII=`): of no use to us.
    Reader ahead = reader;
    if (!ahead.is_parameter() && !ahead.token().empty()) {
      while (!ahead.at_end() && (ahead.take('=') || ahead.take('/') || !ahead.token().empty())) {
      }
      ahead.skip(" \t");
      if (ahead.at_end() || ahead.peek() == ',') reader = ahead;
    }
  }
  return challenges;
}

int retry_after_seconds(std::string_view value) {
  constexpr std::size_t kMostDigits = 6;
  while (value.ends_with(' ')) value.remove_suffix(1);
  while (value.starts_with(' ')) value.remove_prefix(1);
  if (value.empty() || value.size() > kMostDigits) return -1;
  int seconds = 0;
  for (const char c : value) {
    if (c < '0' || c > '9') return -1;
    seconds = seconds * 10 + (c - '0');
  }
  return seconds;
}

}  // namespace imagewright
