// The exit statuses of the commands (docs/cli.md). Knows nothing of what they do.
#pragma once

#include "io/interrupt.h"

namespace imagewright {

inline constexpr int kSomethingFailed = 1;
inline constexpr int kInterruptedBase = 128;

/// 0: nothing has interrupted us.
inline int interrupted_status() {
  return interrupted() == 0 ? 0 : kInterruptedBase + interrupted();
}

}  // namespace imagewright
