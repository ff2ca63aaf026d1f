// The time of day.
#pragma once

#include <chrono>
#include <cstdint>

namespace imagewright {

/// Milliseconds since 1970, UTC.
inline std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace imagewright
