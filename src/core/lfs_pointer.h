// The small file that stands in a git repository for a large one. Pure. Rules: Git LFS's
// specification, version 1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imagewright {

struct LfsPointer {
  std::string id;  ///< SHA-256 of the large file: 64 lower-case hexadecimal digits
  std::uint64_t size = 0;
};

/// No pointer is longer than so many bytes.
inline constexpr std::size_t kMaxLfsPointer = 1023;

/// nullopt: `text` is no pointer.
std::optional<LfsPointer> parse_lfs_pointer(std::string_view text);

}  // namespace imagewright
