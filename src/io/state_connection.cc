#include "io/state_connection.h"

#include <utility>

#include "io/sql_sqlite.h"
#include "io/wall_clock.h"

namespace imagewright {

namespace fs = std::filesystem;

StateConnection::StateConnection(fs::path file, Writes writes)
    : file_(std::move(file)), writes_(writes) {}

StateConnection::~StateConnection() = default;

void StateConnection::each(const std::string& sql, const std::vector<SqlValue>& parameters,
                           const std::function<void(const SqlFields& row)>& take) {
  try {
    database_->each(sql, parameters, take);
  } catch (const SqlAgain&) {
    throw;
  } catch (const Error&) {
    // (A file that is written while it is read without locks can look like a damaged one.)
    if (is_as_read()) throw;
    throw SqlAgain(busy_state_error(file_).what());
  }
}

void StateConnection::script(const std::string& sql) {
  database_->script(sql);
}

std::int64_t StateConnection::now_ms() {
  return imagewright::now_ms();
}

void StateConnection::open_to_write() {
  if (writable_) return;
  use(in_state(
      file_, [&] { return writes_ == Writes::ToTheFile ? open_state(file_) : copy_state(file_); }));
  writable_ = true;
}

void StateConnection::use(SQLite::Database database) {
  database_ = adopt_sqlite(std::move(database), [file = file_](const SQLite::Exception& exception) {
    return state_error(file, exception);
  });
}

void StateConnection::open_to_read() {
  if (database_) {
    // (Who only looks may stay with what he saw.)
    if (way_ == ReadableState::Way::Copy && writes_ == Writes::ToBeForgotten) return;
    if (!is_young_ && stamps_of_state(file_) == stamps_) return;
  }
  database_.reset();
  ReadableState state = in_state(file_, [&] { return open_state_to_read(file_); });
  stamps_ = state.stamps;
  way_ = state.way;
  is_young_ = state.is_young;
  use(std::move(state.database));
}

bool StateConnection::is_as_read() const {
  return writable_ || way_ != ReadableState::Way::Bare || stamps_of_state(file_) == stamps_;
}

void StateConnection::begin(Access access) {
  if (access == Access::Write) open_to_write();
  if (!writable_) open_to_read();
  // Taking the write lock at once keeps two writers from waiting for each other in the middle.
  database_->script(access == Access::Write ? "BEGIN IMMEDIATE" : "BEGIN");
  in_transaction_ = true;
}

void StateConnection::commit() {
  database_->script("COMMIT");
  in_transaction_ = false;
  if (is_as_read()) return;
  database_.reset();
  throw SqlAgain(busy_state_error(file_).what());
}

void StateConnection::rollback() noexcept {
  if (!std::exchange(in_transaction_, false) || !database_) return;
  try {
    database_->script("ROLLBACK");
  } catch (const Error&) {
    // Then SQLite has done so itself.
  }
}

}  // namespace imagewright
