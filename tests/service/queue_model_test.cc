// Thousands of steps in any order, against a simple model of the same rules in memory: after each,
// all that can be seen of the queue is compared. IMAGEWRIGHT_SEED repeats a run,
// IMAGEWRIGHT_STEPS makes it longer.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <random>
#include <sstream>

#include "io/error.h"
#include "queue_fixture.h"

namespace imagewright {
namespace {

using Words = std::set<std::string>;

constexpr std::int64_t kLease = 60'000;
constexpr std::int64_t kAffinity = 30'000;
constexpr std::int64_t kHourMs = 3'600'000;
constexpr int kMostAttempts = 3;

bool waits(const Job& job) {
  return job.state == JobState::Blocked || job.state == JobState::Queued;
}
bool is_active(const Job& job) {
  return !is_final(job.state);
}

struct ModelJob : Job {
  Words given;                               ///< what it was to wait for
  Words behind;                              ///< what it does wait for, as long as it is active
  std::int64_t open_ms = 0;                  ///< when it could first be claimed
  std::map<std::int64_t, std::string> logs;  ///< by fence
  std::map<std::int64_t, std::int64_t> begun_anew;  ///< of a fence: that before
};

struct ModelImage {
  std::string built_by;
  std::optional<std::string> failed_inputs;
  int failures = 0;
  std::int64_t failed_ms = 0;
  Words quarantined;
};

/// The rules, as service/queue.h has them.
class Model {
 public:
  std::int64_t now = 0;
  std::map<std::int64_t, ModelJob> jobs;
  std::map<std::string, ModelImage> images;
  std::map<std::string, std::int64_t> seen;
  std::int64_t last_fence = 0;

  ModelJob* waiting(const std::string& image) {
    return one_of(image, [](const Job& job) { return waits(job); });
  }
  ModelJob* running(const std::string& image) {
    return one_of(image, [](const Job& job) { return job.state == JobState::Running; });
  }
  bool active(const std::string& image) {
    return waiting(image) != nullptr || running(image) != nullptr;
  }
  ModelJob* held(std::int64_t id, std::int64_t fence) {
    const auto found = jobs.find(id);
    if (found == jobs.end() || found->second.state != JobState::Running ||
        found->second.fence != fence)
      return nullptr;
    return &found->second;
  }

  /// `id`: what the store gave a new one.
  EnqueueResult enqueue(const NewJob& given, std::int64_t id) {
    if (images[given.image].quarantined.contains(given.inputs)) return {Enqueued::Quarantined, 0};
    if (ModelJob* const job = waiting(given.image)) {
      const bool same = job->inputs == given.inputs;
      const bool closed = job->state == JobState::Blocked || job->not_before_ms > now;
      const int priority = std::max(job->priority, given.priority);
      fill(*job, given);
      job->priority = priority;
      if (!same) {
        job->not_before_ms = due(given.image, given.inputs);
        job->attempts = 0;
      }
      job->open_ms = std::max(closed ? now : job->open_ms, job->not_before_ms);
      job->behind.clear();
      job->behind = without_circles(given);
      job->state = is_blocked(*job) ? JobState::Blocked : JobState::Queued;
      return {same ? Enqueued::Same : Enqueued::Replaced, job->id};
    }
    const ModelJob* const other = running(given.image);
    if (other != nullptr && other->inputs == given.inputs && !other->cancel_asked)
      return {Enqueued::Same, other->id};
    add(given, id, due(given.image, given.inputs));
    return {Enqueued::New, id};
  }

  bool cancel(std::int64_t id) {
    const auto found = jobs.find(id);
    if (found == jobs.end() || !is_active(found->second)) return false;
    if (found->second.state == JobState::Running) {
      found->second.cancel_asked = true;
    } else {
      end(found->second, JobState::Cancelled, "cancelled", "");
    }
    return true;
  }

  std::int64_t retry(std::int64_t id, std::int64_t fresh) {
    const auto found = jobs.find(id);
    if (found == jobs.end() || found->second.state == JobState::Running) return 0;
    const ModelJob job = found->second;
    images[job.image].quarantined.erase(job.inputs);
    if (ModelJob* const other = waiting(job.image)) {
      if (other->not_before_ms > now) other->open_ms = now;
      other->not_before_ms = 0;
      return other->id;
    }
    NewJob again;
    again.image = job.image;
    again.inputs = job.inputs;
    again.reasons = job.reasons;
    again.details = job.details;
    again.trigger = job.trigger;
    again.priority = job.priority;
    again.needs = job.needs;
    again.waits_for = job.given;
    add(again, fresh, 0);
    return fresh;
  }

