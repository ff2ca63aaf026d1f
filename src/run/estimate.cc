#include "run/estimate.h"

#include <algorithm>

namespace imagewright {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kFresh{1};

}  // namespace

std::vector<milliseconds> expected_durations(const std::vector<std::string>& names,
                                             const std::map<std::string, std::int64_t>& known) {
  std::int64_t sum = 0;
  std::int64_t count = 0;
  for (const std::string& name : names) {
    if (const auto found = known.find(name); found != known.end()) {
      sum += found->second;
      ++count;
    }
  }
  const std::int64_t usual = count > 0 ? sum / count : 0;
  std::vector<milliseconds> durations;
  for (const std::string& name : names) {
    const auto found = known.find(name);
    durations.emplace_back(found != known.end() ? found->second : usual);
  }
  return durations;
}

void Estimate::expect(const std::vector<milliseconds>& durations) {
  has_history_ = std::any_of(durations.begin(), durations.end(),
                             [](milliseconds duration) { return duration.count() > 0; });
}

std::optional<milliseconds> Estimate::remaining(const Schedule& schedule,
                                                const std::vector<Clock::time_point>& began,
                                                Clock::time_point now) {
  if (!has_history_) return std::nullopt;
  if (now - made_ > kFresh) {
    made_ = now;
    std::vector<Schedule::Running> running;
    for (std::size_t i = 0; i < began.size(); ++i) {
      if (schedule.state(i) == ImageState::Building)
        running.push_back({i, duration_cast<milliseconds>(now - began[i])});
    }
    estimate_ = schedule.remaining(running);
  }
  return std::max(milliseconds(0), estimate_ - duration_cast<milliseconds>(now - made_));
}

}  // namespace imagewright
