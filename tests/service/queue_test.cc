// One test for each rule of service/queue.h, over both stores.
#include "service/queue.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>

#include "io/error.h"
#include "io/sql.h"
#include "queue_fixture.h"

namespace imagewright {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;
using Words = std::set<std::string>;

class QueueTest : public QueueFixture {
 protected:
  std::int64_t put(const NewJob& job) { return queue_->enqueue(job).job; }
  std::int64_t put(const std::string& image, const std::string& inputs = "i1",
                   const Words& waits_for = {}) {
    return put(job_for(image, inputs, waits_for));
  }

  std::optional<Job> claim(const std::string& worker = "w", const Words& labels = {}) {
    return queue_->claim({worker, labels});
  }
  std::string claimed_image(const std::string& worker = "w", const Words& labels = {}) {
    const auto job = claim(worker, labels);
    return job ? job->image : "";
  }

  bool end(const Job& job, JobState state, const std::string& message = "") {
    return queue_->finish(job.id, job.fence, {state, message, ""});
  }
  /// The image's next job is claimed and ends so.
  void run(const std::string& image, JobState state, const std::string& worker = "w") {
    const auto job = claim(worker);
    ASSERT_TRUE(job);
    ASSERT_EQ(job->image, image);
    ASSERT_TRUE(end(*job, state));
  }

  Job get(std::int64_t job) { return queue_->find(job).value(); }
  JobState state(std::int64_t job) { return get(job).state; }

  void see(const std::string& worker) {
    WorkerRow row;
    row.name = worker;
    queue_->record_worker(row);
  }

