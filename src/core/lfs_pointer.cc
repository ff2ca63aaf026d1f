#include "core/lfs_pointer.h"

#include <charconv>

#include "core/take_field.h"

namespace imagewright {

std::optional<LfsPointer> parse_lfs_pointer(std::string_view text) {
  constexpr std::string_view kOid = "sha256:";
  constexpr std::size_t kDigits = 64;
  if (text.size() > kMaxLfsPointer) return std::nullopt;
  const auto line = [&] {
    std::string_view next = take_field(text, '\n');
    if (next.ends_with('\r')) next.remove_suffix(1);
    return next;
  };
  const std::string_view version = line();
  if (version != "version https://git-lfs.github.com/spec/v1" &&
      version != "version https://hawser.github.com/spec/v1") {
    return std::nullopt;
  }
  LfsPointer pointer;
  bool has_size = false;
  while (!text.empty()) {
    std::string_view value = line();
    const std::string_view key = take_field(value, ' ');
    if (key.starts_with("ext-")) pointer.is_extended = true;
    if (key == "oid") {
      if (!value.starts_with(kOid)) return std::nullopt;
      value.remove_prefix(kOid.size());
      if (value.size() != kDigits || value.find_first_not_of("0123456789abcdef") != value.npos)
        return std::nullopt;
      pointer.id = value;
    } else if (key == "size") {
      const auto parsed = std::from_chars(value.data(), value.data() + value.size(), pointer.size);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size())
        return std::nullopt;
      has_size = true;
    }
  }
  if (pointer.id.empty() || !has_size) return std::nullopt;
  return pointer;
}

}  // namespace imagewright