  std::int64_t best(const Claimant& claimant) {
    std::vector<const ModelJob*> all;
    for (const auto& [id, job] : jobs) {
      if (job.state != JobState::Queued || job.not_before_ms > now) continue;
      if (running(job.image) != nullptr) continue;
      if (!std::includes(claimant.labels.begin(), claimant.labels.end(), job.needs.begin(),
                         job.needs.end()))
        continue;
      const std::string& builder = images[job.image].built_by;
      const bool alive = seen.contains(builder) && now - seen[builder] <= kLease;
      if (!builder.empty() && builder != claimant.worker && now < job.open_ms + kAffinity && alive)
        continue;
      all.push_back(&job);
    }
    if (all.empty()) return 0;
    return (*std::min_element(all.begin(), all.end(),
                              [](const ModelJob* a, const ModelJob* b) {
                                return std::tuple(-a->priority, a->queued_ms, a->id) <
                                       std::tuple(-b->priority, b->queued_ms, b->id);
                              }))
        ->id;
  }

  void claim(std::int64_t id, const std::string& worker, std::int64_t fence) {
    ModelJob& job = jobs.at(id);
    job.state = JobState::Running;
    ++job.attempts;
    job.fence = last_fence = fence;
    job.worker = worker;
    job.started_ms = now;
    job.lease_until_ms = now + kLease;
    job.logs[fence] = "";
  }

  bool may_claim_again(std::int64_t id, std::int64_t fence) {
    const auto job = jobs.find(id);
    if (job == jobs.end() || job->second.state != JobState::Running) return false;
    std::int64_t its = job->second.fence;
    while (its != fence && job->second.begun_anew.count(its) != 0)
      its = job->second.begun_anew[its];
    return its == fence;
  }
  void claim_again(std::int64_t id, std::int64_t fence) {
    ModelJob& job = jobs.at(id);
    job.begun_anew[fence] = job.fence;
    job.fence = last_fence = fence;
    job.started_ms = now;
    job.lease_until_ms = now + kLease;
    job.logs[fence] = "";
  }

  bool finish(std::int64_t id, std::int64_t fence, const JobOutcome& outcome) {
    ModelJob* const job = held(id, fence);
    if (job == nullptr) return false;
    ModelImage& image = images[job->image];
    if (outcome.state == JobState::Failed) {
      image.failures = image.failed_inputs == job->inputs ? image.failures + 1 : 1;
      image.failed_inputs = job->inputs;
      image.failed_ms = now;
    } else if (outcome.state != JobState::Cancelled) {
      image.failures = 0;
      image.failed_inputs.reset();
      image.quarantined.erase(job->inputs);
      if (outcome.state == JobState::Succeeded) image.built_by = job->worker;
    }
    if (ModelJob* const other = waiting(job->image);
        other != nullptr && outcome.state != JobState::Cancelled)
      other->not_before_ms = due(other->image, other->inputs);
    end(*job, outcome.state, outcome.message, outcome.image_id);
    return true;
  }

  bool hand_back(std::int64_t id, std::int64_t fence) {
    ModelJob* const job = held(id, fence);
    if (job == nullptr) return false;
    if (waiting(job->image) != nullptr) {
      end(*job, JobState::Superseded, "a newer one waits", "");
    } else if (job->cancel_asked) {
      end(*job, JobState::Cancelled, "cancelled", "");
    } else {
      --job->attempts;
      requeue(*job);
    }
    return true;
  }

  Reaped reap() {
    Reaped reaped;
    for (auto& [id, job] : jobs) {
      if (job.state != JobState::Running || job.lease_until_ms > now) continue;
      if (waiting(job.image) != nullptr) {
        end(job, JobState::Superseded, "a newer one waits", "");
        reaped.superseded.push_back(id);
      } else if (job.cancel_asked) {
        end(job, JobState::Cancelled, "cancelled", "");
        reaped.cancelled.push_back(id);
      } else if (job.attempts >= kMostAttempts) {
        images[job.image].quarantined.insert(job.inputs);
        end(job, JobState::Quarantined, "lost " + std::to_string(job.attempts) + " times", "");
        reaped.quarantined.push_back(id);
      } else {
        requeue(job);
        reaped.requeued.push_back(id);
      }
    }
    return reaped;
  }