  void pass(std::int64_t ms) { now_ += ms; }
};

// --- Words

TEST(JobStateTest, WordsComeBack) {
  for (int value = 0; value <= static_cast<int>(JobState::Quarantined); ++value) {
    const auto state = static_cast<JobState>(value);
    EXPECT_EQ(parse_job_state(word(state)), state);
  }
  EXPECT_STREQ(word(JobState::UpToDate), "up-to-date");
  EXPECT_EQ(parse_job_state("else"), std::nullopt);
  EXPECT_FALSE(is_final(JobState::Blocked));
  EXPECT_FALSE(is_final(JobState::Queued));
  EXPECT_FALSE(is_final(JobState::Running));
  EXPECT_TRUE(is_final(JobState::Skipped));
}

// --- Enqueueing

TEST_P(QueueTest, AJobIsAsItWasGiven) {
  NewJob job = job_for("team/app:1 ü", "sha256:aa");
  job.reasons = "content: 1 changed\nargs \"X\"; '$1' ?1 \\x";
  job.details = R"([{"kind":"forced"}])";
  job.trigger = "webhook";
  job.priority = -3;
  job.needs = {"linux/arm64", "big", "a\"b"};
  const EnqueueResult result = queue_->enqueue(job);
  EXPECT_EQ(result.how, Enqueued::New);
  const Job found = get(result.job);
  EXPECT_EQ(found.id, result.job);
  EXPECT_EQ(found.image, job.image);
  EXPECT_EQ(found.state, JobState::Queued);
  EXPECT_EQ(found.inputs, job.inputs);
  EXPECT_EQ(found.reasons, job.reasons);
  EXPECT_EQ(found.details, job.details);
  EXPECT_EQ(found.trigger, job.trigger);
  EXPECT_EQ(found.priority, -3);
  EXPECT_EQ(found.needs, job.needs);
  EXPECT_THAT(found.waits_for, IsEmpty());
  EXPECT_EQ(found.attempts, 0);
  EXPECT_EQ(found.fence, 0);
  EXPECT_EQ(found.worker, "");
  EXPECT_EQ(found.queued_ms, kStart);
  EXPECT_EQ(found.not_before_ms, 0);
  EXPECT_EQ(found.started_ms, 0);
  EXPECT_EQ(found.lease_until_ms, 0);
  EXPECT_EQ(found.finished_ms, 0);
  EXPECT_EQ(found.message, "");
}

TEST_P(QueueTest, WhatIsNoTextIsStoredAsReplacements) {
  NewJob job = job_for("a", "i");
  job.reasons = std::string("x\xff\0y", 4);
  EXPECT_EQ(get(put(job)).reasons, "x\uFFFD\uFFFDy");
}

TEST_P(QueueTest, AQueueIsThereAfterItWasClosed) {
  const std::int64_t id = put("a");
  queue_ = open();
  EXPECT_EQ(state(id), JobState::Queued);
  EXPECT_EQ(claimed_image(), "a");
}

TEST_P(QueueTest, OneThatWaitsIsReplaced) {
  NewJob job = job_for("a", "i1");
  job.priority = 5;
  job.needs = {"x"};
  const std::int64_t first = put(job);
  pass(kSecond);
  NewJob newer = job_for("a", "i2");
  newer.reasons = "r2";
  newer.details = "d2";
  newer.trigger = "t2";
  newer.priority = 2;
  newer.needs = {"y"};
  const EnqueueResult result = queue_->enqueue(newer);
  EXPECT_EQ(result.how, Enqueued::Replaced);
  EXPECT_EQ(result.job, first);
  const Job found = get(first);
  EXPECT_EQ(found.inputs, "i2");
  EXPECT_EQ(found.reasons, "r2");
  EXPECT_EQ(found.details, "d2");
  EXPECT_EQ(found.trigger, "t2");
  EXPECT_EQ(found.priority, 5);
  EXPECT_EQ(found.needs, Words{"y"});
  EXPECT_EQ(found.queued_ms, kStart);
  newer.priority = 9;
  put(newer);
  EXPECT_EQ(get(first).priority, 9);
  EXPECT_EQ(queue_->jobs({}).size(), 1U);
}

TEST_P(QueueTest, AReplacedOneBeginsItsAttemptsAnew) {
  const std::int64_t id = put("a", "i1");
  claim();
  pass(60 * kSecond);
  EXPECT_THAT(queue_->reap().requeued, ElementsAre(id));
  EXPECT_EQ(get(id).attempts, 1);
  put("a", "i1");
  EXPECT_EQ(get(id).attempts, 1);
  put("a", "i2");
  EXPECT_EQ(get(id).attempts, 0);
}

TEST_P(QueueTest, TheSameInputsAreTheSameJob) {
  const std::int64_t id = put("a", "i1");
  EXPECT_EQ(queue_->enqueue(job_for("a", "i1")).how, Enqueued::Same);
  EXPECT_EQ(queue_->enqueue(job_for("a", "i1")).job, id);
  claim();
  const EnqueueResult running = queue_->enqueue(job_for("a", "i1"));
  EXPECT_EQ(running.how, Enqueued::Same);
  EXPECT_EQ(running.job, id);
  const EnqueueResult newer = queue_->enqueue(job_for("a", "i2"));
  EXPECT_EQ(newer.how, Enqueued::New);
  EXPECT_NE(newer.job, id);
}

TEST_P(QueueTest, OneThatWaitsForTheSameInputsIsStillUpdated) {
  const std::int64_t id = put("a", "i1");
  NewJob again = job_for("a", "i1");
  again.priority = 7;
  again.needs = {"x"};
  EXPECT_EQ(queue_->enqueue(again).how, Enqueued::Same);
  EXPECT_EQ(get(id).priority, 7);
  EXPECT_EQ(get(id).needs, Words{"x"});
}

TEST_P(QueueTest, TheNewestInputsReplaceTheWaitingOnesThoughTheyRun) {
  put("a", "i1");
  claim();
  const std::int64_t newer = put("a", "i2");
  const EnqueueResult back = queue_->enqueue(job_for("a", "i1"));
  EXPECT_EQ(back.how, Enqueued::Replaced);
  EXPECT_EQ(back.job, newer);
}

TEST_P(QueueTest, OneThatIsToStopIsNotTheSame) {
  const std::int64_t id = put("a", "i1");
  claim();
  queue_->cancel(id);
  EXPECT_EQ(queue_->enqueue(job_for("a", "i1")).how, Enqueued::New);
}

// --- Blocked

TEST_P(QueueTest, BlockedAsLongAsWhatItWaitsForHasAJob) {
  put("base");
  put("other");
  const std::int64_t id = put("app", "i1", {"base", "other", "none", "app"});
  EXPECT_EQ(state(id), JobState::Blocked);
  EXPECT_EQ(get(id).waits_for, (Words{"base", "other"}));
  EXPECT_EQ(queue_->jobs({}).front().waits_for, (Words{"base", "other"}));
  run("base", JobState::Succeeded);
  EXPECT_EQ(get(id).waits_for, Words{"other"});
  EXPECT_EQ(claimed_image(), "other");
  EXPECT_EQ(claimed_image(), "");
  EXPECT_EQ(state(id), JobState::Blocked);
  const Job running = queue_->jobs({JobState::Running, false, "", 0, 100}).front();
  end(running, JobState::UpToDate);
  EXPECT_EQ(state(id), JobState::Queued);
  EXPECT_THAT(get(id).waits_for, IsEmpty());
  EXPECT_EQ(claimed_image(), "app");
}

TEST_P(QueueTest, WhatItWaitsForMayGetAJobLater) {
  const std::int64_t id = put("app", "i1", {"base"});
  EXPECT_EQ(state(id), JobState::Queued);
  put("base");
  EXPECT_EQ(state(id), JobState::Blocked);
  EXPECT_EQ(claimed_image(), "base");
}

TEST_P(QueueTest, AReplacedOneWaitsForWhatTheNewOneDoes) {
  put("base");
  const std::int64_t id = put("app", "i1", {"base"});
  put("app", "i2", {});
  EXPECT_EQ(state(id), JobState::Queued);
  put("app", "i3", {"base"});
  EXPECT_EQ(state(id), JobState::Blocked);
}

TEST_P(QueueTest, ImagesThatWaitForEachOtherAreNotAllBlocked) {
  put("a", "i", {"c"});
  put("b", "i", {"a"});
  const std::int64_t id = put("c", "i", {"b", "d"});
  EXPECT_EQ(state(id), JobState::Queued);
  run("c", JobState::Succeeded);
  run("a", JobState::Succeeded);
  run("b", JobState::Succeeded);
}

// (A running one could be lost, and would wait again.)
TEST_P(QueueTest, ImagesThatWaitForARunningOneThatWaitsForThemAreNotAllBlocked) {
  const std::int64_t a = put("a", "i", {"b"});
  claim();
  const std::int64_t b = put("b", "i", {"a"});
  EXPECT_EQ(state(b), JobState::Queued);
  pass(60 * kSecond);
  queue_->reap();
  EXPECT_EQ(state(a), JobState::Blocked);
  run("b", JobState::Succeeded);
  run("a", JobState::Succeeded);
}

TEST_P(QueueTest, ANewerJobBlocksTheChildrenStill) {
  put("base", "i1");
  const auto first = claim();
  put("base", "i2");
  const std::int64_t id = put("app", "i1", {"base"});
  end(*first, JobState::Failed);
  EXPECT_EQ(state(id), JobState::Blocked);
  run("base", JobState::Succeeded);
  EXPECT_EQ(state(id), JobState::Queued);
}

TEST_P(QueueTest, WhatStandsOnAFailureIsSkipped) {
  put("base");
  const std::int64_t app = put("app", "i", {"base"});
  const std::int64_t top = put("top", "i", {"app"});
  const std::int64_t free = put("free", "i");
  run("base", JobState::Failed);
  EXPECT_EQ(state(app), JobState::Skipped);
  EXPECT_EQ(get(app).message, "base failed");
  EXPECT_EQ(get(app).finished_ms, kStart);
  EXPECT_EQ(state(top), JobState::Skipped);
  EXPECT_EQ(get(top).message, "base failed");
  EXPECT_EQ(state(free), JobState::Queued);
}

TEST_P(QueueTest, WhatStandsOnACancelledOneIsSkipped) {
  const std::int64_t base = put("base");
  std::int64_t app = put("app", "i", {"base"});
  EXPECT_TRUE(queue_->cancel(base));
  EXPECT_EQ(state(app), JobState::Skipped);
  EXPECT_EQ(get(app).message, "base was cancelled");
  put("base");
  app = put("app", "i", {"base"});
  run("base", JobState::Cancelled);
  EXPECT_EQ(get(app).message, "base was cancelled");
}

TEST_P(QueueTest, ASkippedOneThatRunsBlocksStill) {
  put("app", "i1");
  const auto running = claim();
  put("base");
  const std::int64_t app = put("app", "i2", {"base"});
  const std::int64_t top = put("top", "i", {"app"});
  run("base", JobState::Failed);
  EXPECT_EQ(state(app), JobState::Skipped);
  EXPECT_EQ(state(top), JobState::Blocked);
  end(*running, JobState::Succeeded);
  EXPECT_EQ(state(top), JobState::Queued);
}

// --- Failing again and again

TEST_P(QueueTest, AFailingImageBacksOff) {
  for (const std::int64_t hours : {0, 0, 1, 2, 4, 8, 16, 32, 32, 32}) {
    put("a");
    run("a", JobState::Failed);
    const std::int64_t id = put("a");
    EXPECT_EQ(get(id).not_before_ms, hours == 0 ? 0 : now_ + hours * kHour);
    if (hours == 0) continue;
    EXPECT_EQ(queue_->next_due_ms(), now_ + hours * kHour);
    pass(hours * kHour - 1);
    EXPECT_EQ(claimed_image(), "");
    pass(1);
    EXPECT_EQ(queue_->next_due_ms(), std::nullopt);
  }
}

TEST_P(QueueTest, ItBacksOffFromItsFailureOn) {
  for (int i = 0; i < 3; ++i) {
    put("a");
    run("a", JobState::Failed);
  }
  const std::int64_t failed = now_;
  pass(10 * kSecond);
  EXPECT_EQ(get(put("a")).not_before_ms, failed + kHour);
}

TEST_P(QueueTest, OtherInputsDoNotWait) {
  for (int i = 0; i < 4; ++i) {
    const std::int64_t id = put("a", "bad");
    queue_->retry(id);
    run("a", JobState::Failed);
  }
  const std::int64_t id = put("a", "bad");
  EXPECT_EQ(claimed_image(), "");
  EXPECT_EQ(put("a", "good"), id);
  EXPECT_EQ(get(id).not_before_ms, 0);
  put("a", "bad");
  EXPECT_EQ(get(id).not_before_ms, now_ + 2 * kHour);
  put("a", "good");
  run("a", JobState::Failed);
  // That was the first one with these inputs.
  EXPECT_EQ(get(put("a", "good")).not_before_ms, 0);
  EXPECT_EQ(get(put("a", "bad")).not_before_ms, 0);
}

TEST_P(QueueTest, ASuccessBeginsAnew) {
  for (const JobState good : {JobState::Succeeded, JobState::UpToDate}) {
    for (int i = 0; i < 3; ++i) {
      put("a");
      run("a", JobState::Failed);
    }
    queue_->retry(put("a"));
    run("a", good);
    put("a");
    run("a", JobState::Failed);
    const std::int64_t id = put("a");
    EXPECT_EQ(get(id).not_before_ms, 0);
    queue_->cancel(id);
    put("a");
    run("a", JobState::Succeeded);
  }
}

TEST_P(QueueTest, OneThatWaitsForInputsThatFailMeanwhileBacksOff) {
  for (int i = 0; i < 2; ++i) {
    put("a", "bad");
    run("a", JobState::Failed);
  }
  put("a", "i1");
  const auto job = claim();
  const std::int64_t waiting = put("a", "bad");
  EXPECT_EQ(get(waiting).not_before_ms, 0);
  queue_->set_inputs(job->id, job->fence, "bad", "", "");
  end(*job, JobState::Failed);
  EXPECT_EQ(get(waiting).not_before_ms, now_ + kHour);
}

// --- Cancelling

TEST_P(QueueTest, OneThatWaitsIsCancelledAtOnce) {
  const std::int64_t id = put("a");
  EXPECT_TRUE(queue_->cancel(id));
  EXPECT_EQ(state(id), JobState::Cancelled);
  EXPECT_EQ(get(id).message, "cancelled");
  EXPECT_EQ(get(id).finished_ms, kStart);
  EXPECT_EQ(claimed_image(), "");
  EXPECT_FALSE(queue_->cancel(id));
  EXPECT_FALSE(queue_->cancel(4711));
  EXPECT_EQ(queue_->enqueue(job_for("a")).how, Enqueued::New);
}

TEST_P(QueueTest, WhoHoldsItIsAskedToStop) {
  put("a");
  const auto job = claim();
  EXPECT_FALSE(queue_->heartbeat(job->id, job->fence).cancel_asked);
  EXPECT_TRUE(queue_->cancel(job->id));
  EXPECT_TRUE(queue_->cancel(job->id));
  EXPECT_EQ(state(job->id), JobState::Running);
  EXPECT_TRUE(get(job->id).cancel_asked);
  EXPECT_TRUE(queue_->heartbeat(job->id, job->fence).cancel_asked);
  EXPECT_TRUE(queue_->set_inputs(job->id, job->fence, "i", "", "").cancel_asked);
  EXPECT_TRUE(end(*job, JobState::Cancelled, "stopped"));
  EXPECT_EQ(state(job->id), JobState::Cancelled);
  EXPECT_FALSE(get(job->id).cancel_asked);
  EXPECT_FALSE(queue_->cancel(job->id));
}

// --- Trying again

TEST_P(QueueTest, AnEndedOneIsQueuedAgain) {
  NewJob given = job_for("a", "i1");
  given.priority = 3;
  given.needs = {"x"};
  given.reasons = "r";
  const std::int64_t id = put(given);
  const auto job = claim("w", {"x"});
  end(*job, JobState::Failed, "exit 1");
  const std::int64_t again = queue_->retry(id);
  EXPECT_GT(again, id);
  EXPECT_EQ(get(again).inputs, "i1");
  EXPECT_EQ(get(again).needs, Words{"x"});
  EXPECT_EQ(get(again).priority, 3);
  EXPECT_EQ(get(again).reasons, "r");
  EXPECT_EQ(get(again).attempts, 0);
  EXPECT_EQ(state(again), JobState::Queued);
  EXPECT_EQ(state(id), JobState::Failed);
}

TEST_P(QueueTest, TryingAgainWaitsForNoTime) {
  std::int64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    last = put("a");
    queue_->retry(last);
    run("a", JobState::Failed);
  }
  EXPECT_EQ(get(queue_->retry(last)).not_before_ms, 0);
  EXPECT_EQ(claimed_image(), "a");
}

