#include "core/schedule.h"

#include <algorithm>
#include <cassert>

namespace imagewright {

namespace {

using Milliseconds = std::chrono::milliseconds;

[[maybe_unused]] bool may_move(ImageState from, ImageState to) {
  switch (from) {
    case ImageState::Looking:
      return to == ImageState::Ready || to == ImageState::UpToDate || to == ImageState::Failed ||
             to == ImageState::Skipped;
    case ImageState::Building:
      return to == ImageState::Built || to == ImageState::UpToDate || to == ImageState::Failed ||
             to == ImageState::Skipped;
    default:
      return false;
  }
}

}  // namespace

bool is_final(ImageState state) {
  return state == ImageState::UpToDate || state == ImageState::Built ||
         state == ImageState::Failed || state == ImageState::Skipped;
}

Schedule::Schedule(std::vector<Task> tasks, Limits limits)
    : tasks_(std::move(tasks)),
      limits_(limits),
      expected_(tasks_.size()),
      children_(tasks_.size()),
      states_(tasks_.size(), ImageState::Waiting),
      because_(tasks_.size()),
      open_parents_(tasks_.size()),
      ways_(tasks_.size()),
      left_(tasks_.size()) {
  limits_.jobs = std::max(1, limits_.jobs);
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    open_parents_[i] = tasks_[i].parents.size();
    for (const std::size_t parent : tasks_[i].parents) children_[parent].push_back(i);
  }
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (open_parents_[i] == 0) waiting_.insert(rank(i));
  }
}

void Schedule::expect(std::vector<Milliseconds> durations) {
  assert(durations.size() == tasks_.size());
  expected_ = std::move(durations);
  if (limits_.jobs == 1) return;
  find_ways();
  for (std::set<Rank>* const queue : {&waiting_, &ready_}) {
    std::set<Rank> anew;
    for (const auto& [way, image] : *queue) anew.insert(rank(image));
    *queue = std::move(anew);
  }
}

int Schedule::load_of(std::size_t image) const {
  return std::clamp(tasks_[image].weight, 1, limits_.jobs);
}

// From what nothing stands on, up to what stands on nothing.
void Schedule::find_ways() {
  std::vector<std::size_t> open(tasks_.size());
  std::vector<std::size_t> known;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    open[i] = children_[i].size();
    if (open[i] == 0) known.push_back(i);
  }
  while (!known.empty()) {
    const std::size_t image = known.back();
    known.pop_back();
    Milliseconds behind{0};
    for (const std::size_t child : children_[image]) behind = std::max(behind, ways_[child]);
    ways_[image] = behind + expected_[image];
    for (const std::size_t parent : tasks_[image].parents) {
      if (--open[parent] == 0) known.push_back(parent);
    }
  }
}

std::optional<std::size_t> Schedule::next_to_look_at(
    const std::function<bool(std::size_t image)>& can) {
  const auto next = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const auto& one) { return !can || can(one.second); });
  if (next == waiting_.end()) return std::nullopt;
  const std::size_t image = next->second;
  set(image, ImageState::Looking);
  return image;
}

std::optional<std::size_t> Schedule::next_to_build() {
  if (ready_.empty()) return std::nullopt;
  const std::size_t image = ready_.begin()->second;
  if (load_ + load_of(image) > limits_.jobs) return std::nullopt;
  set(image, ImageState::Building);
  return image;
}

void Schedule::move(std::size_t image, ImageState to) {
  assert(may_move(states_[image], to));
  if (to == ImageState::Skipped) {
    skip(image, std::nullopt);
    return;
  }
  set(image, to);
  if (to == ImageState::Failed) {
    for (const std::size_t child : children_[image]) skip(child, image);
    if (limits_.fail_fast) cancel();
  } else if (is_final(to)) {
    for (const std::size_t child : children_[image]) {
      if (--open_parents_[child] == 0 && states_[child] == ImageState::Waiting)
        waiting_.insert(rank(child));
    }
  }
}

// The only one that changes a state; and what is counted by it.
void Schedule::set(std::size_t image, ImageState to) {
  ImageState& state = states_[image];
  if (state == ImageState::Waiting) waiting_.erase(rank(image));
  if (state == ImageState::Ready) ready_.erase(rank(image));
  if (state == ImageState::Building) load_ -= load_of(image);
  state = to;
  if (state == ImageState::Ready) ready_.insert(rank(image));
  if (state == ImageState::Building) load_ += load_of(image);
  if (is_final(state)) --left_;
}

// With all that stands on it. `failed`: because of which.
void Schedule::skip(std::size_t image, std::optional<std::size_t> failed) {
  std::vector<std::size_t> all = {image};
  while (!all.empty()) {
    const std::size_t next = all.back();
    all.pop_back();
    if (is_final(states_[next])) continue;
    set(next, ImageState::Skipped);
    because_[next] = failed;
    all.insert(all.end(), children_[next].begin(), children_[next].end());
  }
}

void Schedule::cancel() {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    if (states_[i] == ImageState::Waiting || states_[i] == ImageState::Ready)
      set(i, ImageState::Skipped);
  }
}

std::size_t Schedule::count(ImageState state) const {
  return static_cast<std::size_t>(std::count(states_.begin(), states_.end(), state));
}

// Plays the rest through by the same rules.
std::chrono::milliseconds Schedule::remaining(const std::vector<Running>& running) const {
  std::vector<std::size_t> open(tasks_.size());
  std::set<Rank> ready;
  std::set<std::pair<Milliseconds, std::size_t>> ends;  // of what is being built then
  int load = 0;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    for (const std::size_t parent : tasks_[i].parents) {
      if (!is_final(states_[parent])) ++open[i];
    }
    const bool waits = !is_final(states_[i]) && states_[i] != ImageState::Building;
    if (waits && open[i] == 0) ready.insert(rank(i));
  }
  for (const Running& one : running) {
    ends.insert({std::max(Milliseconds(0), expected_[one.image] - one.since), one.image});
    load += load_of(one.image);
  }
  Milliseconds now{0};
  while (true) {
    while (!ready.empty() && load + load_of(ready.begin()->second) <= limits_.jobs) {
      const std::size_t image = ready.begin()->second;
      ready.erase(ready.begin());
      ends.insert({now + expected_[image], image});
      load += load_of(image);
    }
    if (ends.empty()) return now;
    const auto [end, image] = *ends.begin();
    ends.erase(ends.begin());
    now = end;
    load -= load_of(image);
    for (const std::size_t child : children_[image]) {
      if (--open[child] == 0 && !is_final(states_[child])) ready.insert(rank(child));
    }
  }
}

}  // namespace imagewright