  std::int64_t prune(int kept) {
    std::map<std::string, int> found;
    std::int64_t gone = 0;
    std::vector<std::int64_t> ids;
    for (auto at = jobs.rbegin(); at != jobs.rend(); ++at) {
      if (is_final(at->second.state) && ++found[at->second.image] > kept) ids.push_back(at->first);
    }
    for (const std::int64_t id : ids) gone += static_cast<std::int64_t>(jobs.erase(id));
    return gone;
  }

  std::optional<std::int64_t> next_due() {
    std::optional<std::int64_t> due;
    for (const auto& [id, job] : jobs) {
      if (job.state != JobState::Queued || job.not_before_ms <= now ||
          running(job.image) != nullptr)
        continue;
      due = std::min(due.value_or(job.not_before_ms), job.not_before_ms);
    }
    return due;
  }

  Words blocking(const ModelJob& job) {
    Words all;
    if (job.state != JobState::Blocked) return all;
    for (const std::string& image : job.behind) {
      if (active(image)) all.insert(image);
    }
    return all;
  }

 private:
  template <typename Test>
  ModelJob* one_of(const std::string& image, Test test) {
    for (auto& [id, job] : jobs) {
      if (job.image == image && test(job)) return &job;
    }
    return nullptr;
  }

  static void fill(ModelJob& job, const NewJob& given) {
    job.image = given.image;
    job.inputs = given.inputs;
    job.reasons = given.reasons;
    job.details = given.details;
    job.trigger = given.trigger;
    job.priority = given.priority;
    job.needs = given.needs;
    job.given = given.waits_for;
  }

  void add(const NewJob& given, std::int64_t id, std::int64_t not_before) {
    ModelJob job;
    fill(job, given);
    job.id = id;
    job.behind = without_circles(given);
    job.queued_ms = now;
    job.not_before_ms = not_before;
    job.open_ms = std::max(now, not_before);
    job.state = is_blocked(job) ? JobState::Blocked : JobState::Queued;
    jobs[id] = job;
    for (auto& [other_id, other] : jobs) {
      if (other.state == JobState::Queued && is_blocked(other)) other.state = JobState::Blocked;
    }
  }

  bool is_blocked(const ModelJob& job) {
    return std::any_of(job.behind.begin(), job.behind.end(),
                       [&](const std::string& image) { return active(image); });
  }

  bool leads_to(const std::string& from, const std::string& to, Words& visited) {
    if (from == to) return true;
    if (!visited.insert(from).second) return false;
    for (const auto& [id, job] : jobs) {
      if (job.image != from || !is_active(job)) continue;
      for (const std::string& next : job.behind) {
        if (leads_to(next, to, visited)) return true;
      }
    }
    return false;
  }

  Words without_circles(const NewJob& given) {
    Words all;
    for (const std::string& image : given.waits_for) {
      Words visited;
      if (!leads_to(image, given.image, visited)) all.insert(image);
    }
    return all;
  }

  std::int64_t due(const std::string& name, const std::string& inputs) {
    const ModelImage& image = images[name];
    if (image.failed_inputs != inputs) return 0;
    static constexpr std::int64_t kHours[] = {0, 0, 1, 2, 4, 8, 16, 32};
    const std::int64_t hours = kHours[std::min(image.failures, 8) - 1];
    return hours == 0 ? 0 : image.failed_ms + hours * kHourMs;
  }

  void requeue(ModelJob& job) {
    job.lease_until_ms = 0;
    job.open_ms = std::max(now, job.not_before_ms);
    job.state = JobState::Queued;
    if (is_blocked(job)) job.state = JobState::Blocked;
  }

  void end(ModelJob& job, JobState state, const std::string& message, const std::string& image_id) {
    job.state = state;
    job.message = message;
    job.image_id = image_id;
    job.finished_ms = now;
    job.lease_until_ms = 0;
    job.cancel_asked = false;
    job.behind.clear();
    std::string why;
    if (state == JobState::Failed || state == JobState::Quarantined) why = job.image + " failed";
    if (state == JobState::Cancelled) why = job.image + " was cancelled";
    after_end(job.image, why);
  }