TEST_P(QueueTest, TheWaitingTimeOfOneThatWaitsIsOver) {
  for (int i = 0; i < 3; ++i) {
    put("a");
    run("a", JobState::Failed);
  }
  const std::int64_t id = put("a");
  EXPECT_EQ(claimed_image(), "");
  EXPECT_EQ(queue_->retry(id), id);
  EXPECT_EQ(queue_->next_due_ms(), std::nullopt);
  // And stays so.
  EXPECT_EQ(queue_->enqueue(job_for("a")).how, Enqueued::Same);
  EXPECT_EQ(claimed_image(), "a");
}

TEST_P(QueueTest, WhatBlocksItStillDoes) {
  put("base");
  const std::int64_t id = put("app", "i", {"base"});
  EXPECT_EQ(queue_->retry(id), id);
  EXPECT_EQ(state(id), JobState::Blocked);
  run("base", JobState::Failed);
  put("base");
  const std::int64_t again = queue_->retry(id);
  EXPECT_NE(again, id);
  EXPECT_EQ(state(again), JobState::Blocked);
}

TEST_P(QueueTest, WhatRunsOrIsNotThereIsNotTriedAgain) {
  const std::int64_t id = put("a");
  claim();
  EXPECT_EQ(queue_->retry(id), 0);
  EXPECT_EQ(queue_->retry(4711), 0);
  EXPECT_EQ(queue_->jobs({}).size(), 1U);
}

TEST_P(QueueTest, TryingAgainGivesTheOneThatWaitsAnyway) {
  const std::int64_t old = put("a", "i1");
  run("a", JobState::Failed);
  const std::int64_t newer = put("a", "i2");
  EXPECT_EQ(queue_->retry(old), newer);
  EXPECT_EQ(get(newer).inputs, "i2");
}

// --- Claiming

