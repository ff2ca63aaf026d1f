// How long a run is going to take, by how long builds took before. Decides nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/schedule.h"

namespace imagewright {

/// What each of the images is expected to take. One that was never built takes as long as the
/// others do on average. `known`: milliseconds, by name; where it has none of them, nothing is
/// expected.
std::vector<std::chrono::milliseconds> expected_durations(
    const std::vector<std::string>& names, const std::map<std::string, std::int64_t>& known);

/// What is left of a run, worked out anew once a second: that means to play it through.
class Estimate {
 public:
  using Clock = std::chrono::steady_clock;

  /// Nothing is known before; nor after it, if all of the durations are 0.
  void expect(const std::vector<std::chrono::milliseconds>& durations);

  /// From `now` on. `began`: when the builds of those that are Building began, by number.
  std::optional<std::chrono::milliseconds> remaining(const Schedule& schedule,
                                                     const std::vector<Clock::time_point>& began,
                                                     Clock::time_point now);

 private:
  bool has_history_ = false;
  Clock::time_point made_;
  std::chrono::milliseconds estimate_{0};
};

}  // namespace imagewright
