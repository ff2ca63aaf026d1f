#include "service/shared_answers.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "io/sql_schema.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;
using Access = SqlConnection::Access;

constexpr const char* kChannel = "imagewright_answers";  // nobody listens
// What was stored by a transaction that began before another one's end may be seen later than that.
constexpr std::int64_t kOverlapMs = 120'000;
// In one transaction: others may wait for its rows.
constexpr std::size_t kAtOnce = 200;
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
                             Remembered& remembered)
    : sql_(std::move(sql)), server_(std::move(server)), remembered_(remembered) {
  static const Schema schema{"shared_answer_version", "answers", {{1, kSchema1}}};
  bring_up_to_date(*sql_, schema, "what servers share");
}

// Ages are never told too small: who is told that something was asked later than it was could take
// it for newer than what is.
void SharedAnswers::learn() {
  const std::lock_guard lock(mutex_);
  std::vector<Remembered::Said> all;
  std::int64_t now = 0;
  sql_->transaction(Access::Read, [&] {
    all.clear();
    const auto before = Remembered::Clock::now();
    now = sql_->now_ms();
    for (const SqlRow& row :
         sql_->run("SELECT source, asked_ms, answer FROM shared_answer WHERE kept_ms >= ?1 AND "
                   "asked_ms <= ?2 AND answer <> ''",
                   {std::min(learned_ms_, now) - kOverlapMs, now})) {
      all.push_back({row.text(0), before - milliseconds(now - row.number(1)), row.text(2)});
    }
  });
  remembered_.take(all);
  learned_ms_ = now;
}

bool SharedAnswers::claim_due() {
  const std::lock_guard lock(mutex_);
  const std::set<std::string> all_due = remembered_.due();
  const std::vector<std::string> due(all_due.begin(), all_due.end());
  std::set<std::string> others;
  for (std::size_t begin = 0; begin < due.size(); begin += kAtOnce) {
    std::set<std::string> refused;
    sql_->transaction(Access::Write, [&] {
      refused.clear();
      const std::int64_t now = sql_->now_ms();
      for (std::size_t i = begin; i < std::min(begin + kAtOnce, due.size()); ++i) {
        const SqlRows ours = sql_->run(
            "INSERT INTO shared_answer (source, asked_ms, kept_ms, answer, claimed_by, claimed_ms) "
            "VALUES (?1, 0, 0, '', ?2, ?3) ON CONFLICT (source) DO UPDATE SET claimed_by = ?2, "
            "claimed_ms = ?3 WHERE shared_answer.claimed_by = ?2 OR shared_answer.claimed_ms > ?3 "
            "OR "
            "shared_answer.claimed_ms + ?4 <= ?3 RETURNING source",
            {due[i], server_, now, milliseconds(kClaim).count()});
        if (ours.empty()) refused.insert(due[i]);
      }
    });
    others.merge(refused);
  }
  remembered_.leave_to_others(others, kClaim);
  return !others.empty();
}

void SharedAnswers::tell() {
  const std::lock_guard lock(mutex_);
  std::vector<Remembered::Said> fresh = remembered_.take_fresh();
  try {
    while (!fresh.empty()) {
      const std::size_t begin = fresh.size() - std::min(fresh.size(), kAtOnce);
      sql_->transaction(Access::Write, [&] {
        const std::int64_t now = sql_->now_ms();
        const auto later = Remembered::Clock::now();
        for (std::size_t i = begin; i < fresh.size(); ++i) {
          const auto age = std::chrono::ceil<milliseconds>(later - fresh[i].asked);
          sql_->run(
              "INSERT INTO shared_answer (source, asked_ms, kept_ms, answer, claimed_by, "
              "claimed_ms) "
              "VALUES (?1, ?2, ?3, ?4, ?5, 0) ON CONFLICT (source) DO UPDATE SET asked_ms = ?2, "
              "kept_ms = ?3, answer = ?4, claimed_by = ?5, claimed_ms = 0 "
              "WHERE shared_answer.asked_ms < ?2 OR shared_answer.asked_ms > ?3",
              {fresh[i].source, now - age.count(), now, fresh[i].answer, server_});
        }
      });
      fresh.resize(begin);
    }
  } catch (...) {
    remembered_.put_back(fresh);
    throw;
  }
  sql_->transaction(Access::Write, [&] {
    sql_->run("DELETE FROM shared_answer WHERE kept_ms < ?1 AND claimed_ms = 0",
              {sql_->now_ms() - kKeptMs});
  });
}

void SharedAnswers::end_claims() {
  const std::lock_guard lock(mutex_);
  sql_->transaction(Access::Write, [&] {
    sql_->run("UPDATE shared_answer SET claimed_ms = 0 WHERE claimed_by = ?1 AND claimed_ms > 0",
              {server_});
  });
}

std::unique_ptr<SharedAnswers> share_answers(const std::string& database, const std::string& server,
                                             Remembered& remembered) {
  return std::make_unique<SharedAnswers>(open_postgresql(database, kChannel), server, remembered);
}

}  // namespace imagewright
