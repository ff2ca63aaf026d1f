// The queue's stores: several processes and threads at once, what is killed, what is broken, and
// many jobs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>
#include <mutex>
#include <thread>

#include "io/error.h"
#include "io/fd.h"
#include "io/sql.h"
#include "io/store.h"
#include "queue_fixture.h"
#include "service/queue_schema.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::Missing);
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  return "nothing was thrown";
}

class QueueStoreTest : public QueueFixture {
 protected:
  fs::path file() const { return directory_ / ".builder.state.db.queue"; }

  std::unique_ptr<SqlConnection> connect() {
    return GetParam() == StoreKind::PostgreSql ? open_postgresql(url_, "tests")
                                               : open_sqlite(file(), "the queue", "");
  }

  void in_threads(int count, const std::function<void(int)>& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([&work, i] {
        try {
          work(i);
        } catch (const std::exception& error) {
          ADD_FAILURE() << error.what();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  /// A process that tells over the pipe which jobs it was promised, until it is killed.
  pid_t enqueueing(int pipe, int round) {
    const pid_t child = fork();
    if (child != 0) return child;
    try {
      const auto queue = open();
      for (int i = 0;; ++i) {
        const std::string image = std::to_string(round) + "-" + std::to_string(i);
        const std::int64_t id = queue->enqueue(job_for(image)).job;
        if (write(pipe, &id, sizeof id) != sizeof id) _exit(1);
      }
    } catch (const std::exception& error) {
      std::fprintf(stderr, "in the child: %s\n", error.what());
    }
    _exit(1);
  }
};

// --- Several at once

TEST_P(QueueStoreTest, EachJobIsDoneOnceByManyAtOnce) {
  constexpr int kJobs = 300;
  constexpr int kThreads = 6;
  std::mutex mutex;
  std::map<std::int64_t, int> done;
  std::set<std::int64_t> fences;
  std::atomic<int> finished = 0;
  const auto deadline = steady_clock::now() + std::chrono::seconds(100);
  in_threads(kThreads + 2, [&](int number) {
    const auto queue = open();
    if (number < 2) {  // these bring the jobs, while others do them already
      for (int i = number; i < kJobs; i += 2) {
        NewJob job = job_for("image" + std::to_string(i));
        if (i >= 20) job.waits_for = {"image" + std::to_string(i % 20)};
        if (i % 3 == 0) job.needs = {"big"};
        queue->enqueue(job);
      }
      return;
    }
    WorkerRow row;
    row.name = "w" + std::to_string(number);
    queue->record_worker(row);
    while (finished < kJobs && steady_clock::now() < deadline) {
      const auto job = queue->claim({row.name, {"big"}});
      if (!job) {
        queue->reap();
        queue->wait(milliseconds(50));
        continue;
      }
      EXPECT_TRUE(queue->heartbeat(job->id, job->fence).held);
      queue->append_log(job->id, job->fence, 0, "log");
      EXPECT_TRUE(queue->finish(job->id, job->fence, {JobState::Succeeded, "", ""}));
      EXPECT_FALSE(queue->finish(job->id, job->fence, {JobState::Succeeded, "", ""}));
      ++finished;
      const std::lock_guard lock(mutex);
      ++done[job->id];
      EXPECT_TRUE(fences.insert(job->fence).second);
    }
  });
  EXPECT_EQ(done.size(), static_cast<std::size_t>(kJobs));
  for (const auto& [id, times] : done) EXPECT_EQ(times, 1) << id;
  EXPECT_EQ(queue_->counts()[JobState::Succeeded], kJobs);
  EXPECT_EQ(queue_->counts().size(), 1U);
}

TEST_P(QueueStoreTest, ManyEnqueueTheSameImageAtOnce) {
  std::atomic<int> fresh = 0;
  in_threads(6, [&](int number) {
    const auto queue = open();
    for (int i = 0; i < 20; ++i) {
      const auto result =
          queue->enqueue(job_for("a", std::to_string(number) + "-" + std::to_string(i)));
      fresh += result.how == Enqueued::New ? 1 : 0;
    }
  });
  EXPECT_EQ(fresh, 1);
  EXPECT_EQ(queue_->jobs({}).size(), 1U);
}

// Who gets a lease back and who takes it away: one of them wins, and the other one knows.
TEST_P(QueueStoreTest, ALeaseIsKeptOrLostButNotBoth) {
  for (int round = 0; round < 20; ++round) {
    queue_->enqueue(job_for("a"));
    const auto job = queue_->claim({"w", {}});
    ASSERT_TRUE(job);
    now_ += 60 * kSecond;
    std::atomic<int> winners = 0;
    in_threads(3, [&](int number) {
      const auto queue = open();
      if (number == 0) {
        winners += queue->finish(job->id, job->fence, {JobState::Succeeded, "", ""}) ? 1 : 0;
      } else {
        winners += static_cast<int>(queue->reap().requeued.size());
      }
    });
    EXPECT_EQ(winners, 1);
    for (const Job& left : queue_->jobs({JobState::Queued, false, "", 0, 10}))
      queue_->cancel(left.id);
  }
}

TEST_P(QueueStoreTest, AFreshStoreIsOpenedByManyAtOnce) {
  queue_.reset();
  if (GetParam() == StoreKind::PostgreSql) {
    url_ = PostgresServer::of_this_program().fresh_database();
  } else {
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(file().string() + suffix);
  }
  in_threads(6, [&](int number) { open()->enqueue(job_for(std::to_string(number))); });
  EXPECT_EQ(connect()->run("SELECT count(*) FROM queue_version").at(0).number(0), 1);
  EXPECT_EQ(open()->jobs({}).size(), 6U);
}

// --- Killed

TEST_P(QueueStoreTest, WhatAKilledProcessWasPromisedIsThere) {
  for (int round = 0; round < 5; ++round) {
    int ends[2] = {};
    ASSERT_EQ(pipe(ends), 0);
    const Fd reading(ends[0]);
    Fd writing(ends[1]);
    const pid_t child = enqueueing(writing.get(), round);
    writing.reset();
    std::vector<std::int64_t> promised;
    std::int64_t id = 0;
    while (read(reading.get(), &id, sizeof id) == sizeof id) {
      promised.push_back(id);
      if (promised.size() == static_cast<std::size_t>(10 + round * 7)) kill(child, SIGKILL);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_GE(promised.size(), 10U);
    const auto other = open();
    for (const std::int64_t job : promised) EXPECT_TRUE(other->find(job)) << job;
  }
  // Nor does what it left behind stop anybody.
  EXPECT_TRUE(queue_->claim({"w", {}}));
}

class PostgresqlQueueTest : public QueueStoreTest {};

TEST_P(PostgresqlQueueTest, WhatAKilledServerPromisedIsThere) {
  std::vector<std::int64_t> promised;
  std::atomic<bool> stop = false;
  std::atomic<int> errors = 0;
  std::thread enqueueing([&] {
    for (int i = 0; !stop; ++i) {
      try {
        promised.push_back(queue_->enqueue(job_for("image" + std::to_string(i))).job);
      } catch (const Error&) {
        ++errors;
        std::this_thread::sleep_for(milliseconds(20));
      }
    }
  });
  // (Where one of its processes dies so, it kills all others and recovers.)
  for (int killed = 0; killed < 4;) {
    try {
      const SqlRows rows = PostgresServer::of_this_program().administrator().run(
          "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND "
          "pid <> pg_backend_pid() AND query LIKE '%queue%' LIMIT 1");
      if (!rows.empty() && kill(static_cast<pid_t>(rows.at(0).number(0)), SIGKILL) == 0) ++killed;
    } catch (const Error&) {
    }
    std::this_thread::sleep_for(milliseconds(300));
  }
  std::this_thread::sleep_for(milliseconds(500));
  stop = true;
  enqueueing.join();
  EXPECT_GT(errors, 0);
  EXPECT_GT(promised.size(), 10U);
  std::unique_ptr<Queue> other;
  for (int attempt = 0; !other && attempt < 200; ++attempt) {
    try {
      PostgresServer::of_this_program().administrator().run("SELECT 1");
      other = open();
    } catch (const Error&) {
      std::this_thread::sleep_for(milliseconds(50));
    }
  }
  ASSERT_TRUE(other);
  for (const std::int64_t job : promised) EXPECT_TRUE(other->find(job)) << job;
}

// --- Broken

TEST_P(QueueStoreTest, AnOlderOneIsUpgradedWithWhatItHolds) {
  const std::int64_t id = queue_->enqueue(job_for("a")).job;
  const auto job = queue_->claim({"w", {}});
  queue_.reset();
  connect()->script(
      "DROP TABLE queue_server; ALTER TABLE queue_claim DROP COLUMN instead_of; "
      "DELETE FROM queue_version; INSERT INTO queue_version (version, since_ms) VALUES (1, 5);");
  queue_ = open();
  EXPECT_EQ(queue_->find(id)->state, JobState::Running);
  EXPECT_TRUE(queue_->claim_again(id, job->fence));
  EXPECT_TRUE(queue_->serve({"s", "c"}));
  EXPECT_EQ(connect()->run("SELECT count(*) FROM queue_version").at(0).number(0), 2);
}

TEST_P(QueueStoreTest, ANewerVersionIsRefused) {
  connect()->run("INSERT INTO queue_version (version, since_ms) VALUES (99, 0)");
  EXPECT_THAT(
      message_of([&] { open(); }),
      AllOf(
          HasSubstr("was written by a newer imagewright (queue version 99; this one knows up to " +
                    std::to_string(kQueueVersion) + ")"),
          HasSubstr(GetParam() == StoreKind::PostgreSql ? "PostgreSQL" : file().string())));
}

TEST_P(QueueStoreTest, AMissingTableIsSaid) {
  connect()->script("DROP TABLE queue_log;");
  queue_->enqueue(job_for("a"));
  const auto job = queue_->claim({"w", {}});
  EXPECT_THAT(message_of([&] { queue_->append_log(job->id, job->fence, 0, "x"); }),
              HasSubstr("queue_log"));
}

class SqliteQueueTest : public QueueStoreTest {
 protected:
  void write_file(const std::string& bytes) {
    queue_.reset();
    std::ofstream(file(), std::ios::binary) << bytes;
  }
};

TEST_P(SqliteQueueTest, ItsFilesAreNeverPartOfAContext) {
  queue_->enqueue(job_for("a"));
  int count = 0;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    EXPECT_THAT(Store::file_names(), Contains(entry.path().filename().string()));
    ++count;
  }
  EXPECT_EQ(count, 3);
  queue_.reset();
  EXPECT_THAT(Store::file_names(), Contains(file().filename().string()));
}

TEST_P(SqliteQueueTest, TheDirectoryIsMade) {
  open_sqlite_queue(directory_ / "a" / "b")->enqueue(job_for("a"));
  EXPECT_TRUE(fs::exists(directory_ / "a" / "b" / ".builder.state.db.queue"));
}

TEST_P(SqliteQueueTest, WhatIsNoQueueIsSaid) {
  write_file(std::string(10'000, 'x'));
  EXPECT_THAT(message_of([&] { open(); }), AllOf(HasSubstr("the queue '" + file().string() +
                                                           "' is damaged (file is not a "
                                                           "database); move it away")));
}

TEST_P(SqliteQueueTest, ADamagedOneIsSaid) {
  for (int i = 0; i < 300; ++i) queue_->enqueue(job_for("image" + std::to_string(i)));
  queue_.reset();
  const auto size = fs::file_size(file());
  {
    std::fstream stream(file(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(4096);
    stream << std::string(size - 4096, '\x55');
  }
  EXPECT_THAT(message_of([&] {
                const auto queue = open();
                for (int i = 0; i < 300; ++i) queue->enqueue(job_for("image" + std::to_string(i)));
              }),
              AllOf(HasSubstr(file().string()), HasSubstr("is damaged")));
}

TEST_P(SqliteQueueTest, OneThatIsCutShortIsSaid) {
  for (int i = 0; i < 300; ++i) queue_->enqueue(job_for("image" + std::to_string(i)));
  queue_.reset();
  const auto size = fs::file_size(file());
  for (const auto left : {size / 2, size - 4096, size - 100}) {
    fs::copy_file(file(), directory_ / "whole", fs::copy_options::overwrite_existing);
    fs::resize_file(file(), left);
    EXPECT_THAT(message_of([&] { open(); }), HasSubstr("is damaged")) << left << " of " << size;
    fs::rename(directory_ / "whole", file());
  }
  EXPECT_EQ(open()->jobs({JobState::Queued, false, "", 0, 1000}).size(), 300U);
}

TEST_P(SqliteQueueTest, WhatCannotBeWrittenIsSaid) {
  queue_.reset();
  const auto in_child = [&](const std::function<void()>& work) {
    int ends[2] = {};
    EXPECT_EQ(pipe(ends), 0);
    const Fd reading(ends[0]);
    Fd writing(ends[1]);
    const pid_t child = fork();
    if (child == 0) {
      std::string message = "not another user";
      if (geteuid() != 0 || setresuid(65534, 65534, 65534) == 0) message = message_of(work);
      const bool written = write_at(writing.get(), 0, "") &&
                           write(writing.get(), message.data(), message.size()) > 0;
      _exit(written ? 0 : 1);
    }
    writing.reset();
    std::string message(1000, '\0');
    const ssize_t size = read(reading.get(), message.data(), message.size());
    message.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    waitpid(child, nullptr, 0);
    return message;
  };
  fs::permissions(file(), fs::perms(0444));
  fs::permissions(directory_, fs::perms(0555));
  EXPECT_THAT(in_child([&] { open(); }),
              AllOf(HasSubstr("the queue '" + file().string() + "'"),
                    AnyOf(HasSubstr("cannot be written"), HasSubstr("readonly"))));
  fs::permissions(directory_, fs::perms(0755));
  fs::remove(file());
  fs::permissions(directory_, fs::perms(0555));
  EXPECT_THAT(in_child([&] { open(); }),
              HasSubstr("cannot use the queue '" + file().string() + "'"));
  EXPECT_THAT(in_child([&] { open_sqlite_queue(directory_ / "below"); }),
              HasSubstr("cannot create the state directory"));
  fs::permissions(directory_, fs::perms(0755));
  fs::create_directory(file());
  EXPECT_THAT(message_of([&] { open(); }), HasSubstr("cannot use the queue"));
}

// --- Many jobs

/// What SQLite did, in steps of its machine, since it was asked last; of all connections that are
/// opened from now on.
std::uint64_t steps_taken() {
  static std::atomic<std::uint64_t> steps = 0;
  static const bool traced = [] {
    const auto trace = [](sqlite3* database, char**, const void*) {
      return sqlite3_trace_v2(
          database, SQLITE_TRACE_PROFILE,
          [](unsigned, void*, void* statement, void*) {
            steps += static_cast<std::uint64_t>(sqlite3_stmt_status(
                static_cast<sqlite3_stmt*>(statement), SQLITE_STMTSTATUS_VM_STEP, 1));
            return 0;
          },
          nullptr);
    };
    int (*const hook)(sqlite3*, char**, const void*) = trace;
    return sqlite3_auto_extension(reinterpret_cast<void (*)()>(hook)) == SQLITE_OK;
  }();
  EXPECT_TRUE(traced);
  return steps.exchange(0);
}

class QueueScaleTest : public QueueStoreTest {
 protected:
  /// How many rows and entries of indexes were read, or what comes to that.
  std::int64_t read_since_last() {
    if (GetParam() == StoreKind::Sqlite) return static_cast<std::int64_t>(steps_taken());
    queue_.reset();  // its numbers are told in the end
    std::this_thread::sleep_for(milliseconds(200));
    const auto sql = connect();
    const std::int64_t read =
        sql->run(
               "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = "
               "current_schema())::bigint + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes "
               "WHERE schemaname = current_schema())::bigint")
            .at(0)
            .number(0);
    queue_ = open();
    const std::int64_t before = std::exchange(read_, read);
    return read - before;
  }

  /// What a life of a few jobs costs.
  std::int64_t cost() {
    read_since_last();
    for (int i = 0; i < 20; ++i) {
      NewJob job = job_for("more" + std::to_string(i));
      job.waits_for = {"base"};
      queue_->enqueue(job);
      const auto claimed = queue_->claim({"w2", {"a"}});
      EXPECT_TRUE(claimed);
      queue_->heartbeat(claimed->id, claimed->fence);
      queue_->append_log(claimed->id, claimed->fence, 0, "log");
      queue_->finish(claimed->id, claimed->fence, {JobState::Succeeded, "", ""});
      queue_->claim({"w3", {"none"}});
      queue_->reap();
      queue_->next_due_ms();
    }
    return read_since_last();
  }

  void build(const std::string& image, JobState state) {
    NewJob job = job_for(image);
    job.priority = 9;
    queue_->enqueue(job);
    const auto claimed = queue_->claim({"w1", {}});
    ASSERT_TRUE(claimed);
    ASSERT_EQ(claimed->image, image);
    queue_->finish(claimed->id, claimed->fence, {state, "", ""});
  }

  /// Jobs of each kind that a claim has to pass by.
  void fill(int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string number = std::to_string(i);
      for (int failure = 0; failure < 3; ++failure) build("delayed" + number, JobState::Failed);
      build("kept" + number, JobState::Succeeded);
      for (const char* kind : {"delayed", "kept", "blocked", "other"}) {
        NewJob job = job_for(kind + number);
        job.priority = 1;
        if (job.image.starts_with("blocked")) job.waits_for = {"blocking"};
        if (job.image.starts_with("other")) job.needs = {"b"};
        queue_->enqueue(job);
      }
      NewJob later = job_for("later" + number);
      later.priority = -1;
      later.needs = {"a"};
      queue_->enqueue(later);
    }
  }

  std::int64_t read_ = 0;
};

TEST_P(QueueScaleTest, WhatItCostsDoesNotRiseWithHowManyWait) {
  steps_taken();
  queue_ = open();
  WorkerRow row;
  row.name = "w1";
  queue_->record_worker(row);
  queue_->enqueue(job_for("blocking"));
  ASSERT_EQ(queue_->claim({"w1", {}})->image, "blocking");
  fill(0, 10);
  const std::int64_t few = cost();
  fill(10, 210);
  const std::int64_t many = cost();
  EXPECT_GT(few, 0);
  EXPECT_LT(many, few * 2) << few;
  // Nor with what the database knows by now.
  connect()->run("ANALYZE");
  queue_.reset();
  queue_ = open();
  EXPECT_LT(cost(), few * 2) << few;
}

OVER_BOTH_STORES(QueueStoreTest);
OVER_BOTH_STORES(QueueScaleTest);
INSTANTIATE_TEST_SUITE_P(PostgreSql, PostgresqlQueueTest, testing::Values(StoreKind::PostgreSql),
                         kind_name);
INSTANTIATE_TEST_SUITE_P(Sqlite, SqliteQueueTest, testing::Values(StoreKind::Sqlite), kind_name);

}  // namespace
}  // namespace imagewright