TEST_P(QueueTest, WhoClaimsHoldsIt) {
  const std::int64_t id = put("a");
  pass(5);
  const auto job = claim("w1");
  ASSERT_TRUE(job);
  EXPECT_EQ(job->id, id);
  EXPECT_EQ(job->state, JobState::Running);
  EXPECT_EQ(job->attempts, 1);
  EXPECT_GT(job->fence, 0);
  EXPECT_EQ(job->worker, "w1");
  EXPECT_EQ(job->started_ms, kStart + 5);
  EXPECT_EQ(job->lease_until_ms, kStart + 5 + 60 * kSecond);
  EXPECT_EQ(get(id).fence, job->fence);
  EXPECT_EQ(claim("w2"), std::nullopt);
}

TEST_P(QueueTest, FencesRise) {
  std::int64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    put("a");
    put("b");
    for (int j = 0; j < 2; ++j) {
      const auto job = claim();
      EXPECT_GT(job->fence, last);
      last = job->fence;
      if (j == 0) {
        end(*job, JobState::Succeeded);
      } else {
        queue_->hand_back(job->id, job->fence);
        queue_->cancel(job->id);
      }
    }
    queue_->prune(0);
    queue_ = open();
  }
}

TEST_P(QueueTest, TheHighestPriorityThenTheLongestWaitingThenTheLowestId) {
  NewJob job = job_for("late");
  put(job);
  job.image = "late2";
  put(job);
  pass(-kSecond);
  job.image = "early";
  put(job);
  job.image = "high";
  job.priority = 1;
  pass(5 * kSecond);
  put(job);
  job.image = "low";
  job.priority = -1;
  pass(-100 * kSecond);
  put(job);
  EXPECT_EQ(claimed_image(), "high");
  EXPECT_EQ(claimed_image(), "early");
  EXPECT_EQ(claimed_image(), "late");
  EXPECT_EQ(claimed_image(), "late2");
  EXPECT_EQ(claimed_image(), "low");
}

TEST_P(QueueTest, TheOrderIsTheSameAcrossNeedsAndLanes) {
  put("kept");
  run("kept", JobState::Succeeded, "w");
  see("w");
  NewJob job = job_for("any");
  job.priority = 1;
  put(job);
  job.image = "arm";
  job.priority = 3;
  job.needs = {"arm"};
  put(job);
  job.image = "both";
  job.priority = 4;
  job.needs = {"arm", "big"};
  put(job);
  job.image = "kept";
  job.priority = 2;
  job.needs = {};
  put(job);
  EXPECT_EQ(claimed_image("w", {"arm", "more"}), "arm");
  EXPECT_EQ(claimed_image("w", {"arm", "more"}), "kept");
  EXPECT_EQ(claimed_image("w", {"arm", "more"}), "any");
  EXPECT_EQ(claimed_image("w", {"arm", "more"}), "");
  EXPECT_EQ(claimed_image("w", {"arm", "big"}), "both");
}

TEST_P(QueueTest, WhoClaimsHasAllItNeeds) {
  NewJob job = job_for("a");
  job.needs = {"arm", "big"};
  put(job);
  EXPECT_EQ(claimed_image("w", {}), "");
  EXPECT_EQ(claimed_image("w", {"arm"}), "");
  EXPECT_EQ(claimed_image("w", {"armbig", "bi", "x"}), "");
  EXPECT_EQ(claimed_image("w", {"big", "arm", "x"}), "a");
}

TEST_P(QueueTest, OneJobOfAnImageRuns) {
  put("a", "i1");
  const auto job = claim();
  put("a", "i2");
  EXPECT_EQ(claimed_image(), "");
  end(*job, JobState::Failed);
  EXPECT_EQ(claimed_image(), "a");
}

TEST_P(QueueTest, NeitherWhatTimeItIsElsewhereNorAClockThatWentBackHoldsUpWhatIsNew) {
  put("a");
  pass(-10 * kHour);
  EXPECT_EQ(claimed_image(), "a");
}

// --- Affinity

TEST_P(QueueTest, ItIsKeptForWhoBuiltItLast) {
  see("w1");
  put("a", "i1");
  run("a", JobState::Succeeded, "w1");
  const std::int64_t id = put("a", "i2");
  EXPECT_EQ(claimed_image("w2"), "");
  pass(30 * kSecond - 1);
  EXPECT_EQ(claimed_image("w2"), "");
  const auto job = claim("w1");
  ASSERT_TRUE(job);
  EXPECT_EQ(job->id, id);
  end(*job, JobState::Failed);
  put("a", "i3");
  pass(30 * kSecond - 1);
  EXPECT_EQ(claimed_image("w2"), "");
  pass(1);
  EXPECT_EQ(claimed_image("w2"), "a");
}

TEST_P(QueueTest, OnlyASuccessKeepsItForSomebody) {
  see("w1");
  see("w2");
  put("a", "i1");
  run("a", JobState::Succeeded, "w1");
  for (const JobState state : {JobState::Failed, JobState::UpToDate, JobState::Cancelled}) {
    put("a", "i2");
    pass(30 * kSecond);
    run("a", state, "w2");
    see("w1");
    put("a", "i3");
    EXPECT_EQ(claimed_image("w2"), "");
    run("a", state, "w1");
  }
  put("a", "i4");
  pass(30 * kSecond);
  run("a", JobState::Succeeded, "w2");
  see("w2");
  put("a", "i5");
  EXPECT_EQ(claimed_image("w1"), "");
  EXPECT_EQ(claimed_image("w2"), "a");
}

TEST_P(QueueTest, ItIsNotKeptForWhoIsGone) {
  put("a", "i1");
  run("a", JobState::Succeeded, "w1");
  put("a", "i2");  // never heard of him
  EXPECT_EQ(claimed_image("w2"), "a");
  queue_->cancel(1);
  put("b", "i1");
  see("w1");
  run("b", JobState::Succeeded, "w1");
  pass(59 * kSecond);
  put("b", "i2");
  pass(kSecond);
  EXPECT_EQ(claimed_image("w2"), "");
  pass(1);  // not seen for longer than a lease
  EXPECT_EQ(claimed_image("w2"), "b");
}

TEST_P(QueueTest, ItIsKeptAgainForWhoComesBack) {
  see("w1");
  put("a", "i1");
  run("a", JobState::Succeeded, "w1");
  pass(70 * kSecond);
  put("b", "i1");
  EXPECT_EQ(claimed_image("w2"), "b");  // who is gone was noticed
  put("a", "i2");
  see("w1");
  EXPECT_EQ(claimed_image("w2"), "");
  EXPECT_EQ(claimed_image("w1"), "a");
}

TEST_P(QueueTest, ItIsKeptFromWhenItCouldBeClaimed) {
  see("w1");
  put("a", "i1");
  run("a", JobState::Succeeded, "w1");
  // Blocked, and then while its image runs.
  put("base");
  put("a", "i2", {"base"});
  pass(50 * kSecond);
  see("w1");
  EXPECT_EQ(claimed_image("w3"), "base");
  end(queue_->jobs({JobState::Running, false, "", 0, 1}).front(), JobState::Succeeded);
  pass(29 * kSecond);
  EXPECT_EQ(claimed_image("w2"), "");
  pass(kSecond);
  const auto job = claim("w2");
  ASSERT_TRUE(job);
  put("a", "i3");
  pass(50 * kSecond);
  see("w1");
  end(*job, JobState::Failed);
  EXPECT_EQ(claimed_image("w2"), "");
  pass(29 * kSecond);
  EXPECT_EQ(claimed_image("w2"), "");
  pass(kSecond);
  EXPECT_EQ(claimed_image("w2"), "a");
}

