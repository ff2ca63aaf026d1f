#include "io/backoff.h"

#include <algorithm>
#include <random>
#include <thread>

#include "io/interrupt.h"

namespace imagewright {

using std::chrono::milliseconds;

milliseconds backoff(milliseconds first, int attempt) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const auto whole = static_cast<unsigned>(first.count()) << static_cast<unsigned>(attempt);
  return milliseconds(whole / 2 + random() % whole);
}

void wait_patiently(milliseconds time, const std::function<bool()>& stop) {
  constexpr milliseconds kSlice{50};
  for (; time.count() > 0 && interrupted() == 0 && !(stop && stop()); time -= kSlice)
    std::this_thread::sleep_for(std::min(time, kSlice));
}

}  // namespace imagewright
