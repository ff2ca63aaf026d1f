// Has what the queue holds built by workers that call over HTTP (docs/http-api.md, "Workers"):
// claims jobs for them, carries each out as a run of its own whose builds are the worker's, and
// answers their calls.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "run/run.h"
#include "service/builder.h"
#include "service/current.h"
#include "service/fleet_engine.h"
#include "service/http_server.h"
#include "service/job_runner.h"
#include "service/looking.h"
#include "service/packs.h"
#include "service/queue.h"
#include "service/remote_job.h"
#include "service/service_log.h"
#include "service/worker_call.h"

namespace imagewright {

struct RemoteBuilderOptions {
  RunOptions run;  ///< what all jobs have in common
  FleetPlaces places;
  SharedAnswers* shared = nullptr;  ///< with the servers over the same database; borrowed
  std::string server;               ///< our name, which no other server over the same store has
  /// A digest over what decides what is built, and how, here.
  std::function<std::string(const Served&)> settings;
  std::chrono::milliseconds heartbeat{10'000};
  std::chrono::milliseconds longest_call{10'000};  ///< an answer comes after so long at the latest
};

class RemoteBuilder : public Builder {
 public:
  /// Borrows all but the options. `ended` is called when a job has ended, from any thread. The
  /// other servers are told of us (Queue::serve).
  RemoteBuilder(RemoteBuilderOptions options, OpenQueue open, Current& current,
                KnownManifests& known, Packs& packs, Looking& looking, const ServiceLog& log,
                std::function<void()> ended);
  ~RemoteBuilder() override;

  void begin() override;
  void stop_claiming() override;
  /// Lets go of what workers build: they go on, and find another server, or this one again.
  void drain() override;
  std::size_t running() const override;
  bool ends_with_us() const override { return false; }
  void look_at_cancellations() override;

  /// A worker's call. nullopt: there is nothing to tell it yet; then `wait`. Throws Error(Source)
  /// where another process has taken its name since.
  std::optional<Json> answer(Queue& queue, const WorkerCall& call);
  /// Answers it when there is something, or when its time is over.
  void wait(const WorkerCall& call, std::shared_ptr<HttpStream> stream);

  /// The orders of a job that a worker holds by this fence. nullptr: it holds none such here.
  std::shared_ptr<RemoteJob> find(std::int64_t job, std::int64_t fence) const;
  /// A worker stops, and gives a job back. False: it held none such.
  bool hand_back(Queue& queue, std::int64_t job, std::int64_t fence);

 private:
  using Clock = std::chrono::steady_clock;
  struct Work {
    ClaimedJob claimed;
    std::shared_ptr<RemoteJob> orders;
    std::string worker;
    std::int64_t older_fence = 0;  // by which its worker may still know it
  };
  struct Instances {
    std::string last;
    std::set<std::string> before;
  };
  struct Waiting {
    WorkerCall call;
    std::shared_ptr<HttpStream> stream;
    Clock::time_point until;
  };

  void go();
  bool has_untold_settings();
  bool tell_servers(Queue& queue, bool begins);
  void join_all();
  std::vector<std::unique_ptr<Work>> take_ended();
  void try_to_go();
  void answer_waiting(Queue& queue);
  bool give_back(Queue& queue, std::int64_t job, std::int64_t fence);
  void give_back_claimed(Queue& queue, const Json& said);
  void look_after(Queue& queue);
  void join_ended(Queue& queue);
  std::optional<Json> news(Queue& queue, const WorkerCall& call);
  void hear(Queue& queue, const WorkerCall& call);
  bool claim(Queue& queue, const WorkerCall& call);
  bool take_on(Queue& queue, Job job, const WorkerCall& call, std::int64_t older_fence);
  void carry_out(Work& work, const WorkerCall& call);
  void give_back_unnamed(Queue& queue, const WorkerCall& call);
  bool has_older_run(const ClaimedJob& claimed) const;
  void forget_calls(const std::string& worker);
  Work* find_work(std::int64_t job, std::int64_t fence) const;

  RemoteBuilderOptions options_;
  OpenQueue open_;
  Current& current_;
  KnownManifests& known_;
  Packs& packs_;
  Looking& looking_;
  const ServiceLog& log_;
  std::function<void()> ended_;
  JobRunner runner_;
  std::unique_ptr<Queue> queue_;  // the dispatching thread's; any may wake it
  std::vector<std::pair<std::int64_t, std::int64_t>> going_back_;  // jobs, fences: the thread's
  std::mutex settings_mutex_;                                      // of what follows
  std::shared_ptr<const Served> told_;
  std::string settings_;
  std::mutex calls_;                                     // one call is answered at a time
  mutable std::mutex mutex_;                             // of what follows
  std::map<std::int64_t, std::unique_ptr<Work>> works_;  // by fence
  std::map<std::string, Instances> instances_;           // by worker
  std::list<Waiting> waiting_;
  std::atomic<bool> is_draining_{false};
  std::atomic<bool> is_stopped_{false};
  std::atomic<bool> looks_now_{false};
  std::thread thread_;
};

}  // namespace imagewright