TEST_P(QueueTest, ItIsKeptFromTheEndOfItsPause) {
  see("w1");
  put("a", "i1");
  run("a", JobState::Succeeded, "w1");
  for (int i = 0; i < 3; ++i) {
    put("a", "bad");
    run("a", JobState::Failed, "w1");
  }
  put("a", "bad");
  pass(kHour);
  see("w1");
  EXPECT_EQ(claimed_image("w2"), "");
  pass(30 * kSecond);
  EXPECT_EQ(claimed_image("w2"), "a");
}

// --- Holding

TEST_P(QueueTest, AHeartbeatMakesTheLeaseWhole) {
  put("a");
  const auto job = claim();
  pass(59 * kSecond);
  EXPECT_TRUE(queue_->heartbeat(job->id, job->fence).held);
  EXPECT_EQ(get(job->id).lease_until_ms, now_ + 60 * kSecond);
  pass(59 * kSecond);
  EXPECT_TRUE(queue_->reap().empty());
  pass(kSecond);
  EXPECT_FALSE(queue_->reap().empty());
}

TEST_P(QueueTest, WhoIsLateHoldsItAsLongAsNobodyTookIt) {
  put("a");
  const auto job = claim();
  pass(500 * kSecond);
  EXPECT_TRUE(queue_->heartbeat(job->id, job->fence).held);
  EXPECT_TRUE(queue_->reap().empty());
}

TEST_P(QueueTest, WhatALoserSaysChangesNothing) {
  put("a");
  const auto lost = claim("w1");
  queue_->append_log(lost->id, lost->fence, 0, "one");
  pass(60 * kSecond);
  queue_->reap();
  const auto changes_nothing = [&] {
    const Job before = get(lost->id);
    const auto all = queue_->counts();
    EXPECT_FALSE(queue_->heartbeat(lost->id, lost->fence).held);
    EXPECT_FALSE(queue_->set_inputs(lost->id, lost->fence, "i9", "", "").held);
    EXPECT_FALSE(end(*lost, JobState::Succeeded));
    EXPECT_FALSE(end(*lost, JobState::Failed));
    EXPECT_FALSE(queue_->hand_back(lost->id, lost->fence));
    EXPECT_FALSE(queue_->claim_again(lost->id, lost->fence));
    EXPECT_EQ(queue_->append_log(lost->id, lost->fence, 3, "two"), std::nullopt);
    const Job after = get(lost->id);
    EXPECT_EQ(after.state, before.state);
    EXPECT_EQ(after.inputs, before.inputs);
    EXPECT_EQ(after.attempts, before.attempts);
    EXPECT_EQ(after.lease_until_ms, before.lease_until_ms);
    EXPECT_EQ(after.log_bytes, before.log_bytes);
    EXPECT_EQ(queue_->counts(), all);
  };
  changes_nothing();
  const auto job = claim("w2");
  EXPECT_GT(job->fence, lost->fence);
  changes_nothing();
  EXPECT_TRUE(end(*job, JobState::Succeeded));
  changes_nothing();
  // Nor what is said with another's number.
  put("b");
  const auto other = claim("w1");
  EXPECT_FALSE(queue_->finish(other->id, job->fence, {JobState::Failed, "", ""}));
  EXPECT_FALSE(queue_->finish(job->id, other->fence, {JobState::Failed, "", ""}));
}

TEST_P(QueueTest, TheJobIsForTheInputsThatWereFound) {
  put("a", "i1");
  const auto job = claim();
  EXPECT_TRUE(queue_->set_inputs(job->id, job->fence, "i2", "r2", "d2").held);
  EXPECT_EQ(get(job->id).inputs, "i2");
  EXPECT_EQ(get(job->id).reasons, "r2");
  EXPECT_EQ(get(job->id).details, "d2");
  EXPECT_EQ(queue_->enqueue(job_for("a", "i2")).how, Enqueued::Same);
}

TEST_P(QueueTest, ItHasEndedSo) {
  for (const JobState state :
       {JobState::Succeeded, JobState::UpToDate, JobState::Failed, JobState::Cancelled}) {
    put("a", word(state));
    const auto job = claim();
    pass(kSecond);
    EXPECT_TRUE(queue_->finish(job->id, job->fence, {state, "message", "sha256:1"}));
    const Job found = get(job->id);
    EXPECT_EQ(found.state, state);
    EXPECT_EQ(found.message, "message");
    EXPECT_EQ(found.image_id, "sha256:1");
    EXPECT_EQ(found.finished_ms, now_);
    EXPECT_EQ(found.lease_until_ms, 0);
    EXPECT_EQ(found.worker, "w");
    EXPECT_EQ(found.fence, job->fence);
    EXPECT_FALSE(queue_->finish(job->id, job->fence, {state, "", ""}));
  }
}

TEST_P(QueueTest, WhatIsHandedBackWasNoAttempt) {
  put("a");
  const auto job = claim();
  pass(kSecond);
  EXPECT_TRUE(queue_->hand_back(job->id, job->fence));
  const Job found = get(job->id);
  EXPECT_EQ(found.state, JobState::Queued);
  EXPECT_EQ(found.attempts, 0);
  EXPECT_EQ(found.lease_until_ms, 0);
  EXPECT_EQ(found.queued_ms, kStart);
  EXPECT_EQ(claim()->attempts, 1);
}

TEST_P(QueueTest, WhoHoldsItCanBeginAnew) {
  put("a");
  const auto job = claim("w1");
  queue_->append_log(job->id, job->fence, 0, "begun");
  pass(50 * kSecond);
  const auto again = queue_->claim_again(job->id, job->fence);
  ASSERT_TRUE(again);
  EXPECT_GT(again->fence, job->fence);
  EXPECT_EQ(again->id, job->id);
  EXPECT_EQ(again->state, JobState::Running);
  EXPECT_EQ(again->worker, "w1");
  EXPECT_EQ(again->attempts, 1);
  EXPECT_EQ(again->lease_until_ms, now_ + 60 * kSecond);
  EXPECT_EQ(again->log_bytes, 0);
  EXPECT_EQ(queue_->read_log(job->id, 0, 100), "");
  EXPECT_EQ(queue_->read_log(job->id, 0, 100, job->fence), "begun");
  // By the old fence nothing is held any more.
  EXPECT_FALSE(queue_->heartbeat(job->id, job->fence).held);
  EXPECT_TRUE(end(*again, JobState::Succeeded));
  EXPECT_FALSE(queue_->claim_again(again->id, again->fence));
}

