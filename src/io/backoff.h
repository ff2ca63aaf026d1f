// Pauses between attempts at what failed. Knows nothing of what is tried.
#pragma once

#include <chrono>
#include <functional>

namespace imagewright {

/// How long to wait before the next attempt: about `first`, and twice as long after each further
/// one. Of no two machines alike, so that they do not all come back at once. `attempt` counts from
/// 0.
std::chrono::milliseconds backoff(std::chrono::milliseconds first, int attempt);

/// Waits so long, or until an interrupt (io/interrupt.h) or `stop` says true.
void wait_patiently(std::chrono::milliseconds time, const std::function<bool()>& stop = {});

}  // namespace imagewright
