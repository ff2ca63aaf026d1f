#include "service/local_builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/error.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Where the store or the engine does not answer.
constexpr milliseconds kPause{2'000};

}  // namespace

LocalBuilder::LocalBuilder(LocalBuilderOptions options, OpenQueue open, const Current& current,
                           Looking& looking, const ServiceLog& log, std::function<void()> ended)
    : options_(std::move(options)),
      open_(std::move(open)),
      current_(current),
      looking_(looking),
      log_(log),
      ended_(std::move(ended)),
      runner_(options_.run, open_, looking, nullptr, log),
      queue_(open_()) {}

void LocalBuilder::begin() {
  thread_ = std::thread([this] { go(); });
}

LocalBuilder::~LocalBuilder() {
  drain();
}

void LocalBuilder::stop_claiming() {
  is_draining_ = true;
  runner_.stop_waiting();
  queue_->wake();
}

void LocalBuilder::drain() {
  stop_claiming();
  if (thread_.joinable()) thread_.join();
}

std::size_t LocalBuilder::running() const {
  const std::lock_guard lock(mutex_);
  return works_.size();
}

void LocalBuilder::look_at_cancellations() {
  looks_now_ = true;
  queue_->wake();
}

void LocalBuilder::go() {
  std::string told;
  while (!is_draining_ || running() > 0 || next_ || !going_back_.empty()) {
    try {
      try_to_go();
      told.clear();
    } catch (const Error& error) {
      if (told != error.what()) log_.error(error.what());
      told = error.what();
      join_ended();
      // (What cannot be handed back is lost when its lease is over.)
      if (interrupted() != 0) {
        next_.reset();
        going_back_.clear();
      }
      std::this_thread::sleep_for(kPause);
    }
  }
}

void LocalBuilder::try_to_go() {
  Queue& queue = *queue_;
  auto next_look = Clock::now();
  while (!is_draining_ || running() > 0 || next_ || !going_back_.empty()) {
    join_ended();
    if (is_draining_ && next_) {
      looking_.end(next_->unit.name, next_->job.fence);
      going_back_.push_back(std::move(next_->job));
      next_.reset();
    }
    hand_back(queue);
    if (looks_now_.exchange(false) || Clock::now() >= next_look) {
      look_after(queue);
      next_look = Clock::now() + options_.heartbeat;
    }
    if (!is_draining_ && claim_one(queue)) continue;
    const auto until_look =
        std::max(milliseconds(1), std::chrono::ceil<milliseconds>(next_look - Clock::now()));
    queue.wait(std::min(until_look, options_.poll));
  }
}

int LocalBuilder::used() const {
  int sum = 0;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, work] : works_) sum += work->weight;
  return sum;
}

// False: there is nothing to begin now.
bool LocalBuilder::claim_one(Queue& queue) {
  const int room = options_.run.jobs - used();
  if (room <= 0) return false;
  const auto in_one = looking_.in_one();
  if (!next_) {
    auto job = queue.claim({options_.worker, options_.labels});
    if (!job) return false;
    auto served = current_.get();
    const Unit* unit = served->units.find(job->image);
    if (unit == nullptr) {
      queue.finish(job->id, job->fence, not_configured());
      return true;
    }
    next_ = std::make_unique<ClaimedJob>();
    next_->job = *std::move(job);
    next_->unit = *unit;
    next_->served = std::move(served);
    next_->weight = std::min(unit->weight, options_.run.jobs);
    looking_.begin(next_->unit.name, next_->job.fence);
  }
  if (next_->weight > room) return false;
  begin(std::move(next_));
  return true;
}

void LocalBuilder::begin(std::unique_ptr<ClaimedJob> work) {
  ClaimedJob& its = *work;
  {
    const std::lock_guard lock(mutex_);
    works_[its.job.id] = std::move(work);
  }
  its.thread = std::thread([this, &its] {
    runner_.carry_out(its);
    its.has_ended = true;
    queue_->wake();
    ended_();
  });
}

void LocalBuilder::join_ended() {
  std::vector<std::unique_ptr<ClaimedJob>> ended;
  {
    const std::lock_guard lock(mutex_);
    for (auto work = works_.begin(); work != works_.end();) {
      if (!work->second->has_ended) {
        ++work;
        continue;
      }
      ended.push_back(std::move(work->second));
      work = works_.erase(work);
    }
  }
  for (const auto& work : ended) {
    work->thread.join();
    looking_.end(work->unit.name, work->job.fence);
    if (work->is_to_go_back) going_back_.push_back(work->job);
  }
}

// By this thread, when theirs have ended: from then on each can be claimed again.
void LocalBuilder::hand_back(Queue& queue) {
  while (!going_back_.empty()) {
    queue.hand_back(going_back_.back().id, going_back_.back().fence);
    going_back_.pop_back();
  }
}

void LocalBuilder::look_after(Queue& queue) {
  if (options_.run.remembered != nullptr) options_.run.remembered->drop_old_checkouts();
  queue.record_worker({options_.worker, options_.labels, "", "", 0, is_draining_});
  std::vector<ClaimedJob*> works;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, work] : works_) works.push_back(work.get());
  }
  if (next_) works.push_back(next_.get());
  for (ClaimedJob* work : works) {
    if (work->has_ended) continue;
    work->take(queue.heartbeat(work->job.id, work->job.fence));
  }
  const Reaped reaped = queue.reap();
  tell(reaped, "its holder was not heard of any more; it waits again", log_);
  if (!reaped.empty()) ended_();
}

}  // namespace imagewright
