#include "service/remote_builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/error.h"
#include "io/interrupt.h"
#include "io/store.h"
#include "service/worker_engine.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;

// Where the store does not answer.
constexpr milliseconds kPause{2'000};
constexpr milliseconds kMostWait{1'000};
constexpr milliseconds kShortWait{20};
constexpr std::size_t kInstancesKept = 16;

const WorkerCall::Hold* hold_of(const WorkerCall& call, std::int64_t job) {
  const auto found = std::find_if(call.holds.begin(), call.holds.end(),
                                  [&](const WorkerCall::Hold& hold) { return hold.job == job; });
  return found == call.holds.end() ? nullptr : &*found;
}

}  // namespace

RemoteBuilder::RemoteBuilder(RemoteBuilderOptions options, OpenQueue open, Current& current,
                             KnownManifests& known, Packs& packs, Looking& looking,
                             const ServiceLog& log, std::function<void()> ended)
    : options_(std::move(options)),
      open_(std::move(open)),
      current_(current),
      known_(known),
      packs_(packs),
      looking_(looking),
      log_(log),
      ended_(std::move(ended)),
      runner_(options_.run, open_, looking, options_.shared, log),
      queue_(open_()) {
  tell_servers(*queue_, true);
}

RemoteBuilder::~RemoteBuilder() {
  drain();
}

void RemoteBuilder::begin() {
  thread_ = std::thread([this] { go(); });
}

void RemoteBuilder::stop_claiming() {
  is_draining_ = true;
  runner_.stop_waiting();
  queue_->wake();
}

void RemoteBuilder::drain() {
  stop_claiming();
  is_stopped_ = true;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, work] : works_) work->claimed.stop = true;
  }
  queue_->wake();
  if (thread_.joinable()) thread_.join();
}

std::size_t RemoteBuilder::running() const {
  const std::lock_guard lock(mutex_);
  return works_.size();
}

void RemoteBuilder::look_at_cancellations() {
  looks_now_ = true;
  queue_->wake();
}

void RemoteBuilder::go() {
  std::string told;
  bool was_away = true;  // (Also before: who holds a job could not be heard until now.)
  while (!is_stopped_ || running() > 0) {
    try {
      // A lease may be over through no fault of his who holds it.
      if (was_away) queue_->extend_leases(options_.server);
      was_away = false;
      told.clear();
      try_to_go();
    } catch (const Error& error) {
      was_away = true;
      if (told != error.what()) log_.error(error.what());
      told = error.what();
      if (is_stopped_) join_all();
      std::this_thread::sleep_for(is_stopped_ ? kShortWait : kPause);
    }
  }
  try {
    queue_->end_serving(options_.server);
  } catch (const Error& error) {
    log_.warning(error.what());
  }
  const std::lock_guard lock(mutex_);
  for (const Waiting& one : waiting_) {
    one.stream->send("{}\n");
    one.stream->close();
  }
  waiting_.clear();
}

// Where the store is away and we end: what they hold is their workers' still.
void RemoteBuilder::join_all() {
  for (const auto& work : take_ended()) work->claimed.thread.join();
}

std::vector<std::unique_ptr<RemoteBuilder::Work>> RemoteBuilder::take_ended() {
  std::vector<std::unique_ptr<Work>> ended;
  const std::lock_guard calls(calls_);  // who is in one may have them in his hands
  const std::lock_guard lock(mutex_);
  for (auto work = works_.begin(); work != works_.end();) {
    if (!work->second->claimed.has_ended) {
      ++work;
      continue;
    }
    ended.push_back(std::move(work->second));
    work = works_.erase(work);
  }
  return ended;
}

// The sooner the others know, the less they do by what they serve themselves.
bool RemoteBuilder::has_untold_settings() {
  const std::lock_guard lock(settings_mutex_);
  return current_.get() != told_;
}

