#include "service/local_builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/error.h"
#include "io/interrupt.h"
#include "run/progress.h"
#include "service/job_progress.h"

namespace imagewright {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Where the store or the engine does not answer.
constexpr milliseconds kPause{2'000};
constexpr milliseconds kSlice{50};

}  // namespace

LocalBuilder::LocalBuilder(LocalBuilderOptions options, OpenQueue open, const Current& current,
                           Looking& looking, const ServiceLog& log, std::function<void()> ended)
    : options_(std::move(options)),
      open_(std::move(open)),
      current_(current),
      looking_(looking),
      log_(log),
      ended_(std::move(ended)),
      queue_(open_()),
      thread_([this] { go(); }) {}

LocalBuilder::~LocalBuilder() {
  drain();
}

void LocalBuilder::stop_claiming() {
  is_draining_ = true;
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
  while (!is_draining_ || running() > 0 || next_) {
    try {
      try_to_go();
      told.clear();
    } catch (const Error& error) {
      if (told != error.what()) log_.error(error.what());
      told = error.what();
      std::this_thread::sleep_for(kPause);
    }
  }
}

void LocalBuilder::try_to_go() {
  Queue& queue = *queue_;
  queue.record_worker({options_.worker, options_.labels, "", "", 0, is_draining_});
  auto next_look = Clock::now();
  while (!is_draining_ || running() > 0 || next_) {
    forget_ended();
    if (looks_now_.exchange(false) || Clock::now() >= next_look) {
      look_after(queue);
      next_look = Clock::now() + options_.heartbeat;
    }
    if (is_draining_ && next_) {
      queue.hand_back(next_->job.id, next_->job.fence);
      looking_.end(next_->unit.name);
      next_.reset();
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
  if (!next_) {
    auto job = queue.claim({options_.worker, options_.labels});
    if (!job) return false;
    auto served = current_.get();
    const Unit* unit = served->units.find(job->image);
    if (unit == nullptr) {
      queue.finish(job->id, job->fence,
                   {JobState::Cancelled, "it is not in the configuration any more", ""});
      return true;
    }
    next_ = std::make_unique<Work>();
    next_->job = *std::move(job);
    next_->unit = *unit;
    next_->served = std::move(served);
    next_->weight = std::min(unit->weight, options_.run.jobs);
  }
  looking_.begin(next_->unit.name);
  if (next_->weight > room) return false;
  begin(std::move(next_));
  return true;
}

void LocalBuilder::begin(std::unique_ptr<Work> work) {
  Work& its = *work;
  {
    const std::lock_guard lock(mutex_);
    works_[its.job.id] = std::move(work);
  }
  its.thread = std::thread([this, &its] {
    carry_out(its);
    looking_.end(its.unit.name);
    its.has_ended = true;
    queue_->wake();
    ended_();
  });
}

void LocalBuilder::forget_ended() {
  std::vector<std::unique_ptr<Work>> ended;
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
  for (const auto& work : ended) work->thread.join();
}

void LocalBuilder::look_after(Queue& queue) {
  queue.record_worker({options_.worker, options_.labels, "", "", 0, is_draining_});
  std::vector<Work*> works;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, work] : works_) works.push_back(work.get());
  }
  if (next_) works.push_back(next_.get());
  for (Work* work : works) {
    if (work->has_ended) continue;
    const Held held = queue.heartbeat(work->job.id, work->job.fence);
    if (held.cancel_asked) work->is_cancelled = true;
    if (!held.held || held.cancel_asked) work->stop = true;
  }
  const Reaped reaped = queue.reap();
  for (const std::int64_t job : reaped.requeued)
    log_.warning("its holder was not heard of any more; it waits again", {job, 0, ""});
  for (const std::int64_t job : reaped.quarantined)
    log_.error("lost too often, so it is not tried any more (imagewright retry)", {job, 0, ""});
  if (!reaped.empty()) ended_();
}

