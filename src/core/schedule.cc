#include "core/schedule.h"

#include <algorithm>
#include <cassert>

namespace imagewright {

namespace {

[[maybe_unused]] bool may_move(ImageState from, ImageState to) {
  switch (from) {
    case ImageState::Looking:
      return to == ImageState::Building || to == ImageState::UpToDate || to == ImageState::Failed ||
             to == ImageState::Skipped;
    case ImageState::Building:
      return to == ImageState::Built || to == ImageState::Failed || to == ImageState::Skipped;
    default:
      return false;
  }
}

}  // namespace

std::optional<std::size_t> Schedule::next() {
  while (next_ < states_.size() && states_[next_] != ImageState::Waiting) ++next_;
  if (next_ == states_.size()) return std::nullopt;
  states_[next_] = ImageState::Looking;
  return next_;
}

void Schedule::move(std::size_t image, ImageState to) {
  assert(may_move(states_[image], to));
  states_[image] = to;
  if (to == ImageState::Failed && fail_fast_) cancel();
}

void Schedule::cancel() {
  std::replace(states_.begin(), states_.end(), ImageState::Waiting, ImageState::Skipped);
}

std::size_t Schedule::count(ImageState state) const {
  return static_cast<std::size_t>(std::count(states_.begin(), states_.end(), state));
}

}  // namespace imagewright