// A worker whose server died before it could say what it had begun anew lost the job else.
TEST_P(QueueTest, WhoDidNotHearOfItBeginsAnewOnceMore) {
  put("a");
  const auto job = claim("w1");
  const auto unheard = queue_->claim_again(job->id, job->fence);
  const auto again = queue_->claim_again(job->id, job->fence);
  ASSERT_TRUE(again);
  EXPECT_GT(again->fence, unheard->fence);
  EXPECT_FALSE(queue_->heartbeat(job->id, unheard->fence).held);
  EXPECT_TRUE(queue_->heartbeat(job->id, again->fence).held);
  // But not what was claimed anew: that is another attempt.
  EXPECT_TRUE(queue_->hand_back(again->id, again->fence));
  const auto other = claim("w1");
  EXPECT_FALSE(queue_->claim_again(job->id, job->fence));
  EXPECT_FALSE(queue_->claim_again(job->id, again->fence));
  EXPECT_TRUE(queue_->heartbeat(job->id, other->fence).held);
}

TEST_P(QueueTest, WhatGoesBackMayBeBlocked) {
  put("app", "i", {"base"});
  const auto job = claim();
  put("base");
  EXPECT_TRUE(queue_->hand_back(job->id, job->fence));
  EXPECT_EQ(state(job->id), JobState::Blocked);
  EXPECT_EQ(get(job->id).waits_for, Words{"base"});
}

TEST_P(QueueTest, WhatIsHandedBackEndsWhereANewerOneWaits) {
  put("a", "i1");
  const auto job = claim();
  const std::int64_t newer = put("a", "i2");
  EXPECT_TRUE(queue_->hand_back(job->id, job->fence));
  EXPECT_EQ(state(job->id), JobState::Superseded);
  EXPECT_EQ(state(newer), JobState::Queued);
}

TEST_P(QueueTest, WhatIsHandedBackAndWasToStopIsCancelled) {
  put("a");
  const auto job = claim();
  queue_->cancel(job->id);
  EXPECT_TRUE(queue_->hand_back(job->id, job->fence));
  EXPECT_EQ(state(job->id), JobState::Cancelled);
}

// --- Reaping

TEST_P(QueueTest, WhatIsLostGoesBack) {
  put("a");
  const auto job = claim();
  pass(60 * kSecond - 1);
  EXPECT_TRUE(queue_->reap().empty());
  pass(1);
  EXPECT_THAT(queue_->reap().requeued, ElementsAre(job->id));
  EXPECT_EQ(state(job->id), JobState::Queued);
  EXPECT_EQ(get(job->id).attempts, 1);
  EXPECT_TRUE(queue_->reap().empty());
  EXPECT_EQ(claim()->attempts, 2);
}

TEST_P(QueueTest, WhatIsLostTooOftenIsQuarantined) {
  const std::int64_t id = put("a", "i1");
  const std::int64_t child = put("app", "i", {"a"});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(claim()->id, id);
    pass(60 * kSecond);
    const Reaped reaped = queue_->reap();
    EXPECT_EQ(reaped.requeued.size(), i < 2 ? 1U : 0U);
    EXPECT_EQ(reaped.quarantined.size(), i < 2 ? 0U : 1U);
  }
  EXPECT_EQ(state(id), JobState::Quarantined);
  EXPECT_EQ(get(id).message, "lost 3 times");
  EXPECT_EQ(get(child).message, "a failed");
  const EnqueueResult result = queue_->enqueue(job_for("a", "i1"));
  EXPECT_EQ(result.how, Enqueued::Quarantined);
  EXPECT_EQ(result.job, 0);
  EXPECT_EQ(queue_->enqueue(job_for("b", "i1")).how, Enqueued::New);
  EXPECT_EQ(queue_->enqueue(job_for("a", "i2")).how, Enqueued::New);
  queue_->prune(0);
  EXPECT_EQ(queue_->enqueue(job_for("a", "i1")).how, Enqueued::Quarantined);
}

TEST_P(QueueTest, TryingAgainEndsAQuarantine) {
  times_.most_attempts = 1;
  queue_ = open();
  const std::int64_t id = put("a", "i1");
  claim();
  pass(60 * kSecond);
  EXPECT_THAT(queue_->reap().quarantined, ElementsAre(id));
  EXPECT_EQ(get(id).message, "lost 1 time");
  const std::int64_t again = queue_->retry(id);
  EXPECT_EQ(state(again), JobState::Queued);
  queue_->cancel(again);
  EXPECT_EQ(queue_->enqueue(job_for("a", "i1")).how, Enqueued::New);
}

TEST_P(QueueTest, WhatIsHandedBackIsNotLost) {
  put("a");
  for (int i = 0; i < 5; ++i) {
    const auto job = claim();
    queue_->hand_back(job->id, job->fence);
  }
  claim();
  pass(60 * kSecond);
  EXPECT_EQ(queue_->reap().requeued.size(), 1U);
}

TEST_P(QueueTest, WhatIsLostEndsWhereANewerOneWaitsOrWhereItWasToStop) {
  const std::int64_t a = put("a", "i1");
  const std::int64_t b = put("b", "i1");
  const std::int64_t child = put("app", "i", {"b"});
  claim();
  claim();
  const std::int64_t newer = put("a", "i2");
  queue_->cancel(a);
  queue_->cancel(b);
  pass(60 * kSecond);
  const Reaped reaped = queue_->reap();
  EXPECT_THAT(reaped.superseded, ElementsAre(a));
  EXPECT_THAT(reaped.cancelled, ElementsAre(b));
  EXPECT_THAT(reaped.requeued, IsEmpty());
  EXPECT_EQ(state(a), JobState::Superseded);
  EXPECT_EQ(get(a).message, "a newer one waits");
  EXPECT_EQ(state(b), JobState::Cancelled);
  EXPECT_EQ(get(child).message, "b was cancelled");
  EXPECT_EQ(state(newer), JobState::Queued);
}

TEST_P(QueueTest, AllLeasesAreWholeAgain) {
  put("a");
  put("b");
  claim();
  claim();
  pass(500 * kSecond);
  queue_->extend_leases("s");
  EXPECT_TRUE(queue_->reap().empty());
  pass(60 * kSecond);
  EXPECT_EQ(queue_->reap().requeued.size(), 2U);
}

// Else servers that come and go would keep a dead worker's jobs for ever.
TEST_P(QueueTest, LeasesAreNotExtendedWhereAnotherServerServes) {
  put("a");
  claim();
  for (int i = 1; i <= 6; ++i) {
    pass(10 * kSecond);
    queue_->serve({"s1", "c"});
    queue_->extend_leases("s2");
    EXPECT_EQ(queue_->reap().requeued.size(), i == 6 ? 1U : 0U) << i;
  }
  claim();
  pass(70 * kSecond);
  queue_->extend_leases("s1");  // it alone was there
  EXPECT_TRUE(queue_->reap().empty());
}

// --- Servers

