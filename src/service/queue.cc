// The queue's rules, once for both databases. Whatever changes which jobs there are is done under
// one lock; only to claim, and what who holds a job says of it, is not, and touches one row.
#include "service/queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/sql.h"
#include "service/queue_schema.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr std::pair<JobState, const char*> kStateWords[] = {
    {JobState::Blocked, "blocked"},       {JobState::Queued, "queued"},
    {JobState::Running, "running"},       {JobState::Succeeded, "succeeded"},
    {JobState::UpToDate, "up-to-date"},   {JobState::Failed, "failed"},
    {JobState::Skipped, "skipped"},       {JobState::Cancelled, "cancelled"},
    {JobState::Superseded, "superseded"}, {JobState::Quarantined, "quarantined"},
};

constexpr const char* kAdvice = "move it away, and what is to be built is found again";
constexpr const char* kChannel = "imagewright_queue";

constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kDeliveriesKeptMs = 7 * 24 * kHourMs;

/// So many rows by their ids at once.
constexpr std::size_t kChunk = 50;

// How each is found is not left to a planner, which may know the tables from when they were empty:
// what could be a join is a subquery for one row each, by an index made for that.
#define WAITS "state IN ('blocked', 'queued')"
#define ACTIVE "state IN ('blocked', 'queued', 'running')"
#define HAS_JOB(image)                                                                         \
  "((SELECT p.id FROM queue_job p WHERE p.image = " image                                      \
  " AND p.state IN ('blocked', 'queued')) IS NOT NULL OR (SELECT p.id FROM queue_job p WHERE " \
  "p.image = " image " AND p.state = 'running') IS NOT NULL)"
#define IS_BLOCKED \
  "(SELECT count(*) FROM queue_wait w WHERE w.job = queue_job.id AND " HAS_JOB("w.image") ") > 0"

// --- Lists of words in one field