// Tells the others of us. Gives whether what we serve counts.
bool RemoteBuilder::tell_servers(Queue& queue, bool begins) {
  const std::lock_guard lock(settings_mutex_);
  const auto served = current_.get();
  std::string settings = served == told_ ? settings_ : options_.settings(*served);
  const auto what = begins                  ? ServerNews::What::Begins
                    : settings == settings_ ? ServerNews::What::GoesOn
                                            : ServerNews::What::ReadAnew;
  const bool counts = queue.serve({options_.server, settings, what});
  settings_ = std::move(settings);
  told_ = served;
  if (current_.set_counts(counts) != counts) {
    if (counts) {
      log_.info("the servers over this store have the same settings again");
      ended_();
    } else {
      log_.error(
          "another server over this store has another configuration, other options or another "
          "version, and that one counts; nothing is queued or claimed here until they are the "
          "same");
    }
  }
  return counts;
}

void RemoteBuilder::try_to_go() {
  Queue& queue = *queue_;
  auto next_look = Clock::now();
  while (!is_stopped_ || running() > 0) {
    join_ended(queue);
    if (looks_now_.exchange(false) || Clock::now() >= next_look || has_untold_settings()) {
      look_after(queue);
      next_look = Clock::now() + options_.heartbeat;
    }
    answer_waiting(queue);
    queue.wait(kMostWait);
  }
}

void RemoteBuilder::join_ended(Queue& queue) {
  for (const auto& work : take_ended()) {
    ClaimedJob& claimed = work->claimed;
    claimed.thread.join();
    looking_.end(claimed.unit.name, claimed.job.fence);
    // (Where we end, its worker still has it.)
    if (claimed.is_to_go_back && !is_stopped_ && interrupted() == 0)
      going_back_.emplace_back(claimed.job.id, claimed.job.fence);
  }
  while (!going_back_.empty()) {
    queue.hand_back(going_back_.back().first, going_back_.back().second);
    going_back_.pop_back();
  }
}

void RemoteBuilder::look_after(Queue& queue) {
  if (options_.run.remembered != nullptr) options_.run.remembered->drop_old_checkouts();
  tell_servers(queue, false);
  std::vector<Work*> works;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, work] : works_) works.push_back(work.get());
  }
  for (Work* work : works) {
    ClaimedJob& claimed = work->claimed;
    if (claimed.has_ended) continue;
    Held held;
    if (work->orders->has_open_order()) {
      // That its worker is alive is for the worker to say.
      const auto job = queue.find(claimed.job.id);
      held.held = job && job->state == JobState::Running && job->fence == claimed.job.fence;
      held.cancel_asked = held.held && job->cancel_asked;
    } else {
      held = queue.heartbeat(claimed.job.id, claimed.job.fence);
    }
    claimed.take(held);
  }
  const Reaped reaped = queue.reap();
  tell(reaped, "its worker was not heard of any more; it waits again", log_);
  if (!reaped.empty()) ended_();
}

// --- Calls

std::optional<Json> RemoteBuilder::answer(Queue& queue, const WorkerCall& call) {
  const std::lock_guard lock(calls_);
  hear(queue, call);
  return news(queue, call);
}

void RemoteBuilder::wait(const WorkerCall& call, std::shared_ptr<HttpStream> stream) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(
        {call, std::move(stream), Clock::now() + std::min(call.wait, options_.longest_call)});
  }
  queue_->wake();
}

void RemoteBuilder::answer_waiting(Queue& queue) {
  std::list<Waiting> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(waiting_);
  }
  const std::lock_guard lock(calls_);
  for (auto one = all.begin(); one != all.end();) {
    std::optional<Json> said;
    try {
      if (one->stream->is_open()) said = news(queue, one->call);
    } catch (const Error&) {
      const std::lock_guard waiting_lock(mutex_);
      waiting_.splice(waiting_.end(), all);
      throw;
    }
    if (!said && (is_stopped_ || Clock::now() >= one->until)) said = Json::object();
    if (said) {
      const bool is_heard = one->stream->send(dump(*said, false) + "\n");
      one->stream->close();
      if (!is_heard) give_back_claimed(queue, *said);
    }
    one = said || !one->stream->is_open() ? all.erase(one) : std::next(one);
  }
  const std::lock_guard waiting_lock(mutex_);
  waiting_.splice(waiting_.end(), all);
}

void RemoteBuilder::give_back_unnamed(Queue& queue, const WorkerCall& call) {
  std::vector<Work*> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [fence, work] : works_) {
      if (work->worker == call.worker && !work->claimed.has_ended &&
          hold_of(call, work->claimed.job.id) == nullptr)
        all.push_back(work.get());
    }
  }
  for (Work* work : all) {
    // (What is only to be published needs nobody.)
    if (!work->orders->has_open_order() && work->orders->has_ended_order()) continue;
    give_back(queue, work->claimed.job.id, work->claimed.job.fence);
  }
}

