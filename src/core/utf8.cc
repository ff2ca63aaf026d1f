#include "core/utf8.h"

#include <locale.h>
#include <wctype.h>

#include <cstdint>

namespace imagewright {

std::optional<CodePoint> first_code_point(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return CodePoint{lead, 1};
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return std::nullopt;
  char32_t value = lead & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0U) != 0x80) return std::nullopt;
    value = (value << 6U) | (byte & 0x3fU);
  }
  const bool is_overlong = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  const bool is_surrogate = value >= 0xd800 && value <= 0xdfff;
  if (is_overlong || is_surrogate || value > 0x10ffff) return std::nullopt;
  return CodePoint{value, size};
}

std::u32string decoded(std::string_view text) {
  std::u32string characters;
  characters.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = first_code_point(text).value_or(CodePoint{kReplacement, 1});
    characters += point.value;
    text.remove_prefix(point.size);
  }
  return characters;
}

std::string encoded(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  const auto add = [&](char32_t bits) {
    bytes += static_cast<char>(static_cast<std::uint8_t>(bits));
  };
  for (const char32_t character : text) {
    if (character < 0x80) {
      add(character);
    } else if (character < 0x800) {
      add(0xc0 | character >> 6);
      add(0x80 | (character & 0x3f));
    } else if (character < 0x10000) {
      add(0xe0 | character >> 12);
      add(0x80 | (character >> 6 & 0x3f));
      add(0x80 | (character & 0x3f));
    } else {
      add(0xf0 | character >> 18);
      add(0x80 | (character >> 12 & 0x3f));
      add(0x80 | (character >> 6 & 0x3f));
      add(0x80 | (character & 0x3f));
    }
  }
  return bytes;
}

std::string text_of_bytes(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const auto point = first_code_point(bytes);
    const std::size_t size = point ? point->size : 1;
    if (point && point->value != 0 && point->value < kBytePoint) {
      text += bytes.substr(0, size);
    } else {
      for (const char byte : bytes.substr(0, size)) {
        const char32_t its = kBytePoint + static_cast<unsigned char>(byte);
        text += encoded({&its, 1});
      }
    }
    bytes.remove_prefix(size);
  }
  return text;
}

std::string bytes_of_text(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = first_code_point(text).value_or(CodePoint{kReplacement, 1});
    if (point.value >= kBytePoint) {
      bytes += static_cast<char>(static_cast<std::uint8_t>(point.value - kBytePoint));
    } else {
      bytes += text.substr(0, point.size);
    }
    text.remove_prefix(point.size);
  }
  return bytes;
}

bool is_space(char32_t character) {
  return (character >= 0x09 && character <= 0x0d) || character == 0x20 || character == 0x85 ||
         character == 0xa0 || character == 0x1680 || (character >= 0x2000 && character <= 0x200a) ||
         character == 0x2028 || character == 0x2029 || character == 0x202f || character == 0x205f ||
         character == 0x3000;
}

bool is_letter(char32_t character) {
  if (character < 0x80) return (character | 0x20) >= 'a' && (character | 0x20) <= 'z';
  static const locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return unicode != nullptr && iswalpha_l(static_cast<wint_t>(character), unicode) != 0;
}

}  // namespace imagewright
