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
  bool is_extended = false;  ///< the large file is what a program makes of that content
};

/// No pointer is longer than so many bytes.
inline constexpr std::size_t kMaxLfsPointer = 1023;

/// nullopt: `text` is no pointer. Lines may end as git-lfs lets them, without a final line end,
/// too.
std::optional<LfsPointer> parse_lfs_pointer(std::string_view text);

}  // namespace imagewright