  void after_end(const std::string& image, const std::string& why) {
    if (active(image)) {
      ModelJob* const other = waiting(image);
      if (other != nullptr && other->state == JobState::Queued)
        other->open_ms = std::max(now, other->not_before_ms);
      return;
    }
    std::vector<ModelJob*> children;
    for (auto& [id, job] : jobs) {
      if (job.state == JobState::Blocked && job.behind.contains(image)) children.push_back(&job);
    }
    for (ModelJob* const child : children) {
      if (child->state != JobState::Blocked) continue;
      if (!why.empty()) {
        child->state = JobState::Skipped;
        child->message = why;
        child->finished_ms = now;
        child->behind.clear();
        after_end(child->image, why);
      } else if (!is_blocked(*child)) {
        child->state = JobState::Queued;
        child->open_ms = std::max(now, child->not_before_ms);
      }
    }
  }
};

std::string shown(const Job& job) {
  std::ostringstream text;
  text << job.id << ' ' << job.image << ' ' << word(job.state) << " inputs=" << job.inputs << ' '
       << job.reasons << ' ' << job.details << ' ' << job.trigger << " p=" << job.priority
       << " needs=";
  for (const std::string& need : job.needs) text << need << ',';
  text << " waits=";
  for (const std::string& image : job.waits_for) text << image << ',';
  text << " attempts=" << job.attempts << " fence=" << job.fence << " worker=" << job.worker
       << " queued=" << job.queued_ms << " not-before=" << job.not_before_ms
       << " started=" << job.started_ms << " lease=" << job.lease_until_ms
       << " finished=" << job.finished_ms << " cancel=" << job.cancel_asked
       << " message=" << job.message << " id=" << job.image_id << " log=" << job.log_bytes;
  return text.str();
}

class QueueModelTest : public QueueFixture {
 protected:
  using Random = std::mt19937_64;

  std::size_t below(std::size_t end) { return static_cast<std::size_t>(random_() % end); }
  template <typename Value>
  const Value& any_of(const std::vector<Value>& values) {
    return values[below(values.size())];
  }
  Words some_of(const std::vector<std::string>& words, std::size_t one_in) {
    Words some;
    for (const std::string& each : words) {
      if (below(one_in) == 0) some.insert(each);
    }
    return some;
  }

  std::int64_t any_id() {
    if (ids_.empty() || below(20) == 0) return 4711 + static_cast<std::int64_t>(below(3));
    return ids_[ids_.size() - 1 - below(std::min<std::size_t>(ids_.size(), 12))];
  }

  struct Holder {
    std::int64_t job, fence;
    std::string log;
  };
  /// Somebody who holds a job, or did: who vanished says nothing more, who was frozen comes back.
  Holder* any_holder() {
    if (holders_.empty()) return nullptr;
    return &holders_[holders_.size() - 1 - below(std::min<std::size_t>(holders_.size(), 10))];
  }

  void acknowledged(std::int64_t id) {
    if (std::find(ids_.begin(), ids_.end(), id) == ids_.end()) {
      EXPECT_GT(id, ids_.empty() ? 0 : *std::max_element(ids_.begin(), ids_.end()));
      ids_.push_back(id);
    }
  }

