#include "service/job_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "io/error.h"
#include "io/interrupt.h"
#include "run/progress.h"
#include "service/job_progress.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;

// Where the store or the engine does not answer.
constexpr milliseconds kPause{2'000};
constexpr milliseconds kSlice{50};

}  // namespace

void tell(const Reaped& reaped, const char* requeued, const ServiceLog& log) {
  for (const std::int64_t job : reaped.requeued) log.warning(requeued, {job, 0, ""});
  for (const std::int64_t job : reaped.quarantined)
    log.error("lost too often, so it is not tried any more (imagewright retry)", {job, 0, ""});
}

// Again and again, as long as the store cannot be used. False: there is no time for that any more.
bool JobRunner::until_done(const ClaimedJob& work, const std::function<void()>& step) {
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
      if (interrupted() != 0 || (work.stop && is_draining_)) return false;
      std::this_thread::sleep_for(kPause);
    }
  }
}

// Asks the store, for as long as that takes. From any thread.
bool JobRunner::is_held(const ClaimedJob& work) {
  bool is_held = false;
  until_done(work, [&] { is_held = open_()->heartbeat(work.job.id, work.job.fence).held; });
  return is_held;
}

// In a thread of its own.
void JobRunner::carry_out(ClaimedJob& work,
                          const std::function<std::unique_ptr<Engine>()>& make_engine) {
  std::unique_ptr<Queue> queue;
  if (!until_done(work, [&] { queue = open_(); })) return;
  JobProgress progress(*queue, work.job, work.unit, log_, looking_, work.stop);
  const auto outcome = build(work, progress, make_engine);
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
std::optional<JobOutcome> JobRunner::build(
    ClaimedJob& work, JobProgress& progress,
    const std::function<std::unique_ptr<Engine>()>& make_engine) {
  // (What another server was told is no older than what this job is for.)
  if (shared_ != nullptr && !until_done(work, [&] { shared_->learn(); })) return std::nullopt;
  RunOptions run = run_;
  run.make_engine = make_engine;
  run.jobs = work.weight;
  run.images = work.unit.images;
  run.only_these = true;
  run.is_locked = true;
  run.force = work.job.trigger == "force";
  run.stop = &work.stop;
  run.is_held = [&] { return is_held(work); };
  if (!work.served->project.database.empty()) run.guard = while_held(work.job.id, work.job.fence);
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
  if (shared_ != nullptr) {
    try {
      shared_->tell();
    } catch (const Error& error) {
      log_.warning(error.what(), {work.job.id, work.job.attempts, work.job.image});
    }
  }
  if (!outcome && work.is_cancelled) outcome = JobOutcome{JobState::Cancelled, "cancelled", ""};
  if (outcome && !outcome->message.empty()) progress.add_line(outcome->message);
  progress.flush();
  return outcome;
}

void JobRunner::tell(const ClaimedJob& work, Queue& queue, JobProgress& progress,
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