TEST_P(QueueTest, SettingsOfWhoHasServedLongestCountUntilSomebodyReadsOthers) {
  using What = ServerNews::What;
  EXPECT_TRUE(queue_->serve({"a", "old", What::Begins}));
  pass(1);
  EXPECT_FALSE(queue_->serve({"b", "new", What::Begins})) << "one that begins with others";
  EXPECT_TRUE(queue_->serve({"a", "old"}));
  pass(1);
  EXPECT_TRUE(queue_->serve({"a", "newer", What::ReadAnew}));
  EXPECT_FALSE(queue_->serve({"b", "new"}));
  pass(1);
  EXPECT_TRUE(queue_->serve({"b", "newest", What::ReadAnew}));
  EXPECT_FALSE(queue_->serve({"a", "newer"}));
  EXPECT_TRUE(queue_->serve({"a", "newest", What::ReadAnew}));
  EXPECT_TRUE(queue_->serve({"b", "newest"})) << "they are the same";
}

TEST_P(QueueTest, WhoDoesNotServeAnyMoreHasNoSay) {
  using What = ServerNews::What;
  EXPECT_TRUE(queue_->serve({"a", "old", What::Begins}));
  pass(1);
  EXPECT_FALSE(queue_->serve({"b", "new", What::Begins}));
  pass(30 * kSecond - 1);
  EXPECT_TRUE(queue_->serve({"b", "new"})) << "nothing was heard of it for half a lease";
  EXPECT_FALSE(queue_->serve({"a", "old"})) << "it was away";
  queue_->end_serving("b");
  EXPECT_TRUE(queue_->serve({"a", "old"}));
  // One that is started again is not its own other one.
  EXPECT_TRUE(queue_->serve({"a", "changed meanwhile", What::Begins}));
}

// --- What is known

TEST_P(QueueTest, JobsAreFoundTheNewestFirst) {
  const std::int64_t a1 = put("a", "i1");
  run("a", JobState::Failed);
  const std::int64_t a2 = put("a", "i2");
  const std::int64_t b = put("b");
  const std::int64_t c = put("c", "i", {"b"});
  claim();
  const auto ids = [&](const JobFilter& filter) {
    std::vector<std::int64_t> found;
    for (const Job& job : queue_->jobs(filter)) found.push_back(job.id);
    return found;
  };
  JobFilter filter;
  EXPECT_THAT(ids(filter), ElementsAre(c, b, a2, a1));
  filter.most = 2;
  EXPECT_THAT(ids(filter), ElementsAre(c, b));
  filter.before = b;
  EXPECT_THAT(ids(filter), ElementsAre(a2, a1));
  filter = {};
  filter.active = true;
  EXPECT_THAT(ids(filter), ElementsAre(c, b, a2));
  filter.image = "a";
  EXPECT_THAT(ids(filter), ElementsAre(a2));
  filter.active = false;
  EXPECT_THAT(ids(filter), ElementsAre(a2, a1));
  filter.state = JobState::Failed;
  EXPECT_THAT(ids(filter), ElementsAre(a1));
  filter = {};
  filter.state = JobState::Running;
  EXPECT_THAT(ids(filter), ElementsAre(a2));
  filter.most = 0;
  EXPECT_THAT(ids(filter), IsEmpty());
  EXPECT_THAT(queue_->counts(),
              UnorderedElementsAre(Pair(JobState::Failed, 1), Pair(JobState::Running, 1),
                                   Pair(JobState::Queued, 1), Pair(JobState::Blocked, 1)));
  EXPECT_EQ(queue_->find(4711), std::nullopt);
}

TEST_P(QueueTest, NextDueIsOfThoseThatWaitForTheirTimeAlone) {
  EXPECT_EQ(queue_->next_due_ms(), std::nullopt);
  for (int i = 0; i < 4; ++i) {
    queue_->retry(put("a"));
    run("a", JobState::Failed);
  }
  for (int i = 0; i < 3; ++i) {
    put("b");
    run("b", JobState::Failed);
  }
  put("a");
  put("b", "i1");
  EXPECT_EQ(queue_->next_due_ms(), now_ + kHour);
  // One whose image runs does not.
  put("b", "i2");
  claim();
  put("b", "i1");
  EXPECT_EQ(queue_->next_due_ms(), now_ + 2 * kHour);
  // Nor one that is blocked.
  put("base");
  put("a", "i1", {"base"});
  EXPECT_EQ(queue_->next_due_ms(), std::nullopt);
}

TEST_P(QueueTest, EndedOnesAreForgotten) {
  std::vector<std::int64_t> a;
  for (int i = 0; i < 5; ++i) {
    a.push_back(put("a"));
    const auto job = claim();
    queue_->append_log(job->id, job->fence, 0, "log");
    end(*job, JobState::Succeeded);
  }
  const std::int64_t b = put("b");
  run("b", JobState::Succeeded);
  const std::int64_t waiting = put("a");
  const std::int64_t running = put("c");
  claim();
  EXPECT_EQ(queue_->prune(2), 3);
  EXPECT_EQ(queue_->prune(2), 0);
  EXPECT_EQ(queue_->find(a[2]), std::nullopt);
  EXPECT_EQ(queue_->read_log(a[2], 0, 10), "");
  EXPECT_EQ(queue_->read_log(a[3], 0, 10), "log");
  EXPECT_TRUE(queue_->find(b));
  EXPECT_EQ(queue_->prune(0), 3);
  EXPECT_TRUE(queue_->find(waiting));
  EXPECT_TRUE(queue_->find(running));
}

// --- Logs

TEST_P(QueueTest, ALogIsReadFromAnywhere) {
  put("a");
  const auto job = claim();
  EXPECT_EQ(queue_->append_log(job->id, job->fence, 0, "hello "), 6);
  EXPECT_EQ(queue_->append_log(job->id, job->fence, 6, "world"), 11);
  EXPECT_EQ(queue_->append_log(job->id, job->fence, 11, ""), 11);
  EXPECT_EQ(get(job->id).log_bytes, 11);
  EXPECT_EQ(queue_->read_log(job->id, 0, 100), "hello world");
  EXPECT_EQ(queue_->read_log(job->id, 4, 4), "o wo");
  EXPECT_EQ(queue_->read_log(job->id, 6, 100), "world");
  EXPECT_EQ(queue_->read_log(job->id, 11, 100), "");
  EXPECT_EQ(queue_->read_log(job->id, 12, 100), "");
  EXPECT_EQ(queue_->read_log(job->id, 0, 0), "");
  EXPECT_EQ(queue_->read_log(4711, 0, 100), "");
}

TEST_P(QueueTest, WhatIsThereIsNotWrittenAgainAndAGapIsRefused) {
  put("a");
  const auto job = claim();
  EXPECT_EQ(queue_->append_log(job->id, job->fence, 1, "x"), 0);
  EXPECT_EQ(queue_->append_log(job->id, job->fence, 0, "abc"), 3);
  EXPECT_EQ(queue_->append_log(job->id, job->fence, 0, "abc"), 3);
  EXPECT_EQ(queue_->append_log(job->id, job->fence, 0, "XYZde"), 5);
  EXPECT_EQ(queue_->append_log(job->id, job->fence, 1, "no"), 5);
  EXPECT_EQ(queue_->append_log(job->id, job->fence, 6, "gap"), 5);
  EXPECT_EQ(queue_->append_log(job->id, job->fence, -1, "before"), 5);
  EXPECT_EQ(queue_->read_log(job->id, 0, 100), "abcde");
}

