// UTF-8 as characters and back. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace imagewright {

/// A code point of Unicode and the bytes that it has.
struct CodePoint {
  char32_t value = 0;
  std::size_t size = 0;
};

/// Stands for a byte that belongs to none.
inline constexpr char32_t kReplacement = 0xFFFD;

/// The first one of a text that is not empty. nullopt: it does not begin with UTF-8.
std::optional<CodePoint> first_code_point(std::string_view text);

/// All of them; kReplacement for each byte that belongs to none.
std::u32string decoded(std::string_view text);
std::string encoded(std::u32string_view text);

/// Any bytes as UTF-8 without a NUL, and what that was made of: text stays as it is; a byte that is
/// none, and a NUL, is the code point kBytePoint plus it. (What looks like such a one was made of
/// several.)
inline constexpr char32_t kBytePoint = 0x10FF00;
std::string text_of_bytes(std::string_view bytes);
std::string bytes_of_text(std::string_view text);

/// White_Space of Unicode.
bool is_space(char32_t character);
/// A letter of Unicode, as far as the C library knows them.
bool is_letter(char32_t character);

}  // namespace imagewright
