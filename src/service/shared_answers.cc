#include "service/shared_answers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "io/sql_schema.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;
using Access = SqlConnection::Access;

constexpr const char* kChannel = "imagewright_answers";  // nobody listens
// What was stored by a transaction that began before another one's end may be seen later than that.
constexpr std::int64_t kOverlapMs = 10'000;
constexpr std::int64_t kKeptMs = std::int64_t{7} * 24 * 3600 * 1000;

// `claimed_by` asks about it since `claimed_ms`; 0: nobody does. `answer`: "" as long as there was
// none.
constexpr const char* kSchema1 = R"(
  CREATE TABLE shared_answer (
    source TEXT PRIMARY KEY, asked_ms INTEGER NOT NULL, kept_ms INTEGER NOT NULL,
    answer TEXT NOT NULL, claimed_by TEXT NOT NULL, claimed_ms INTEGER NOT NULL) BUSY_TABLE;
  CREATE INDEX shared_answer_by_age ON shared_answer (kept_ms);
)";

}  // namespace

SharedAnswers::SharedAnswers(std::unique_ptr<SqlConnection> sql, std::string server,
                             Remembered& remembered, milliseconds interval)
    : sql_(std::move(sql)),
      server_(std::move(server)),
      remembered_(remembered),
      interval_(interval) {
  static const Schema schema{"shared_answer_version", "answers", {{1, kSchema1}}};
  bring_up_to_date(*sql_, schema, "what servers share");
}

void SharedAnswers::learn() {
  const std::lock_guard lock(mutex_);
  sql_->transaction(Access::Read, [&] { learn_in_transaction(); });
}

void SharedAnswers::learn_in_transaction() {
  const std::int64_t now = sql_->now_ms();
  std::vector<Remembered::Said> all;
  for (const SqlRow& row :
       sql_->run("SELECT source, asked_ms, answer FROM shared_answer WHERE kept_ms >= ?1 AND "
                 "answer <> ''",
                 {learned_ms_ - kOverlapMs})) {
    const milliseconds age(std::max<std::int64_t>(now - row.number(1), 0));
    all.push_back({row.text(0), age, row.text(2)});
  }
  remembered_.take(all);
  learned_ms_ = now;
}

void SharedAnswers::begin_look() {
  const std::lock_guard lock(mutex_);
  sql_->transaction(Access::Write, [&] {
    learn_in_transaction();
    const std::int64_t now = sql_->now_ms();
    std::set<std::string> others;
    for (const std::string& source : remembered_.due()) {
      // (What somebody has just been told is not asked about either.)
      const bool is_ours =
          !sql_->run(
                   "INSERT INTO shared_answer (source, asked_ms, kept_ms, answer, claimed_by, "
                   "claimed_ms) VALUES (?1, 0, 0, '', ?2, ?3) ON CONFLICT (source) DO UPDATE SET "
                   "claimed_by = ?2, claimed_ms = ?3 WHERE (shared_answer.claimed_by = ?2 OR "
                   "shared_answer.claimed_ms + ?4 <= ?3) AND shared_answer.asked_ms <= ?5 "
                   "RETURNING source",
                   {source, server_, now, milliseconds(kClaim).count(),
                    now - interval_.count() / 2})
               .empty();
      if (!is_ours) others.insert(source);
    }
    remembered_.leave_to_others(others, kClaim);
  });
}

void SharedAnswers::tell() {
  const std::lock_guard lock(mutex_);
  const std::vector<Remembered::Said> fresh = remembered_.take_fresh();
  if (fresh.empty()) return;
  sql_->transaction(Access::Write, [&] {
    const std::int64_t now = sql_->now_ms();
    for (const Remembered::Said& said : fresh) {
      sql_->run(
          "INSERT INTO shared_answer (source, asked_ms, kept_ms, answer, claimed_by, claimed_ms) "
          "VALUES (?1, ?2, ?3, ?4, ?5, 0) ON CONFLICT (source) DO UPDATE SET asked_ms = ?2, "
          "kept_ms = ?3, answer = ?4, claimed_by = ?5, claimed_ms = 0 "
          "WHERE shared_answer.asked_ms < ?2",
          {said.source, now - said.age.count(), now, said.answer, server_});
    }
    sql_->run("DELETE FROM shared_answer WHERE kept_ms < ?1 AND claimed_ms = 0", {now - kKeptMs});
  });
}

void SharedAnswers::end_look() {
  tell();
  const std::lock_guard lock(mutex_);
  sql_->run("UPDATE shared_answer SET claimed_ms = 0 WHERE claimed_by = ?1 AND claimed_ms > 0",
            {server_});
}

std::unique_ptr<SharedAnswers> share_answers(const std::string& database, const std::string& server,
                                             Remembered& remembered, milliseconds interval) {
  return std::make_unique<SharedAnswers>(open_postgresql(database, kChannel), server, remembered,
                                         interval);
}

}  // namespace imagewright