// False: its worker held none such.
bool RemoteBuilder::give_back(Queue& queue, std::int64_t job, std::int64_t fence) {
  if (Work* work = find_work(job, fence)) work->claimed.stop = true;
  return queue.hand_back(job, fence);
}

// What was claimed for a worker that is gone.
void RemoteBuilder::give_back_claimed(Queue& queue, const Json& said) {
  const auto claimed = said.find("claimed");
  if (claimed == said.end()) return;
  for (const Json& one : *claimed)
    give_back(queue, one.at("job").get<std::int64_t>(), one.at("fence").get<std::int64_t>());
}

// A worker has one call at a time: those before are nobody's.
void RemoteBuilder::forget_calls(const std::string& worker) {
  const std::lock_guard lock(mutex_);
  for (auto one = waiting_.begin(); one != waiting_.end();) {
    if (one->call.worker != worker) {
      ++one;
      continue;
    }
    one->stream->send("{}\n");
    one->stream->close();
    one = waiting_.erase(one);
  }
}

RemoteBuilder::Work* RemoteBuilder::find_work(std::int64_t job, std::int64_t fence) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [its_fence, work] : works_) {
    if (work->claimed.job.id == job && !work->claimed.has_ended &&
        (its_fence == fence || work->older_fence == fence))
      return work.get();
  }
  return nullptr;
}

// What its call says: who it is, and that it is alive.
void RemoteBuilder::hear(Queue& queue, const WorkerCall& call) {
  auto& [instance, before] = instances_[call.worker];
  if (before.contains(call.instance))
    throw Error(Error::Kind::Source, "another process works as '" + call.worker + "' now");
  forget_calls(call.worker);
  // What an earlier process of its name had begun is begun anew; and who takes no more takes none
  // of what he was not told of.
  if ((!instance.empty() && instance != call.instance) || call.draining)
    give_back_unnamed(queue, call);
  if (instance != call.instance) {
    if (before.size() >= kInstancesKept) before.erase(before.begin());
    if (!instance.empty()) before.insert(instance);
    instance = call.instance;
    log_.info(fmt::format("worker {}: {}, {} at once", call.worker, call.engine, call.jobs));
  }
  queue.record_worker({call.worker, call.labels, call.engine, call.version, 0, call.draining});
  for (const WorkerCall::Hold& hold : call.holds) {
    if (Work* work = find_work(hold.job, hold.fence)) {
      if (work->worker != call.worker) continue;
      work->claimed.take(queue.heartbeat(hold.job, work->claimed.job.fence));
      continue;
    }
    const auto held = queue.find(hold.job);
    if (!held || held->worker != call.worker) continue;
    if (is_draining_) {
      queue.heartbeat(hold.job, hold.fence);
      continue;
    }
    const auto in_one = looking_.in_one();
    if (auto job = queue.claim_again(hold.job, hold.fence)) {
      // Its server ended, or does not hear it.
      log_.info("taken on while " + call.worker + " builds it",
                {job->id, job->attempts, job->image});
      take_on(queue, *std::move(job), call, hold.fence);
    }
  }
}

std::optional<Json> RemoteBuilder::news(Queue& queue, const WorkerCall& call) {
  Json lost = Json::array();
  Json again = Json::array();
  Json orders = Json::array();
  for (const WorkerCall::Hold& hold : call.holds) {
    const Work* work = find_work(hold.job, hold.fence);
    if (work == nullptr || work->worker != call.worker) {
      // (A server that ends tells nobody that he lost a job: the next one will know.)
      if (!is_draining_) lost.push_back({{"job", hold.job}, {"fence", hold.fence}});
      continue;
    }
    const std::int64_t fence = work->claimed.job.fence;
    if (fence != hold.fence)
      again.push_back({{"job", hold.job}, {"fence", hold.fence}, {"new_fence", fence}});
    for (const NamedOrder& one : work->orders->orders_besides(hold.orders)) {
      orders.push_back({{"job", hold.job},
                        {"fence", fence},
                        {"name", one.name},
                        {"open", work->orders->open_orders()},
                        {"order", to_json(one.order)}});
    }
  }
  const auto claimed = [&] {
    Json all = Json::array();
    const std::lock_guard lock(mutex_);
    for (const auto& [fence, work] : works_) {
      const ClaimedJob& its = work->claimed;
      if (work->worker != call.worker || its.has_ended || its.stop ||
          hold_of(call, its.job.id) != nullptr)
        continue;
      all.push_back({{"job", its.job.id}, {"fence", fence}, {"image", its.job.image}});
    }
    return all;
  };
  Json mine = claimed();
  if (lost.empty() && again.empty() && orders.empty() && mine.empty()) {
    const bool may_claim = call.room > 0 && !call.draining && !is_draining_;
    if (!may_claim || !claim(queue, call)) return std::nullopt;
    mine = claimed();
  }
  return Json{{"lost", std::move(lost)},
              {"again", std::move(again)},
              {"claimed", std::move(mine)},
              {"orders", std::move(orders)}};
}