  std::string step() {
    static const std::vector<std::string> kImages = {"base", "mid", "app", "tool", "top", "x"};
    static const std::vector<std::string> kInputs = {"i1", "i2", "i3"};
    static const std::vector<std::string> kLabels = {"arm", "big"};
    static const std::vector<std::string> kWorkers = {"w1", "w2", "w3"};
    model_.now = now_;
    std::ostringstream said;
    const std::size_t kind = below(100);
    if (kind < 24) {
      NewJob job = job_for(any_of(kImages), any_of(kInputs));
      job.reasons = "r" + std::to_string(below(3));
      job.details = "d" + std::to_string(below(3));
      job.trigger = "t" + std::to_string(below(3));
      job.priority = static_cast<int>(below(4)) - 1;
      job.needs = some_of(kLabels, 4);
      // Mostly what a graph would have; at times anything.
      const auto place = std::find(kImages.begin(), kImages.end(), job.image);
      job.waits_for = below(6) == 0 ? some_of(kImages, 3) : some_of({kImages.begin(), place}, 2);
      said << "enqueue " << job.image << ' ' << job.inputs;
      const EnqueueResult result = queue_->enqueue(job);
      const EnqueueResult expected = model_.enqueue(job, result.job);
      EXPECT_EQ(result.how, expected.how);
      EXPECT_EQ(result.job, expected.job);
      if (result.job != 0) acknowledged(result.job);
    } else if (kind < 46) {
      const Claimant claimant = {any_of(kWorkers), some_of(kLabels, 2)};
      said << "claim " << claimant.worker;
      const std::int64_t expected = model_.best(claimant);
      const std::optional<Job> job = queue_->claim(claimant);
      EXPECT_EQ(job ? job->id : 0, expected);
      if (job && job->id == expected) {
        EXPECT_GT(job->fence, model_.last_fence);
        model_.claim(job->id, claimant.worker, job->fence);
        holders_.push_back({job->id, job->fence, ""});
      }
    } else if (kind < 62) {
      if (Holder* const holder = any_holder()) {
        static const std::vector<JobState> kEnds = {JobState::Succeeded, JobState::Succeeded,
                                                    JobState::UpToDate,  JobState::Failed,
                                                    JobState::Failed,    JobState::Cancelled};
        const JobOutcome outcome = {any_of(kEnds), "m" + std::to_string(below(3)), "sha256:1"};
        said << "finish " << holder->job << ' ' << holder->fence << ' ' << word(outcome.state);
        EXPECT_EQ(queue_->finish(holder->job, holder->fence, outcome),
                  model_.finish(holder->job, holder->fence, outcome));
      }
    } else if (kind < 66) {
      if (Holder* const holder = any_holder()) {
        said << "heartbeat " << holder->job << ' ' << holder->fence;
        const Held held = queue_->heartbeat(holder->job, holder->fence);
        ModelJob* const job = model_.held(holder->job, holder->fence);
        EXPECT_EQ(held.held, job != nullptr);
        EXPECT_EQ(held.cancel_asked, job != nullptr && job->cancel_asked);
        if (job != nullptr) job->lease_until_ms = model_.now + kLease;
      }
    } else if (kind < 69) {
      if (Holder* const holder = any_holder()) {
        const std::string inputs = any_of(kInputs);
        said << "set_inputs " << holder->job << ' ' << holder->fence << ' ' << inputs;
        const Held held = queue_->set_inputs(holder->job, holder->fence, inputs, "r9", "d9");
        ModelJob* const job = model_.held(holder->job, holder->fence);
        EXPECT_EQ(held.held, job != nullptr);
        if (job != nullptr) {
          job->inputs = inputs;
          job->reasons = "r9";
          job->details = "d9";
        }
      }
    } else if (kind < 71) {
      if (Holder* const holder = any_holder()) {
        said << "claim_again " << holder->job << ' ' << holder->fence;
        const std::optional<Job> job = queue_->claim_again(holder->job, holder->fence);
        EXPECT_EQ(job.has_value(), model_.may_claim_again(holder->job, holder->fence));
        if (job) {
          EXPECT_GT(job->fence, model_.last_fence);
          model_.claim_again(job->id, job->fence);
          holders_.push_back({job->id, job->fence, ""});
        }
      }
    } else if (kind < 74) {
      if (Holder* const holder = any_holder()) {
        said << "hand_back " << holder->job << ' ' << holder->fence;
        EXPECT_EQ(queue_->hand_back(holder->job, holder->fence),
                  model_.hand_back(holder->job, holder->fence));
      }
    } else if (kind < 77) {
      if (Holder* const holder = any_holder()) {
        append_log(*holder);
        said << "append_log " << holder->job << ' ' << holder->fence;
      }
    } else if (kind < 80) {
      const std::int64_t id = any_id();
      said << "cancel " << id;
      EXPECT_EQ(queue_->cancel(id), model_.cancel(id));
    } else if (kind < 83) {
      const std::int64_t id = any_id();
      said << "retry " << id;
      const std::int64_t result = queue_->retry(id);
      EXPECT_EQ(result, model_.retry(id, result));
      if (result != 0) acknowledged(result);
    } else if (kind < 88) {
      said << "reap";
      const Reaped reaped = queue_->reap();
      const Reaped expected = model_.reap();
      EXPECT_EQ(reaped.requeued, expected.requeued);
      EXPECT_EQ(reaped.superseded, expected.superseded);
      EXPECT_EQ(reaped.quarantined, expected.quarantined);
      EXPECT_EQ(reaped.cancelled, expected.cancelled);
    } else if (kind < 93) {
      static const std::vector<std::int64_t> kSteps = {
          1, 1000, 10'000, 10'000, 30'000, 30'000, 60'000, 60'001, kHourMs, -5000, -60'000};
      const std::int64_t by = any_of(kSteps);
      said << "clock " << by;
      now_ += by;
    } else if (kind < 97) {
      const std::string worker = any_of(kWorkers);
      said << "record_worker " << worker;
      WorkerRow row;
      row.name = worker;
      queue_->record_worker(row);
      model_.seen[worker] = model_.now;
    } else if (kind < 98) {
      said << "extend_leases";
      queue_->extend_leases("s");
      for (auto& [id, job] : model_.jobs) {
        if (job.state == JobState::Running) job.lease_until_ms = model_.now + kLease;
      }
    } else if (kind < 99) {
      const int kept = static_cast<int>(below(6));
      said << "prune " << kept;
      EXPECT_EQ(queue_->prune(kept), model_.prune(kept));
    } else if (below(5) == 0) {
      said << "open again";
      queue_.reset();
      queue_ = open();
    }
    return said.str();
  }

  void append_log(Holder& holder) {
    const std::string& log = holder.log;
    const std::string piece(1 + below(5), static_cast<char>('a' + below(26)));
    // As it should be, what was sent already with more behind it, or too far on.
    const std::size_t offset = below(4) == 0 ? below(log.size() + 3) : log.size();
    const auto end =
        queue_->append_log(holder.job, holder.fence, static_cast<std::int64_t>(offset), piece);
    ModelJob* const job = model_.held(holder.job, holder.fence);
    EXPECT_EQ(end.has_value(), job != nullptr);
    if (job == nullptr) return;
    std::string& expected = job->logs[holder.fence];
    if (offset <= expected.size() && offset + piece.size() > expected.size())
      expected += piece.substr(expected.size() - offset);
    EXPECT_EQ(end.value_or(-1), static_cast<std::int64_t>(expected.size()));
    holder.log = expected;
    EXPECT_EQ(queue_->read_log(holder.job, 0, 100'000), expected);
  }

  void compare() {
    model_.now = now_;
    JobFilter all;
    all.most = 100'000;
    const std::vector<Job> found = queue_->jobs(all);
    std::map<JobState, std::int64_t> counts;
    std::map<std::string, int> waiting, running;
    ASSERT_EQ(found.size(), model_.jobs.size());
    auto expected = model_.jobs.rbegin();
    for (const Job& job : found) {
      ModelJob& other = (expected++)->second;
      other.waits_for = model_.blocking(other);
      other.log_bytes = other.fence == 0 ? 0 : std::ssize(other.logs[other.fence]);
      EXPECT_EQ(shown(job), shown(other));
      ++counts[job.state];
      if (waits(job)) ++waiting[job.image];
      if (job.state == JobState::Running) ++running[job.image];
    }
    for (const auto& [image, count] : waiting) EXPECT_EQ(count, 1) << image;
    for (const auto& [image, count] : running) EXPECT_EQ(count, 1) << image;
    EXPECT_EQ(queue_->counts(), counts);
    EXPECT_EQ(queue_->next_due_ms(), model_.next_due());
    // Who waits for somebody can always be reached by somebody who waits for none.
    const bool any = !waiting.empty() || !running.empty();
    const bool free = std::any_of(found.begin(), found.end(), [](const Job& job) {
      return job.state == JobState::Queued || job.state == JobState::Running;
    });
    EXPECT_EQ(any, free);
  }

  static std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
  }

  Random random_;
  Model model_;
  std::vector<std::int64_t> ids_;
  std::vector<Holder> holders_;
};

TEST_P(QueueModelTest, AnySequenceDoesWhatTheRulesSay) {
  const std::uint64_t seed = from_environment("IMAGEWRIGHT_SEED", std::random_device()());
  const std::uint64_t steps = from_environment("IMAGEWRIGHT_STEPS", 3000);
  std::printf("IMAGEWRIGHT_SEED=%llu\n", static_cast<unsigned long long>(seed));
  random_.seed(seed);
  std::vector<std::string> said;
  for (std::uint64_t at = 0; at < steps && !HasFailure(); ++at) {
    said.push_back(step());
    compare();
  }
  if (!HasFailure()) return;
  std::string last;
  for (std::size_t at = said.size() - std::min<std::size_t>(said.size(), 30); at < said.size();
       ++at)
    last += said[at] + "\n";
  ADD_FAILURE() << "IMAGEWRIGHT_SEED=" << seed << ", after " << said.size() << " steps:\n" << last;
}

OVER_BOTH_STORES(QueueModelTest);

}  // namespace
}  // namespace imagewright
