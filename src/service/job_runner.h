// Carries out one claimed job as a run over its images alone, and tells the queue what came of it.
// Knows nothing of who claims jobs, and when.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "run/run.h"
#include "service/current.h"
#include "service/looking.h"
#include "service/queue.h"
#include "service/service_log.h"
#include "service/shared_answers.h"

namespace imagewright {

class JobProgress;

/// Opens one more connection to the one queue. From any thread.
using OpenQueue = std::function<std::unique_ptr<Queue>()>;

/// A claimed job while it is carried out. The thread is whoever's who has it.
struct ClaimedJob {
  Job job;
  Unit unit;
  std::shared_ptr<const Served> served;
  int weight = 1;
  std::atomic<bool> stop{false};          ///< to become true where it is lost, or is to end
  std::atomic<bool> is_cancelled{false};  ///< before that: it is to end as that
  std::atomic<bool> has_ended{false};
  bool is_to_go_back = false;  ///< read when it has ended: he who carried it out did not finish it
  std::thread thread;

  /// What the queue says of it.
  void take(const Held& held) {
    if (held.cancel_asked) is_cancelled = true;
    if (!held.held || held.cancel_asked) stop = true;
  }
};

/// Of a job whose images left the configuration since it was queued.
inline JobOutcome not_configured() {
  return {JobState::UpToDate, "it is not in the configuration any more", ""};
}

/// Tells what reaping found. `requeued`: why something waits again.
void tell(const Reaped& reaped, const char* requeued, const ServiceLog& log);

class JobRunner {
 public:
  /// Borrows `looking`, `shared` (nullptr: there is nobody to share with) and `log`. `run`: what
  /// all jobs have in common.
  JobRunner(RunOptions run, OpenQueue open, Looking& looking, SharedAnswers* shared,
            const ServiceLog& log)
      : run_(std::move(run)),
        open_(std::move(open)),
        looking_(looking),
        shared_(shared),
        log_(log) {}

  /// Nobody waits for what is missing any more.
  void stop_waiting() { is_draining_ = true; }

  /// To the job's end, or until it is lost or is to go back. Several threads may, each its own job.
  /// `make_engine`: as RunOptions'.
  void carry_out(ClaimedJob& job, const std::function<std::unique_ptr<Engine>()>& make_engine = {});

 private:
  std::optional<JobOutcome> build(ClaimedJob& job, JobProgress& progress,
                                  const std::function<std::unique_ptr<Engine>()>& make_engine);
  void tell(const ClaimedJob& job, Queue& queue, JobProgress& progress, const JobOutcome& outcome);
  bool is_held(const ClaimedJob& job);
  bool until_done(const ClaimedJob& job, const std::function<void()>& step);

  RunOptions run_;
  OpenQueue open_;
  Looking& looking_;
  SharedAnswers* shared_;
  const ServiceLog& log_;
  std::atomic<bool> is_draining_{false};
};

}  // namespace imagewright
