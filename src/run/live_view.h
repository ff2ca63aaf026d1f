// What the live view says, as lines: one for each image that is built now, and one for the whole
// run. Knows nothing of terminals but how much room there is.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "io/terminal.h"
#include "run/live_region.h"

namespace imagewright {

/// Where a run is.
struct LiveRun {
  using Clock = std::chrono::steady_clock;

  struct Building {
    std::string name;
    std::string line;  ///< the last one of its output
    Clock::time_point started;
  };

  std::vector<Building> building;  ///< in the order in which they were started
  std::size_t images = 0;          ///< of the whole run
  std::size_t finished = 0;        ///< of them, however they ended
  std::size_t built = 0;
  std::size_t failed = 0;
  Clock::time_point started;
  std::optional<std::chrono::milliseconds> remaining;
};

/// Lines for a terminal of that size, none of them as wide as it, and fewer than it has rows. The
/// `turn`s of the spinner follow each other.
std::vector<PaintedLine> live_view(const LiveRun& run, LiveRun::Clock::time_point now,
                                   std::size_t turn, TerminalSize size);

/// "12 s", "3 min", "1 h 5 min": how long something is going to take, about.
std::string about(std::chrono::milliseconds duration);

}  // namespace imagewright
