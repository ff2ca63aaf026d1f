// What our rules answer, for a program that knows better to compare with (tests/differential). Each
// line of stdin is a question, its words in hexadecimal: `=` and an ignore file, then paths. The
// answer is one line: `error LINE`; or `rules`, the number of warnings, 1 if older engines read the
// rules otherwise, the rules' text in hexadecimal behind an `=`, and for each path one digit for it
// and for each directory above it, from the top: 0 included, 1 ignored, 2 ignored and nothing below
// it needs to be looked at.
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>

#include "core/ignore.h"

namespace imagewright {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes += static_cast<char>(kDigits.find(text[i]) * 16 + kDigits.find(text[i + 1]));
  }
  return bytes;
}

std::string to_hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text += kDigits[value / 16];
    text += kDigits[value % 16];
  }
  return text;
}

// Walks down to the path, as the walk through a context does.
std::string walk(const IgnoreRules& rules, std::string_view path) {
  std::string answers;
  IgnoreRules::Matched matched;
  for (std::size_t end = 0; end != std::string_view::npos;) {
    end = path.find('/', end == 0 ? 0 : end + 1);
    const std::string_view here = path.substr(0, end);
    IgnoreRules::Matched below;
    const bool ignored = rules.match(here, matched, &below);
    // What is no directory is asked about in another way, and must get the same answer.
    if (ignored != rules.match(here, matched, nullptr)) return "differs";
    answers += !ignored ? '0' : rules.can_prune(here) ? '2' : '1';
    matched = std::move(below);
  }
  return answers;
}

std::string answer(const std::string& question) {
  std::istringstream words(question.substr(1));
  std::string word;
  std::getline(words, word, ' ');
  auto rules = IgnoreRules::parse(from_hex(word));
  if (!rules) return "error " + std::to_string(rules.error().line);
  std::string text = "rules " + std::to_string(rules->warnings().size());
  text += rules->has_exceptions() ? " 1 =" : " 0 =";
  text += to_hex(rules->text());
  while (words >> word) text += " " + walk(*rules, from_hex(word));
  return text;
}

}  // namespace
}  // namespace imagewright

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << imagewright::answer(line) << '\n';
    if (std::cin.rdbuf()->in_avail() <= 0) std::cout.flush();
  }
}