// In a thread of its own.
void LocalBuilder::carry_out(Work& work) {
  std::string told;
  while (true) {
    try {
      const auto queue = open_();
      return finish(work, *queue);
    } catch (const Error& error) {
      const LogSubject subject{work.job.id, work.job.attempts, work.job.image};
      if (told != error.what()) log_.error(error.what(), subject);
      told = error.what();
      // (Its lease will be over.)
      if (interrupted() != 0) return;
      std::this_thread::sleep_for(kPause);
    }
  }
}

namespace {

// What a whole run came to, as one job's outcome. nullopt: it was stopped.
std::optional<JobOutcome> outcome_of(const RunSummary& summary, const Unit& unit,
                                     const std::string& publishing_failure) {
  JobOutcome outcome;
  bool any_built = false;
  bool all_ended = true;
  for (const ImageResult& image : summary.images) {
    const bool is_ours =
        std::find(unit.images.begin(), unit.images.end(), image.name) != unit.images.end();
    const std::string name = unit.images.size() > 1 || !is_ours ? image.name + ": " : "";
    if (image.state == ImageState::Failed && outcome.message.empty())
      outcome.message = name + image.message;
    if (!is_ours) continue;
    any_built = any_built || image.state == ImageState::Built;
    all_ended = all_ended && image.state != ImageState::Skipped;
    if (outcome.image_id.empty()) outcome.image_id = image.image_id;
  }
  if (!all_ended && summary.signal != 0) return std::nullopt;
  if (outcome.message.empty()) outcome.message = publishing_failure;
  outcome.state = !outcome.message.empty() ? JobState::Failed
                  : any_built              ? JobState::Succeeded
                                           : JobState::UpToDate;
  return outcome;
}

}  // namespace

void LocalBuilder::finish(Work& work, Queue& queue) {
  const Job& job = work.job;
  const LogSubject subject{job.id, job.attempts, job.image};
  JobProgress progress(queue, job, work.unit, log_, looking_, work.stop);
  RunOptions run = options_.run;
  run.images = work.unit.images;
  run.only_these = true;
  run.is_locked = true;
  run.force = job.trigger == "force";
  run.stop = &work.stop;
  std::optional<JobOutcome> outcome;
  std::string missing;
  try {
    outcome = outcome_of(build_images(work.served->project, run, progress), work.unit,
                         progress.publishing_failure());
  } catch (const Error& error) {
    if (error.kind() == Error::Kind::Missing) {
      missing = error.what();
    } else {
      outcome = JobOutcome{JobState::Failed, error.what(), ""};
    }
  } catch (const std::exception& error) {
    outcome = JobOutcome{JobState::Failed, error.what(), ""};
  }
  if (progress.is_lost()) return log_.warning("lost, so it was stopped", subject);
  if (!outcome && work.is_cancelled) outcome = JobOutcome{JobState::Cancelled, "cancelled", ""};
  if (!outcome) {
    // What every build needs is not there, or we are to end: through no fault of its own.
    progress.add_line(missing.empty() ? "interrupted; it waits again"
                                      : missing + "; it waits again");
    progress.flush();
    if (!missing.empty()) {
      log_.error(missing, subject);
      for (milliseconds waited{0}; waited < kPause && !is_draining_ && !work.stop; waited += kSlice)
        std::this_thread::sleep_for(kSlice);
    }
    queue.hand_back(job.id, job.fence);
    return;
  }
  if (!outcome->message.empty()) progress.add_line(outcome->message);
  progress.flush();
  if (!queue.finish(job.id, job.fence, *outcome))
    return log_.warning("lost before its end was told", subject);
  const std::string text =
      outcome->message.empty() ? outcome->image_id : without_controls(outcome->message);
  const std::string line = fmt::format("{}: {}", word(outcome->state), text);
  if (outcome->state == JobState::Failed) {
    log_.error(line, subject);
  } else {
    log_.info(line, subject);
  }
}

}  // namespace imagewright