bool RemoteBuilder::claim(Queue& queue, const WorkerCall& call) {
  const auto in_one = looking_.in_one();
  while (current_.counts()) {
    auto job = queue.claim({call.worker, call.labels});
    if (!job) break;
    if (take_on(queue, *std::move(job), call, 0)) return true;
  }
  return false;
}

// False: there is nothing of it to be done any more, and it has ended; or nothing here, and it
// waits again.
bool RemoteBuilder::take_on(Queue& queue, Job job, const WorkerCall& call,
                            std::int64_t older_fence) {
  auto served = current_.get();
  const Unit* unit = served->units.find(job.image);
  if (unit == nullptr) {
    // (Another server may have read a newer configuration just now.)
    if (tell_servers(queue, false)) {
      queue.finish(job.id, job.fence, not_configured());
    } else {
      queue.hand_back(job.id, job.fence);
    }
    return false;
  }
  auto work = std::make_unique<Work>();
  work->claimed.unit = *unit;
  work->claimed.served = served;
  work->claimed.weight = call.jobs;
  work->worker = call.worker;
  work->orders = std::make_shared<RemoteJob>([this] { queue_->wake(); });
  work->older_fence = older_fence;
  const std::int64_t fence = job.fence;
  looking_.begin(unit->name, fence);
  work->claimed.job = std::move(job);
  Work& its = *work;
  {
    const std::lock_guard lock(mutex_);
    works_[fence] = std::move(work);
  }
  its.claimed.thread = std::thread([this, &its, call] {
    carry_out(its, call);
    its.claimed.has_ended = true;
    queue_->wake();
    ended_();
  });
  return true;
}

bool RemoteBuilder::has_older_run(const ClaimedJob& claimed) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(works_.begin(), works_.end(), [&](const auto& work) {
    const ClaimedJob& other = work.second->claimed;
    return other.unit.name == claimed.unit.name && work.first < claimed.job.fence &&
           !other.has_ended;
  });
}

// In a thread of its own.
void RemoteBuilder::carry_out(Work& work, const WorkerCall& call) {
  const Job& job = work.claimed.job;
  // (One that was lost or given back may not have noticed yet.)
  while (has_older_run(work.claimed)) std::this_thread::sleep_for(kShortWait);
  WorkerRun run;
  run.job = job.id;
  run.fence = job.fence;
  run.worker = call.worker;
  run.engine = call.engine;
  run.takes_directories = call.takes_directories;
  const Project& project = work.claimed.served->project;
  runner_.carry_out(work.claimed, [&] {
    Store store = read_store(project);
    return std::make_unique<WorkerEngine>(project, known_, store, packs_, *work.orders,
                                          options_.places, run);
  });
}

std::shared_ptr<RemoteJob> RemoteBuilder::find(std::int64_t job, std::int64_t fence) const {
  const std::lock_guard lock(mutex_);
  const auto found = works_.find(fence);
  if (found == works_.end() || found->second->claimed.job.id != job) return nullptr;
  return found->second->orders;
}

bool RemoteBuilder::hand_back(Queue& queue, std::int64_t job, std::int64_t fence) {
  const std::lock_guard lock(calls_);
  // (Who does that takes no more.)
  if (Work* work = find_work(job, fence)) forget_calls(work->worker);
  return give_back(queue, job, fence);
}

}  // namespace imagewright
