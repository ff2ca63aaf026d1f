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
      queue_(open_()) {}

void LocalBuilder::begin() {
  thread_ = std::thread([this] { go(); });
}

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
      looking_.end(next_->unit.name);
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
  if (!next_) {
    auto job = queue.claim({options_.worker, options_.labels});
    if (!job) return false;
    auto served = current_.get();
    const Unit* unit = served->units.find(job->image);
    if (unit == nullptr) {
      queue.finish(job->id, job->fence,
                   {JobState::UpToDate, "it is not in the configuration any more", ""});
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
    its.has_ended = true;
    queue_->wake();
    ended_();
  });
}

void LocalBuilder::join_ended() {
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
  for (const auto& work : ended) {
    work->thread.join();
    looking_.end(work->unit.name);
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

// Again and again, as long as the store cannot be used. False: there is no time for that any more.
bool LocalBuilder::until_done(const Work& work, const std::function<void()>& step) {
  std::string told;
  while (true) {
    try {
      step();
      return true;
    } catch (const Error& error) {
      const LogSubject subject{work.job.id, work.job.attempts, work.job.image};
      if (told != error.what()) log_.error(error.what(), subject);
      told = error.what();
      // (Its lease will be over.)
      if (interrupted() != 0) return false;
      std::this_thread::sleep_for(kPause);
    }
  }
}

// In a thread of its own.
void LocalBuilder::carry_out(Work& work) {
  std::unique_ptr<Queue> queue;
  if (!until_done(work, [&] { queue = open_(); })) return;
  JobProgress progress(*queue, work.job, work.unit, log_, looking_, work.stop);
  const auto outcome = build(work, progress);
  if (progress.is_lost())
    return log_.warning("lost, so it was stopped",
                        {work.job.id, work.job.attempts, work.job.image});
  if (outcome) {
    until_done(work, [&] { tell(work, *queue, progress, *outcome); });
  } else {
    work.is_to_go_back = true;
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

// nullopt: it is not done, through no fault of its own.
std::optional<JobOutcome> LocalBuilder::build(Work& work, JobProgress& progress) {
  RunOptions run = options_.run;
  run.jobs = work.weight;
  run.images = work.unit.images;
  run.only_these = true;
  run.is_locked = true;
  run.force = work.job.trigger == "force";
  run.stop = &work.stop;
  std::optional<JobOutcome> outcome;
  try {
    outcome = outcome_of(build_images(work.served->project, run, progress), work.unit,
                         progress.publishing_failure());
    if (!outcome) progress.add_line("interrupted");
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::Missing) return JobOutcome{JobState::Failed, error.what(), ""};
    // What every build needs is not there.
    log_.error(error.what(), {work.job.id, work.job.attempts, work.job.image});
    progress.add_line(std::string(error.what()) + "; it waits again");
    progress.flush();
    for (milliseconds waited{0}; waited < kPause && !is_draining_ && !work.stop; waited += kSlice)
      std::this_thread::sleep_for(kSlice);
  } catch (const std::exception& error) {
    return JobOutcome{JobState::Failed, error.what(), ""};
  }
  if (!outcome && work.is_cancelled) outcome = JobOutcome{JobState::Cancelled, "cancelled", ""};
  if (outcome && !outcome->message.empty()) progress.add_line(outcome->message);
  progress.flush();
  return outcome;
}

void LocalBuilder::tell(Work& work, Queue& queue, JobProgress& progress,
                        const JobOutcome& outcome) {
  const Job& job = work.job;
  const LogSubject subject{job.id, job.attempts, job.image};
  progress.flush();
  if (!queue.finish(job.id, job.fence, outcome))
    return log_.warning("lost before its end was told", subject);
  const std::string text = outcome.message.empty() ? outcome.image_id : outcome.message;
  const std::string line = fmt::format("{}: {}", word(outcome.state), text);
  if (outcome.state == JobState::Failed) {
    log_.error(line, subject);
  } else {
    log_.info(line, subject);
  }
}

}  // namespace imagewright
