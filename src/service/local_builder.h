// Builds what the queue holds in this process, with the engine of this machine: claims a job when
// there is room for one, and carries it out as a run over its images alone.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "run/run.h"
#include "service/builder.h"
#include "service/current.h"
#include "service/job_runner.h"
#include "service/looking.h"
#include "service/queue.h"
#include "service/service_log.h"

namespace imagewright {

struct LocalBuilderOptions {
  std::string worker;            ///< its name in the queue
  std::set<std::string> labels;  ///< what it has
  RunOptions run;                ///< `jobs`: how much is built at once
  std::chrono::milliseconds heartbeat{10'000};
  std::chrono::milliseconds poll{5'000};  ///< at least so often the queue is looked at
};

class LocalBuilder : public Builder {
 public:
  /// Borrows `current`, `looking` and `log`; the caller holds the state's lock.
  /// `ended` is called when a job has ended, from any thread.
  LocalBuilder(LocalBuilderOptions options, OpenQueue open, const Current& current,
               Looking& looking, const ServiceLog& log, std::function<void()> ended);
  /// As drain.
  ~LocalBuilder() override;

  /// From now on it claims.
  void begin() override;
  /// Claims nothing more. What is being built goes on; after an interrupt (io/interrupt.h) it is
  /// ended and handed back.
  void stop_claiming() override;
  /// The same, and waits until all is done.
  void drain() override;
  /// How many jobs are being carried out.
  std::size_t running() const override;
  bool ends_with_us() const override { return true; }
  /// A job that may be ours is to be cancelled: its holder looks now, and not at the next
  /// heartbeat.
  void look_at_cancellations() override;

 private:
  void go();
  void try_to_go();
  bool claim_one(Queue& queue);
  void begin(std::unique_ptr<ClaimedJob> work);
  void look_after(Queue& queue);
  void join_ended();
  void hand_back(Queue& queue);
  int used() const;

  LocalBuilderOptions options_;
  OpenQueue open_;
  const Current& current_;
  Looking& looking_;
  const ServiceLog& log_;
  std::function<void()> ended_;
  JobRunner runner_;
  std::unique_ptr<Queue> queue_;  // the dispatching thread's; any may wake it
  mutable std::mutex mutex_;
  std::map<std::int64_t, std::unique_ptr<ClaimedJob>> works_;  // by job
  std::unique_ptr<ClaimedJob> next_;                           // claimed, and waits for room
  std::vector<Job> going_back_;                                // whoever had them will not do them
  std::atomic<bool> is_draining_{false};
  std::atomic<bool> looks_now_{false};
  std::thread thread_;
};

}  // namespace imagewright
