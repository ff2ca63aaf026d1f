// What the fuzz targets share: the input as text, and claims that must hold. Knows nothing of what
// is fuzzed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace imagewright::fuzz {

/// Ends the program with the claim, the place and the values that broke it: a finding.
[[noreturn]] inline void broken(const char* claim, const char* file, int line,
                                std::initializer_list<std::string_view> values) {
  std::fprintf(stderr, "%s:%d: broken: %s\n", file, line, claim);
  for (const std::string_view value : values) {
    std::fprintf(stderr, "  \"");
    for (const char c : value) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') {
        std::fprintf(stderr, "\\x%02x", byte);
      } else {
        std::fputc(c, stderr);
      }
    }
    std::fprintf(stderr, "\"\n");
  }
  std::abort();
}

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): the claim's own words and its line are the message
#define FUZZ_CHECK(claim, ...)                                                \
  do {                                                                        \
    if (!(claim)) {                                                           \
      ::imagewright::fuzz::broken(#claim, __FILE__, __LINE__, {__VA_ARGS__}); \
    }                                                                         \
  } while (false)

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// Also those beyond ASCII, U+0080 to U+009F in UTF-8.
inline bool moves_cursor(std::string_view text) {
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const auto next = static_cast<unsigned char>(text[i + 1]);
    if (text[i] == '\xc2' && next >= 0x80 && next < 0xa0) return true;
  }
  return has_control(text);
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// All parts between separators, empty ones too.
inline std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

/// A message is one line for people: some words, not a copy of a whole file, and nothing that
/// moves a terminal's cursor.
inline void check_message(std::string_view message) {
  constexpr std::size_t kMaxMessage = 1000;
  FUZZ_CHECK(!message.empty());
  FUZZ_CHECK(message.size() <= kMaxMessage, message);
  FUZZ_CHECK(!moves_cursor(message), message);
}

}  // namespace imagewright::fuzz