TEST_P(QueueTest, ALogHoldsAnyBytes) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i * 7);
  put("a");
  const auto job = claim();
  queue_->append_log(job->id, job->fence, 0, bytes);
  EXPECT_EQ(queue_->read_log(job->id, 0, 10'000), bytes);
}

TEST_P(QueueTest, EachClaimHasALogOfItsOwn) {
  put("a");
  const auto first = claim();
  queue_->append_log(first->id, first->fence, 0, "first");
  pass(60 * kSecond);
  queue_->reap();
  EXPECT_EQ(queue_->read_log(first->id, 0, 100), "first");
  const auto second = claim();
  EXPECT_EQ(second->log_bytes, 0);
  EXPECT_EQ(queue_->read_log(first->id, 0, 100), "");
  queue_->append_log(second->id, second->fence, 0, "2nd");
  EXPECT_EQ(queue_->read_log(first->id, 0, 100), "2nd");
  EXPECT_EQ(queue_->read_log(first->id, 0, 100, first->fence), "first");
  EXPECT_EQ(queue_->read_log(first->id, 0, 100, second->fence), "2nd");
  put("b");
  const auto other = claim();
  EXPECT_EQ(queue_->read_log(other->id, 0, 100, first->fence), "");
}

// --- Workers, deliveries, tokens

TEST_P(QueueTest, WorkersAreKnownAsLastSeen) {
  queue_->record_worker({"w2", {"arm", "big"}, "docker 20", "1.0", 7, false});
  pass(kSecond);
  queue_->record_worker({"w1", {}, "", "", 0, false});
  pass(kSecond);
  queue_->record_worker({"w2", {"arm"}, "docker 21", "1.1", 0, true});
  const std::vector<WorkerRow> rows = queue_->workers();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].name, "w1");
  EXPECT_EQ(rows[0].seen_ms, kStart + kSecond);
  EXPECT_EQ(rows[1].name, "w2");
  EXPECT_EQ(rows[1].labels, Words{"arm"});
  EXPECT_EQ(rows[1].engine, "docker 21");
  EXPECT_EQ(rows[1].version, "1.1");
  EXPECT_EQ(rows[1].seen_ms, kStart + 2 * kSecond);
  EXPECT_TRUE(rows[1].draining);
}

TEST_P(QueueTest, ADeliveryIsNewOnceAWeek) {
  EXPECT_TRUE(queue_->is_new_delivery("d1"));
  EXPECT_FALSE(queue_->is_new_delivery("d1"));
  EXPECT_TRUE(queue_->is_new_delivery("d2"));
  pass(7 * 24 * kHour - 1);
  EXPECT_FALSE(queue_->is_new_delivery("d1"));
  pass(1);
  EXPECT_TRUE(queue_->is_new_delivery("d1"));
}

TEST_P(QueueTest, TokensAreFoundByTheirDigests) {
  queue_->add_token("d1", "admin", "laptop");
  pass(kSecond);
  queue_->add_token("d2", "read", "ci");
  queue_->add_token("d3", "worker", "ci");
  EXPECT_EQ(queue_->find_token("d1")->role, "admin");
  EXPECT_EQ(queue_->find_token("d1")->name, "laptop");
  EXPECT_EQ(queue_->find_token("d1")->created_ms, kStart);
  EXPECT_FALSE(queue_->find_token("d"));
  EXPECT_EQ(queue_->tokens().size(), 3U);
  EXPECT_EQ(queue_->tokens().back().name, "laptop");
  EXPECT_TRUE(queue_->remove_token("ci"));
  EXPECT_FALSE(queue_->remove_token("ci"));
  EXPECT_FALSE(queue_->find_token("d2"));
  EXPECT_FALSE(queue_->find_token("d3"));
  EXPECT_EQ(queue_->tokens().size(), 1U);
}

// --- Waiting

milliseconds time_of(const std::function<void()>& work) {
  const auto begin = steady_clock::now();
  work();
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
}

class QueueWaitTest : public QueueTest {
 protected:
  void SetUp() override {
    QueueTest::SetUp();
    if (queue_) queue_->wait(milliseconds(2000));  // the first one may come back for nothing
  }
};

TEST_P(QueueWaitTest, ItWaits) {
  EXPECT_GE(time_of([&] { queue_->wait(milliseconds(300)); }), milliseconds(290));
}

TEST_P(QueueWaitTest, AnothersChangeEndsIt) {
  const auto other = open();
  for (int round = 0; round < 3; ++round) {
    std::thread thread([&] {
      std::this_thread::sleep_for(milliseconds(50));
      other->enqueue(job_for("a", std::to_string(round)));
    });
    EXPECT_LT(time_of([&] { queue_->wait(milliseconds(20'000)); }), milliseconds(10'000));
    EXPECT_EQ(queue_->jobs({}).front().inputs, std::to_string(round));
    thread.join();
  }
}

TEST_P(QueueWaitTest, AChangeBeforeItEndsIt) {
  const auto other = open();
  other->enqueue(job_for("a"));
  EXPECT_LT(time_of([&] { queue_->wait(milliseconds(20'000)); }), milliseconds(10'000));
}

TEST_P(QueueWaitTest, AnotherThreadUsesTheQueueMeanwhile) {
  std::thread waiting([&] { queue_->wait(milliseconds(20'000)); });
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_LT(time_of([&] {
              put("a");
              waiting.join();
            }),
            milliseconds(10'000));
  EXPECT_EQ(claimed_image(), "a");
}

TEST_P(QueueWaitTest, WakingEndsIt) {
  std::thread thread([&] {
    std::this_thread::sleep_for(milliseconds(50));
    queue_->wake();
  });
  EXPECT_LT(time_of([&] { queue_->wait(milliseconds(20'000)); }), milliseconds(10'000));
  thread.join();
  queue_->wake();
  EXPECT_LT(time_of([&] { queue_->wait(milliseconds(20'000)); }), milliseconds(10'000));
}

TEST_P(QueueWaitTest, AnotherProcessEndsIt) {
  const pid_t child = fork();
  if (child == 0) {
    int status = 1;
    try {
      usleep(50'000);
      open()->enqueue(job_for("a"));
      status = 0;
    } catch (const std::exception&) {
    }
    _exit(status);
  }
  EXPECT_LT(time_of([&] { queue_->wait(milliseconds(20'000)); }), milliseconds(10'000));
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(claimed_image(), "a");
}

OVER_BOTH_STORES(QueueTest);
OVER_BOTH_STORES(QueueWaitTest);

}  // namespace
}  // namespace imagewright