std::string packed(const std::set<std::string>& words) {
  return nlohmann::json(words).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::set<std::string> unpacked(const std::string& text) {
  const nlohmann::json list = nlohmann::json::parse(text, nullptr, false);
  return list.is_array() ? list.get<std::set<std::string>>() : std::set<std::string>();
}

// --- Jobs as they are stored

#define JOB_COLUMNS                                                                        \
  "j.id, j.image, j.state, j.inputs, j.reasons, j.details, j.cause, j.priority, j.needs, " \
  "j.attempts, j.fence, j.worker, j.queued_ms, j.not_before_ms, j.started_ms, "            \
  "j.lease_until_ms, j.finished_ms, j.cancel_asked, j.message, j.image_id, "               \
  "(SELECT c.log_bytes FROM queue_claim c WHERE c.fence = j.fence)"

Job job_of(const SqlRow& row) {
  Job job;
  std::size_t at = 0;
  job.id = row.number(at++);
  job.image = row.text(at++);
  job.state = parse_job_state(row.text(at++)).value_or(JobState::Failed);
  job.inputs = row.text(at++);
  job.reasons = row.text(at++);
  job.details = row.text(at++);
  job.trigger = row.text(at++);
  job.priority = static_cast<int>(row.number(at++));
  job.needs = unpacked(row.text(at++));
  job.attempts = static_cast<int>(row.number(at++));
  job.fence = row.number(at++);
  job.worker = row.text(at++);
  job.queued_ms = row.number(at++);
  job.not_before_ms = row.number(at++);
  job.started_ms = row.number(at++);
  job.lease_until_ms = row.number(at++);
  job.finished_ms = row.number(at++);
  job.cancel_asked = row.number(at++) != 0;
  job.message = row.text(at++);
  job.image_id = row.text(at++);
  job.log_bytes = row.number(at++);
  return job;
}

/// How long an image that failed so often in a row with the same inputs is left alone.
std::int64_t pause_after(std::int64_t failures) {
  if (failures <= 2) return 0;
  return kHourMs * (std::int64_t{1} << std::min<std::int64_t>(failures - 3, 5));
}

// By whom a job may be claimed now (`lane`, `turn_ms`: service/queue_schema.cc). ?1: now; ?2: how
// long it is kept for who built the image last.
#define KEPT                                                                                      \
  "open_ms + ?2 > ?1 AND EXISTS (SELECT 1 FROM queue_worker w WHERE w.name = queue_job.kept_for " \
  "AND w.alive = 1)"
#define PLACE                                                                                   \
  "UPDATE queue_job SET "                                                                       \
  "lane = CASE WHEN state <> 'queued' OR not_before_ms > ?1 THEN NULL WHEN " KEPT               \
  " THEN kept_for ELSE '' END, "                                                                \
  "turn_ms = CASE WHEN state <> 'queued' THEN NULL WHEN not_before_ms > ?1 THEN not_before_ms " \
  "WHEN " KEPT " THEN open_ms + ?2 ELSE NULL END "

// What of it the lane does not say for certain, and what else is asked of a job. ?1: now; ?2: how
// long it is kept; ?3: who claims; ?4: since when a worker must have been seen to count.
#define CLAIMABLE                                                                             \
  "j.not_before_ms <= ?1 AND (j.kept_for = '' OR j.kept_for = ?3 OR j.open_ms + ?2 <= ?1 OR " \
  "coalesce((SELECT w.seen_ms FROM queue_worker w WHERE w.name = j.kept_for), 0) < ?4) "      \
  "AND (SELECT r.id FROM queue_job r WHERE r.image = j.image AND r.state = 'running') IS NULL"

class SqlQueue final : public Queue {
 public:
  SqlQueue(std::unique_ptr<SqlConnection> sql, const QueueTimes& times)
      : sql_(std::move(sql)),
        times_(times),
        for_update_(sql_->dialect() == SqlConnection::Dialect::Postgresql ? " FOR UPDATE" : ""),
        skip_locked_(sql_->dialect() == SqlConnection::Dialect::Postgresql
                         ? " FOR UPDATE OF j SKIP LOCKED"
                         : "") {}

  // --- What is to be done

  EnqueueResult enqueue(const NewJob& job) override {
    return change([&] { return put(job); });
  }

  bool cancel(std::int64_t id) override {
    return change([&] {
      const auto job = locked(id);
      if (!job || is_final(job->state)) return false;
      if (job->state == JobState::Running) {
        sql_->run("UPDATE queue_job SET cancel_asked = 1 WHERE id = ?1", {id});
      } else {
        end(*job, JobState::Cancelled, "cancelled", "");
      }
      sql_->announce();
      return true;
    });
  }

  std::int64_t retry(std::int64_t id) override {
    return change([&]() -> std::int64_t {
      const auto job = locked(id);
      if (!job || job->state == JobState::Running) return 0;
      sql_->run("DELETE FROM queue_quarantine WHERE image = ?1 AND inputs = ?2",
                {job->image, job->inputs});
      const auto waiting = waiting_of(job->image);
      if (waiting) {
        sql_->run(
            "UPDATE queue_job SET open_ms = CASE WHEN not_before_ms > ?2 THEN ?2 ELSE open_ms END, "
            "not_before_ms = 0 WHERE id = ?1",
            {waiting->id, now_});
        place(waiting->id);
        sql_->announce();
        return waiting->id;
      }
      NewJob again;
      again.image = job->image;
      again.inputs = job->inputs;
      again.reasons = job->reasons;
      again.details = job->details;
      again.trigger = job->trigger;
      again.priority = job->priority;
      again.needs = job->needs;
      again.waits_for = unpacked(
          sql_->run("SELECT waits_for FROM queue_job WHERE id = ?1", {id}).front().text(0));
      return insert(again, 0);
    });
  }

  // --- Who does it

  std::optional<Job> claim(const Claimant& claimant) override {
    std::optional<Job> claimed;
    transaction([&] {
      claimed.reset();
      open_lanes();
      const auto id = next_for(claimant);
      if (!id) return;
      const std::int64_t fence = new_fence(*id, claimant.worker, 0);
      sql_->run(
          "UPDATE queue_job SET state = 'running', attempts = attempts + 1, fence = ?2, "
          "worker = ?3, started_ms = ?4, lease_until_ms = ?5, lane = NULL, turn_ms = NULL "
          "WHERE id = ?1",
          {*id, fence, claimant.worker, now_, now_ + times_.lease.count()});
      sql_->announce();
      claimed = read(*id);
    });
    return claimed;
  }

  Held heartbeat(std::int64_t job, std::int64_t fence) override {
    Held held;
    transaction([&] {
      held =
          held_of(sql_->run("UPDATE queue_job SET lease_until_ms = ?3 WHERE id = ?1 AND "
                            "fence = ?2 AND state = 'running' RETURNING cancel_asked",
                            {job, fence, now_ + times_.lease.count()}));
    });
    return held;
  }

  std::optional<Job> claim_again(std::int64_t id, std::int64_t fence) override {
    std::optional<Job> claimed;
    transaction([&] {
      claimed.reset();
      const auto job = locked(id);
      if (!job || job->state != JobState::Running || !continues(job->fence, fence)) return;
      sql_->run(
          "UPDATE queue_job SET fence = ?2, started_ms = ?3, lease_until_ms = ?4 WHERE id = ?1",
          {id, new_fence(id, job->worker, job->fence), now_, now_ + times_.lease.count()});
      sql_->announce();
      claimed = read(id);
    });
    return claimed;
  }

  Held set_inputs(std::int64_t job, std::int64_t fence, const std::string& inputs,
                  const std::string& reasons, const std::string& details) override {
    Held held;
    transaction([&] {
      held = held_of(
          sql_->run("UPDATE queue_job SET inputs = ?3, reasons = ?4, details = ?5 WHERE id = ?1 "
                    "AND fence = ?2 AND state = 'running' RETURNING cancel_asked",
                    {job, fence, inputs, reasons, details}));
      if (held.held) sql_->announce();
    });
    return held;
  }

  bool finish(std::int64_t id, std::int64_t fence, const JobOutcome& outcome) override {
    assert(outcome.state == JobState::Succeeded || outcome.state == JobState::UpToDate ||
           outcome.state == JobState::Failed || outcome.state == JobState::Cancelled);
    return change([&] {
      const auto job = locked(id);
      if (!job || job->state != JobState::Running || job->fence != fence) return false;
      remember(*job, outcome.state);
      end(*job, outcome.state, outcome.message, outcome.image_id);
      sql_->announce();
      return true;
    });
  }

  bool hand_back(std::int64_t id, std::int64_t fence) override {
    return change([&] {
      const auto job = locked(id);
      if (!job || job->state != JobState::Running || job->fence != fence) return false;
      if (!ended_without_another_try(*job)) {
        sql_->run("UPDATE queue_job SET attempts = attempts - 1 WHERE id = ?1", {id});
        requeue(id);
      }
      sql_->announce();
      return true;
    });
  }

  Reaped reap(Leases leases) override {
    return change([&] {
      Reaped reaped;
      const std::int64_t over_ms =
          leases == Leases::AreOver ? std::numeric_limits<std::int64_t>::max() : now_;
      const SqlRows lost = sql_->run(
          "SELECT id FROM queue_job WHERE state = 'running' AND lease_until_ms <= ?1 ORDER BY id",
          {over_ms});
      for (const SqlRow& row : lost) {
        const auto job = locked(row.number(0));
        // Heard of meanwhile.
        if (!job || job->state != JobState::Running || job->lease_until_ms > over_ms) continue;
        if (const auto ended = ended_without_another_try(*job)) {
          (*ended == JobState::Superseded ? reaped.superseded : reaped.cancelled)
              .push_back(job->id);
        } else if (job->attempts >= times_.most_attempts) {
          sql_->run(
              "INSERT INTO queue_quarantine (image, inputs) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
              {job->image, job->inputs});
          end(*job, JobState::Quarantined,
              fmt::format("lost {} {}", job->attempts, job->attempts == 1 ? "time" : "times"), "");
          reaped.quarantined.push_back(job->id);
        } else {
          requeue(job->id);
          reaped.requeued.push_back(job->id);
        }
      }
      if (!reaped.empty()) sql_->announce();
      return reaped;
    });
  }

  void extend_leases(const std::string& server) override {
    change([&] {
      sql_->run(
          "UPDATE queue_job SET lease_until_ms = ?1 WHERE state = 'running' AND "
          "(SELECT count(*) FROM queue_server WHERE seen_ms > ?2 AND name <> ?3) = 0",
          {now_ + times_.lease.count(), alive_since(), server});
      return true;
    });
  }

  bool serve(const ServerNews& news) override {
    return change([&] {
      check_version();
      const bool begins = news.what == ServerNews::What::Begins;
      const std::int64_t read_ms = news.what == ServerNews::What::ReadAnew ? now_ : 0;
      sql_->run(
          "INSERT INTO queue_server (name, settings, since_ms, read_ms, seen_ms) "
          "VALUES (?1, ?2, ?3, ?4, ?3) ON CONFLICT (name) DO UPDATE SET "
          "settings = excluded.settings, seen_ms = excluded.seen_ms, "
          "since_ms = CASE WHEN ?5 = 1 OR queue_server.seen_ms <= ?6 THEN excluded.since_ms "
          "ELSE queue_server.since_ms END, "
          "read_ms = CASE WHEN ?5 = 1 OR excluded.read_ms > 0 THEN excluded.read_ms "
          "ELSE queue_server.read_ms END",
          {news.name, news.settings, now_, read_ms, std::int64_t{begins}, alive_since()});
      return sql_->run(
                     "SELECT settings FROM queue_server WHERE seen_ms > ?1 "
                     "ORDER BY read_ms DESC, since_ms, name LIMIT 1",
                     {alive_since()})
                 .front()
                 .text(0) == sql_text(news.settings);
    });
  }

  void end_serving(const std::string& server) override {
    change([&] {
      sql_->run("DELETE FROM queue_server WHERE name = ?1", {server});
      return true;
    });
  }

  // --- What is known

  std::int64_t now_ms() override {
    std::int64_t now = 0;
    look([&] { now = now_; });
    return now;
  }

  std::optional<Job> find(std::int64_t job) override {
    std::optional<Job> found;
    look([&] { found = read(job); });
    return found;
  }

  std::vector<Job> jobs(const JobFilter& filter) override {
    std::string sql = "SELECT " JOB_COLUMNS " FROM queue_job j WHERE 1 = 1";
    std::vector<SqlValue> values;
    const auto add = [&](const char* condition, SqlValue value) {
      values.push_back(std::move(value));
      sql += fmt::format(" AND {} ?{}", condition, values.size());
    };
    if (filter.state) add("j.state =", word(*filter.state));
    if (filter.active) sql += " AND j." ACTIVE;
    if (!filter.image.empty()) add("j.image =", filter.image);
    if (filter.before > 0) add("j.id <", filter.before);
    values.emplace_back(std::int64_t{std::max(filter.most, 0)});
    sql += fmt::format(" ORDER BY j.id DESC LIMIT ?{}", values.size());
    std::vector<Job> found;
    look([&] {
      found.clear();
      for (const SqlRow& row : sql_->run(sql, values)) found.push_back(job_of(row));
      if (found.empty()) return;
      std::map<std::int64_t, Job*> by_id;
      for (Job& job : found) by_id[job.id] = &job;
      for (const SqlRow& row : sql_->run("SELECT w.job, w.image FROM queue_wait w WHERE w.job >= "
                                         "?1 AND w.job <= ?2 AND " HAS_JOB("w.image"),
                                         {found.back().id, found.front().id})) {
        const auto blocked = by_id.find(row.number(0));
        if (blocked != by_id.end() && blocked->second->state == JobState::Blocked)
          blocked->second->waits_for.insert(row.text(1));
      }
    });
    return found;
  }

  std::map<JobState, std::int64_t> counts() override {
    std::map<JobState, std::int64_t> counts;
    look([&] {
      counts.clear();
      for (const SqlRow& row : sql_->run("SELECT state, count(*) FROM queue_job GROUP BY state")) {
        if (const auto state = parse_job_state(row.text(0))) counts[*state] = row.number(1);
      }
    });
    return counts;
  }

  std::optional<std::int64_t> next_due_ms() override {
    std::optional<std::int64_t> due;
    look([&] {
      due.reset();
      const SqlRows rows = sql_->run(
          "SELECT j.not_before_ms FROM queue_job j WHERE j.state = 'queued' AND "
          "j.not_before_ms > 0 AND j.not_before_ms > ?1 AND (SELECT r.id FROM queue_job r WHERE "
          "r.image = j.image AND r.state = 'running') IS NULL ORDER BY j.not_before_ms LIMIT 1",
          {now_});
      if (!rows.empty()) due = rows.front().number(0);
    });
    return due;
  }

  std::int64_t prune(int kept_of_each_image) override {
    return change([&] {
      const std::vector<std::int64_t> ids = ids_of(sql_->run(
          "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY image ORDER BY id DESC) AS "
          "place FROM queue_job WHERE NOT (" ACTIVE ")) AS ended WHERE place > ?1",
          {std::int64_t{std::max(kept_of_each_image, 0)}}));
      run_for(ids, "DELETE FROM queue_job WHERE ", {});
      return static_cast<std::int64_t>(ids.size());
    });
  }

  // --- Logs

  std::optional<std::int64_t> append_log(std::int64_t job, std::int64_t fence, std::int64_t offset,
                                         std::string_view bytes) override {
    std::optional<std::int64_t> end;
    transaction([&] {
      end.reset();
      const SqlRows rows = sql_->run(
          "SELECT c.log_bytes FROM queue_job j JOIN queue_claim c ON c.fence = j.fence "
          "WHERE j.id = ?1 AND j.fence = ?2 AND j.state = 'running'" +
              for_update_,
          {job, fence});
      if (rows.empty()) return;
      const std::int64_t begins = rows.front().number(0);
      const auto size = static_cast<std::int64_t>(bytes.size());
      end = begins;
      if (offset < 0 || offset > begins || offset + size <= begins) return;
      end = offset + size;
      const std::string_view fresh = bytes.substr(static_cast<std::size_t>(begins - offset));
      sql_->run("INSERT INTO queue_log (fence, begins, bytes) VALUES (?1, ?2, ?3)",
                {fence, begins, SqlBytes{std::string(fresh)}});
      sql_->run("UPDATE queue_claim SET log_bytes = ?2 WHERE fence = ?1", {fence, *end});
      sql_->announce();
    });
    return end;
  }

  std::string read_log(std::int64_t job, std::int64_t offset, std::size_t most,
                       std::int64_t fence) override {
    std::string log;
    offset = std::max<std::int64_t>(offset, 0);
    look([&] {
      log.clear();
      const SqlRows claims =
          sql_->run(fence == 0 ? "SELECT fence FROM queue_job WHERE id = ?1 AND fence >= ?2"
                               : "SELECT fence FROM queue_claim WHERE job = ?1 AND fence = ?2",
                    {job, fence});
      if (claims.empty()) return;
      std::int64_t at = offset;
      // A piece at a time: `most` may be far less than there is.
      while (log.size() < most) {
        const SqlRows pieces = sql_->run(
            "SELECT begins, bytes FROM queue_log WHERE fence = ?1 AND begins <= ?2 "
            "ORDER BY begins DESC LIMIT 1",
            {claims.front().number(0), at});
        if (pieces.empty()) return;
        const auto skipped = static_cast<std::size_t>(at - pieces.front().number(0));
        const std::string& bytes = pieces.front().text(1);
        if (skipped >= bytes.size()) return;
        log.append(bytes, skipped, most - log.size());
        at = offset + static_cast<std::int64_t>(log.size());
      }
    });
    return log;
  }

  // --- Workers, deliveries, tokens

  void record_worker(const WorkerRow& worker) override {
    transaction([&] {
      sql_->run(
          "INSERT INTO queue_worker (name, labels, engine, version, seen_ms, draining, alive) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1) ON CONFLICT (name) DO UPDATE SET "
          "labels = excluded.labels, engine = excluded.engine, version = excluded.version, "
          "seen_ms = excluded.seen_ms, draining = excluded.draining, alive = 1",
          {worker.name, packed(worker.labels), worker.engine, worker.version, now_,
           std::int64_t{worker.draining}});
    });
  }

  std::vector<WorkerRow> workers() override {
    std::vector<WorkerRow> workers;
    look([&] {
      workers.clear();
      for (const SqlRow& row : sql_->run("SELECT name, labels, engine, version, seen_ms, draining "
                                         "FROM queue_worker ORDER BY name")) {
        workers.push_back({row.text(0), unpacked(row.text(1)), row.text(2), row.text(3),
                           row.number(4), row.number(5) != 0});
      }
    });
    return workers;
  }

  bool is_new_delivery(const std::string& id) override {
    bool is_new = false;
    transaction([&] {
      sql_->run("DELETE FROM queue_delivery WHERE seen_ms <= ?1", {now_ - kDeliveriesKeptMs});
      is_new = !sql_->run(
                        "INSERT INTO queue_delivery (id, seen_ms) VALUES (?1, ?2) "
                        "ON CONFLICT DO NOTHING RETURNING seen_ms",
                        {id, now_})
                    .empty();
    });
    return is_new;
  }

  void add_token(const std::string& digest, const std::string& role,
                 const std::string& name) override {
    transaction([&] {
      sql_->run(
          "INSERT INTO queue_token (digest, role, name, created_ms) VALUES (?1, ?2, ?3, ?4) "
          "ON CONFLICT (digest) DO UPDATE SET role = excluded.role, name = excluded.name, "
          "created_ms = excluded.created_ms",
          {digest, role, name, now_});
    });
  }

  bool remove_token(const std::string& name) override {
    bool removed = false;
    transaction([&] {
      removed =
          !sql_->run("DELETE FROM queue_token WHERE name = ?1 RETURNING digest", {name}).empty();
    });
    return removed;
  }

  std::optional<Token> find_token(const std::string& digest) override {
    std::optional<Token> token;
    look([&] {
      token.reset();
      for (const SqlRow& row : sql_->run(
               "SELECT role, name, created_ms FROM queue_token WHERE digest = ?1", {digest})) {
        token = Token{row.text(0), row.text(1), row.number(2)};
      }
    });
    return token;
  }

  std::vector<Token> tokens() override {
    std::vector<Token> tokens;
    look([&] {
      tokens.clear();
      for (const SqlRow& row : sql_->run(
               "SELECT role, name, created_ms FROM queue_token ORDER BY name, created_ms, digest"))
        tokens.push_back({row.text(0), row.text(1), row.number(2)});
    });
    return tokens;
  }

  // --- Waiting

  void wait(std::chrono::milliseconds most) override { sql_->wait(most); }
  void wake() override { sql_->wake(); }

 private:
  // --- Transactions. `now_` is the time of the one under way.

  /// One that touches one job alone, or none.
  template <typename Work>
  void transaction(const Work& work) {
    sql_->transaction(SqlConnection::Access::Write, [&] {
      set_now();
      work();
    });
  }

  /// One that changes which jobs there are: one after the other.
  template <typename Work>
  auto change(const Work& work) -> decltype(work()) {
    decltype(work()) result{};
    sql_->transaction(SqlConnection::Access::Write, [&] {
      sql_->lock();
      set_now();
      result = work();
    });
    return result;
  }

  template <typename Work>
  void look(const Work& work) {
    sql_->transaction(SqlConnection::Access::Read, [&] {
      set_now();
      work();
    });
  }

  void set_now() { now_ = times_.now ? times_.now() : sql_->now_ms(); }

  /// Since when a server must have been heard of to count as one that serves.
  std::int64_t alive_since() const { return now_ - times_.lease.count() / 2; }

  // --- Jobs

  static Held held_of(const SqlRows& rows) {
    if (rows.empty()) return {};
    return {true, rows.front().number(0) != 0};
  }

  std::optional<Job> read(std::int64_t id) {
    const SqlRows rows = sql_->run("SELECT " JOB_COLUMNS " FROM queue_job j WHERE j.id = ?1", {id});
    if (rows.empty()) return std::nullopt;
    Job job = job_of(rows.front());
    if (job.state != JobState::Blocked) return job;
    for (const SqlRow& row : sql_->run(
             "SELECT w.image FROM queue_wait w WHERE w.job = ?1 AND " HAS_JOB("w.image"), {id})) {
      job.waits_for.insert(row.text(0));
    }
    return job;
  }

  std::int64_t new_fence(std::int64_t job, const std::string& worker, std::int64_t instead_of) {
    return sql_
        ->run(
            "INSERT INTO queue_claim (job, worker, started_ms, instead_of) "
            "VALUES (?1, ?2, ?3, ?4) RETURNING fence",
            {job, worker, now_, instead_of})
        .front()
        .number(0);
  }

  /// Is a claim that one, or what it was begun anew as?
  bool continues(std::int64_t claim, std::int64_t fence) {
    while (claim > fence) {
      const SqlRows rows =
          sql_->run("SELECT instead_of FROM queue_claim WHERE fence = ?1", {claim});
      claim = rows.empty() ? 0 : rows.front().number(0);
    }
    return claim == fence;
  }

  void check_version() {
    if (sql_->run("SELECT max(version) FROM queue_version").front().number(0) > kQueueVersion)
      throw Error(Error::Kind::Missing,
                  "a newer imagewright has upgraded the queue; this one has to be ended");
  }

  /// A job as it stays until the transaction ends, but for what we do.
  std::optional<Job> locked(std::int64_t id) {
    if (sql_->run("SELECT id FROM queue_job WHERE id = ?1" + for_update_, {id}).empty())
      return std::nullopt;
    return read(id);
  }

  std::optional<Job> waiting_of(const std::string& image) {
    const SqlRows rows =
        sql_->run("SELECT id FROM queue_job WHERE image = ?1 AND " WAITS + for_update_, {image});
    if (rows.empty()) return std::nullopt;
    return read(rows.front().number(0));
  }

  bool has_active(const std::string& image) {
    return !sql_->run("SELECT 1 WHERE " HAS_JOB("?1"), {image}).empty();
  }

  /// Those that wait for an image, or will again if they are lost.
  std::vector<std::int64_t> behind(const std::string& image) {
    return ids_of(sql_->run("SELECT job FROM queue_wait WHERE image = ?1", {image}));
  }

  static std::vector<std::int64_t> ids_of(const SqlRows& rows) {
    std::vector<std::int64_t> ids;
    ids.reserve(rows.size());
    for (const SqlRow& row : rows) ids.push_back(row.number(0));
    return ids;
  }

  /// A statement up to its last condition, which is that of the ids. `values` come before them.
  SqlRows run_for(const std::vector<std::int64_t>& ids, const std::string& sql,
                  const std::vector<SqlValue>& values, const char* returning = "") {
    std::string list;
    for (std::size_t at = 0; at < kChunk; ++at)
      list += fmt::format("{}?{}", at == 0 ? "" : ", ", values.size() + at + 1);
    SqlRows rows;
    for (std::size_t from = 0; from < ids.size(); from += kChunk) {
      std::vector<SqlValue> all = values;
      for (std::size_t at = from; at < from + kChunk; ++at)
        all.emplace_back(at < ids.size() ? ids[at] : std::int64_t{0});
      for (SqlRow& row : sql_->run(fmt::format("{}id IN ({}){}", sql, list, returning), all))
        rows.push_back(std::move(row));
    }
    return rows;
  }

  void place(std::int64_t job) {
    sql_->run(PLACE "WHERE id = ?3", {now_, times_.affinity.count(), job});
  }

  // --- Enqueueing

  EnqueueResult put(const NewJob& job) {
    if (!sql_->run("SELECT 1 FROM queue_quarantine WHERE image = ?1 AND inputs = ?2",
                   {job.image, job.inputs})
             .empty())
      return {Enqueued::Quarantined, 0};
    // In this order: one that is claimed meanwhile is seen to run.
    const auto waiting = waiting_of(job.image);
    if (waiting) {
      replace(*waiting, job);
      return {waiting->inputs == sql_text(job.inputs) ? Enqueued::Same : Enqueued::Replaced,
              waiting->id};
    }
    const SqlRows running = sql_->run(
        "SELECT id FROM queue_job WHERE image = ?1 AND state = 'running' AND inputs = ?2 "
        "AND cancel_asked = 0",
        {job.image, job.inputs});
    if (!running.empty()) return {Enqueued::Same, running.front().number(0)};
    return {Enqueued::New, insert(job, due_ms(job.image, job.inputs))};
  }

  /// When an image may be built with these inputs; 0: at once.
  std::int64_t due_ms(const std::string& image, const std::string& inputs) {
    const SqlRows rows = sql_->run(
        "SELECT failures, failed_ms FROM queue_image WHERE image = ?1 AND failed_inputs = ?2",
        {image, inputs});
    if (rows.empty()) return 0;
    const std::int64_t pause = pause_after(rows.front().number(0));
    return pause == 0 ? 0 : rows.front().number(1) + pause;
  }

  std::int64_t insert(const NewJob& job, std::int64_t not_before_ms) {
    sql_->run("INSERT INTO queue_image (image) VALUES (?1) ON CONFLICT DO NOTHING", {job.image});
    const std::set<std::string> waits_for = waited_for(job);
    const std::int64_t id =
        sql_->run(
                "INSERT INTO queue_job (image, state, inputs, reasons, details, cause, priority, "
                "needs, waits_for, queued_ms, not_before_ms, open_ms, kept_for) "
                "VALUES (?1, 'queued', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
                "(SELECT built_by FROM queue_image WHERE image = ?1)) RETURNING id",
                {job.image, job.inputs, job.reasons, job.details, job.trigger,
                 std::int64_t{job.priority}, packed(job.needs), packed(job.waits_for), now_,
                 not_before_ms, std::max(now_, not_before_ms)})
            .front()
            .number(0);
    set_waits(id, waits_for);
    block(job.image);
    place(id);
    sql_->announce();
    return id;
  }

  void replace(const Job& waiting, const NewJob& job) {
    const bool same = waiting.inputs == sql_text(job.inputs);
    const std::int64_t not_before = same ? waiting.not_before_ms : due_ms(job.image, job.inputs);
    // Who could not claim it before can from now on.
    const bool was_closed = waiting.state == JobState::Blocked || waiting.not_before_ms > now_;
    sql_->run(
        "UPDATE queue_job SET state = 'queued', inputs = ?2, reasons = ?3, details = ?4, "
        "cause = ?5, priority = ?6, needs = ?7, waits_for = ?8, not_before_ms = ?9, "
        "open_ms = CASE WHEN ?10 = 1 THEN ?11 WHEN open_ms < ?9 THEN ?9 ELSE open_ms END, "
        "attempts = CASE WHEN ?12 = 1 THEN attempts ELSE 0 END WHERE id = ?1",
        {waiting.id, job.inputs, job.reasons, job.details, job.trigger,
         std::int64_t{std::max(waiting.priority, job.priority)}, packed(job.needs),
         packed(job.waits_for), not_before, std::int64_t{was_closed}, std::max(now_, not_before),
         std::int64_t{same}});
    sql_->run("DELETE FROM queue_wait WHERE job = ?1", {waiting.id});
    set_waits(waiting.id, waited_for(job));
    place(waiting.id);
    sql_->announce();
  }

  /// Whom a job waits for: not itself, nor who waits for it, through others or not. Then there is
  /// always one that waits for nobody.
  std::set<std::string> waited_for(const NewJob& job) {
    std::set<std::string> images = job.waits_for;
    images.erase(job.image);
    if (images.empty()) return images;
    for (const SqlRow& row : sql_->run(
             "WITH RECURSIVE behind (image) AS (SELECT (SELECT j.image FROM queue_job j WHERE "
             "j.id = w.job) FROM queue_wait w WHERE w.image = ?1 UNION SELECT (SELECT j.image FROM "
             "queue_job j WHERE j.id = w.job) FROM behind b JOIN queue_wait w "
             "ON w.image = b.image) SELECT image FROM behind",
             {job.image})) {
      images.erase(row.text(0));
    }
    return images;
  }

  /// Of a job that waits, and whether it is blocked by them.
  void set_waits(std::int64_t job, const std::set<std::string>& images) {
    for (const std::string& image : images)
      sql_->run("INSERT INTO queue_wait (job, image) VALUES (?1, ?2)", {job, image});
    if (!images.empty()) block_if_waiting(job);
  }

  void block_if_waiting(std::int64_t job) {
    sql_->run(
        "UPDATE queue_job SET state = 'blocked', lane = NULL, turn_ms = NULL WHERE id = ?1 "
        "AND " IS_BLOCKED,
        {job});
  }

  /// Those that wait for an image, which has a job now.
  void block(const std::string& image) {
    run_for(behind(image),
            "UPDATE queue_job SET state = 'blocked', lane = NULL, turn_ms = NULL WHERE "
            "state = 'queued' AND ",
            {});
  }

  // --- Claiming

  /// Jobs whose time has come, or whose worker is gone, are for others from now on. Each but once,
  /// so that to claim is to look at the first ones alone.
  void open_lanes() {
    const std::int64_t gone_ms = now_ - times_.lease.count();
    if (sql_->run("SELECT 1 WHERE EXISTS (SELECT 1 FROM queue_job WHERE turn_ms <= ?1) OR EXISTS "
                  "(SELECT 1 FROM queue_worker WHERE alive = 1 AND seen_ms < ?2)",
                  {now_, gone_ms})
            .empty())
      return;
    sql_->lock();
    sql_->run(PLACE "WHERE turn_ms <= ?1", {now_, times_.affinity.count()});
    for (const SqlRow& row : sql_->run("UPDATE queue_worker SET alive = 0 WHERE alive = 1 AND "
                                       "seen_ms < ?1 RETURNING name",
                                       {gone_ms})) {
      sql_->run("UPDATE queue_job SET lane = '', turn_ms = NULL WHERE lane = ?1", {row.text(0)});
    }
  }

  struct Kind {
    std::string lane;
    std::string needs;
  };

  /// Of jobs that the claimant could have: whose they are, and what they need.
  std::vector<Kind> kinds_for(const Claimant& claimant) {
    std::vector<Kind> kinds;
    for (const SqlRow& row : sql_->run(
             "WITH RECURSIVE kind (lane, needs) AS (SELECT l.lane, (SELECT j.needs FROM queue_job "
             "j "
             "WHERE j.lane = l.lane ORDER BY j.needs LIMIT 1) FROM (SELECT '' AS lane UNION ALL "
             "SELECT ?1) l UNION ALL SELECT k.lane, (SELECT j.needs FROM queue_job j WHERE "
             "j.lane = k.lane AND j.needs > k.needs ORDER BY j.needs LIMIT 1) FROM kind k "
             "WHERE k.needs IS NOT NULL) SELECT lane, needs FROM kind WHERE needs IS NOT NULL",
             {claimant.worker})) {
      const std::set<std::string> needs = unpacked(row.text(1));
      if (std::includes(claimant.labels.begin(), claimant.labels.end(), needs.begin(), needs.end()))
        kinds.push_back({row.text(0), row.text(1)});
    }
    return kinds;
  }

  /// The first one of a kind; `locked`: and nobody else has it at the same time.
  SqlRows first_of(const Kind& kind, const Claimant& claimant, bool locked) {
    return sql_->run(
        "SELECT j.id, j.priority, j.queued_ms FROM queue_job j WHERE j.lane = ?5 AND "
        "j.needs = ?6 AND " CLAIMABLE " ORDER BY j.priority DESC, j.queued_ms, j.id LIMIT 1" +
            (locked ? skip_locked_ : ""),
        {now_, times_.affinity.count(), claimant.worker, now_ - times_.lease.count(), kind.lane,
         kind.needs});
  }

  /// The first one that the claimant may have, locked.
  std::optional<std::int64_t> next_for(const Claimant& claimant) {
    std::vector<Kind> kinds = kinds_for(claimant);
    if (kinds.size() > 1) {
      std::vector<std::pair<std::array<std::int64_t, 3>, Kind>> by_first;
      for (const Kind& kind : kinds) {
        for (const SqlRow& row : first_of(kind, claimant, false))
          by_first.push_back({{-row.number(1), row.number(2), row.number(0)}, kind});
      }
      std::sort(by_first.begin(), by_first.end(),
                [](const auto& a, const auto& b) { return a.first < b.first; });
      kinds.clear();
      for (auto& [first, kind] : by_first) kinds.push_back(std::move(kind));
    }
    // Others may claim the first one at the same time: then it is the next one, without waiting.
    for (const Kind& kind : kinds) {
      const SqlRows rows = first_of(kind, claimant, true);
      if (!rows.empty()) return rows.front().number(0);
    }
    return std::nullopt;
  }

  // --- Ending

  /// What an end says of the image, and when a job of it that waits may be claimed by that.
  void remember(const Job& job, JobState state) {
    if (state == JobState::Cancelled) return;
    if (state == JobState::Failed) {
      sql_->run(
          "UPDATE queue_image SET failures = CASE WHEN failed_inputs = ?2 THEN failures + 1 ELSE 1 "
          "END, failed_inputs = ?2, failed_ms = ?3 WHERE image = ?1",
          {job.image, job.inputs, now_});
    } else {
      sql_->run(
          "UPDATE queue_image SET failures = 0, failed_inputs = NULL, failed_ms = 0 "
          "WHERE image = ?1",
          {job.image});
      sql_->run("DELETE FROM queue_quarantine WHERE image = ?1 AND inputs = ?2",
                {job.image, job.inputs});
    }
    if (state == JobState::Succeeded) {
      sql_->run("UPDATE queue_image SET built_by = ?2 WHERE image = ?1", {job.image, job.worker});
      sql_->run("UPDATE queue_job SET kept_for = ?2 WHERE image = ?1 AND " WAITS,
                {job.image, job.worker});
    }
    if (const auto waiting = waiting_of(job.image)) {
      sql_->run("UPDATE queue_job SET not_before_ms = ?2 WHERE id = ?1",
                {waiting->id, due_ms(job.image, waiting->inputs)});
    }
  }

  /// Of a job that goes back: where it ends instead.
  std::optional<JobState> ended_without_another_try(const Job& job) {
    if (waiting_of(job.image)) {
      end(job, JobState::Superseded, "a newer one waits", "");
      return JobState::Superseded;
    }
    if (job.cancel_asked) {
      end(job, JobState::Cancelled, "cancelled", "");
      return JobState::Cancelled;
    }
    return std::nullopt;
  }

  void requeue(std::int64_t job) {
    sql_->run(
        "UPDATE queue_job SET state = 'queued', lease_until_ms = 0, open_ms = CASE WHEN "
        "not_before_ms > ?2 THEN not_before_ms ELSE ?2 END WHERE id = ?1",
        {job, now_});
    block_if_waiting(job);
    place(job);
  }

  void end(const Job& job, JobState state, const std::string& message,
           const std::string& image_id) {
    sql_->run(
        "UPDATE queue_job SET state = ?2, message = ?3, image_id = ?4, finished_ms = ?5, "
        "lease_until_ms = 0, cancel_asked = 0, lane = NULL, turn_ms = NULL WHERE id = ?1",
        {job.id, word(state), message, image_id, now_});
    sql_->run("DELETE FROM queue_wait WHERE job = ?1", {job.id});
    switch (state) {
      case JobState::Failed:
      case JobState::Quarantined:
        after_end(job.image, fmt::format("{} failed", job.image));
        break;
      case JobState::Cancelled:
        after_end(job.image, fmt::format("{} was cancelled", job.image));
        break;
      default:
        after_end(job.image, "");
    }
  }

  /// What it means for others that a job of the image ended. `why_not`: why what stands on it is
  /// not built; "": it is.
  void after_end(const std::string& image, const std::string& why_not) {
    if (has_active(image)) {
      // The one that waits can be claimed from now on.
      sql_->run(
          "UPDATE queue_job SET open_ms = CASE WHEN not_before_ms > ?2 THEN not_before_ms "
          "ELSE ?2 END WHERE image = ?1 AND state = 'queued'",
          {image, now_});
      sql_->run(PLACE "WHERE image = ?3 AND " WAITS, {now_, times_.affinity.count(), image});
      return;
    }
    if (why_not.empty()) {
      unblock(image);
      return;
    }
    for (const SqlRow& row : run_for(behind(image),
                                     "UPDATE queue_job SET state = 'skipped', message = ?1, "
                                     "finished_ms = ?2 WHERE state = 'blocked' AND ",
                                     {why_not, now_}, " RETURNING id, image")) {
      sql_->run("DELETE FROM queue_wait WHERE job = ?1", {row.number(0)});
      after_end(row.text(1), why_not);
    }
  }

  void unblock(const std::string& image) {
    const std::vector<std::int64_t> free = ids_of(run_for(
        behind(image),
        "UPDATE queue_job SET state = 'queued', open_ms = CASE WHEN not_before_ms > ?1 "
        "THEN not_before_ms ELSE ?1 END WHERE state = 'blocked' AND NOT (" IS_BLOCKED ") AND ",
        {now_}, " RETURNING id"));
    run_for(free, PLACE "WHERE ", {now_, times_.affinity.count()});
  }

  std::unique_ptr<SqlConnection> sql_;
  QueueTimes times_;
  std::string for_update_;
  std::string skip_locked_;
  std::int64_t now_ = 0;
};

}  // namespace

const char* word(JobState state) {
  for (const auto& [value, text] : kStateWords) {
    if (value == state) return text;
  }
  return "failed";
}

std::optional<JobState> parse_job_state(std::string_view word) {
  for (const auto& [value, text] : kStateWords) {
    if (word == text) return value;
  }
  return std::nullopt;
}

bool is_final(JobState state) {
  return state != JobState::Blocked && state != JobState::Queued && state != JobState::Running;
}

StoreGuard while_held(std::int64_t job, std::int64_t fence) {
  return {"SELECT 1 FROM queue_job WHERE id = ?1 AND fence = ?2 AND state = 'running' FOR SHARE",
          {job, fence}};
}

std::unique_ptr<Queue> open_sqlite_queue(const fs::path& state_directory, const QueueTimes& times) {
  std::error_code error;
  fs::create_directories(state_directory, error);
  if (error) {
    throw Error(Error::Kind::Missing, fmt::format("cannot create the state directory '{}': {}",
                                                  state_directory.string(), error.message()));
  }
  const fs::path file = state_directory / kQueueFileName;
  auto sql = open_sqlite(file, "the queue", kAdvice);
  prepare_queue_tables(*sql, fmt::format("the queue '{}'", file.string()));
  return std::make_unique<SqlQueue>(std::move(sql), times);
}

std::unique_ptr<Queue> open_postgresql_queue(const std::string& url, const QueueTimes& times) {
  auto sql = open_postgresql(url, kChannel);
  prepare_queue_tables(*sql, "the queue in PostgreSQL");
  return std::make_unique<SqlQueue>(std::move(sql), times);
}

std::unique_ptr<Queue> open_queue(const fs::path& state_directory, const std::string& database) {
  return database.empty() ? open_sqlite_queue(state_directory) : open_postgresql_queue(database);
}

}  // namespace imagewright
