#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>
#include <fmt/format.h>
#include <poll.h>
#include <sqlite3.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cassert>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>

#include "io/fd.h"
#include "io/sql.h"
#include "io/wall_clock.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr int kBusyTimeoutMs = 30'000;

/// How often it is looked whether another process wrote.
constexpr std::chrono::milliseconds kLook{1000};

/// Who waits in this process: what is written to, by the file.
class Waiting {
 public:
  void add(const std::string& file, int event) {
    const std::lock_guard lock(mutex_);
    events_[file].insert(event);
  }
  void remove(const std::string& file, int event) {
    const std::lock_guard lock(mutex_);
    const auto found = events_.find(file);
    found->second.erase(event);
    if (found->second.empty()) events_.erase(found);
  }
  void wake(const std::string& file) {
    const std::lock_guard lock(mutex_);
    for (const int event : events_[file]) eventfd_write(event, 1);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::set<int>> events_;
};

Waiting& waiting() {
  static Waiting all;
  return all;
}

class SqliteConnection final : public SqlConnection {
 public:
  SqliteConnection(const fs::path& file, const std::string& what, const std::string& advice)
      : file_(fs::absolute(file)), what_(what), advice_(advice) {
    in_database([&] {
      database_.emplace(file_.string(),
                        SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX,
                        kBusyTimeoutMs);
      if (sqlite3_db_readonly(database_->getHandle(), "main") == 1) {
        throw Error(Error::Kind::Missing, fmt::format("{} cannot be written", named()));
      }
      database_->exec(
          "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
          "PRAGMA temp_store = MEMORY");
      check_not_cut();
      // Where another process just opens it, too, this fails at once, without waiting.
      for (int attempt = 0;; ++attempt) {
        const int result = database_->tryExec("PRAGMA journal_mode = WAL");
        if (result == SQLITE_OK) break;
        if (result != SQLITE_BUSY || attempt == kMostTries) {
          throw SQLite::Exception(database_->getHandle(), result);
        }
        sqlite3_sleep(kTryPauseMs);
      }
    });
    event_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event_) throw Error(Error::Kind::Missing, with_errno("cannot wait for " + named()));
    std::error_code error;
    const fs::path canonical = fs::canonical(file_, error);
    key_ = (error ? file_ : canonical).string();
    waiting().add(key_, event_.get());
  }

  ~SqliteConnection() override { waiting().remove(key_, event_.get()); }
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  Dialect dialect() const override { return Dialect::Sqlite; }

  SqlRows run(const std::string& sql, const std::vector<SqlValue>& parameters) override {
    return in_database([&] {
      SQLite::Statement& statement = prepared(sql);
      const Reset reset{statement};
      int index = 0;
      for (const SqlValue& parameter : parameters) bind(statement, ++index, parameter);
      SqlRows rows;
      while (statement.executeStep()) rows.push_back(row_of(statement));
      return rows;
    });
  }

  void script(const std::string& sql) override {
    in_database([&] { database_->exec(sql); });
  }

  // A transaction that writes is alone.
  void lock() override {}

  void announce() override { announced_ = true; }

  std::int64_t now_ms() override { return imagewright::now_ms(); }

  void wait(std::chrono::milliseconds most) override {
    const auto end = std::chrono::steady_clock::now() + most;
    for (;;) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      const auto time = std::clamp(left, std::chrono::milliseconds(0), kLook);
      pollfd poll_event = {event_.get(), POLLIN, 0};
      if (poll(&poll_event, 1, static_cast<int>(time.count())) > 0) {
        eventfd_t ignored = 0;
        eventfd_read(event_.get(), &ignored);
        look_for_writes();  // what is seen now is no news the next time
        return;
      }
      if (look_for_writes() || left <= kLook) return;
    }
  }

  void wake() noexcept override { eventfd_write(event_.get(), 1); }

 protected:
  // Taking the write lock at once keeps two writers from waiting for each other in the middle.
  void begin(Access access) override {
    announced_ = false;
    run(access == Access::Write ? "BEGIN IMMEDIATE" : "BEGIN", {});
  }

  void commit() override {
    run("COMMIT", {});
    if (announced_) waiting().wake(key_);
  }

  void rollback() noexcept override {
    if (sqlite3_get_autocommit(database_->getHandle()) == 0) database_->tryExec("ROLLBACK");
  }

 private:
  static constexpr int kMostTries = 500;
  static constexpr int kTryPauseMs = 10;

  /// So that no read stays open.
  struct Reset {
    SQLite::Statement& statement;
    ~Reset() {
      statement.tryReset();
      statement.clearBindings();
    }
  };

  /// SQLite writes whole pages, and reads what is missing of the last one as zeros, that is, as
  /// rows that are not there.
  void check_not_cut() {
    std::error_code error;
    const auto log_size = fs::file_size(file_.string() + "-wal", error);
    if (!error && log_size > 0) return;
    const auto size = fs::file_size(file_, error);
    const std::int64_t page = database_->execAndGet("PRAGMA page_size").getInt64();
    if (!error && size % static_cast<std::uint64_t>(page) != 0)
      throw SQLite::Exception("the file is cut short", SQLITE_CORRUPT);
  }

  std::string named() const { return fmt::format("{} '{}'", what_, file_.string()); }

  template <typename Work>
  auto in_database(Work work) -> decltype(work()) {
    try {
      return work();
    } catch (const SQLite::Exception& exception) {
      throw error_of(exception);
    }
  }

  Error error_of(const SQLite::Exception& exception) const {
    const char* said = exception.what();
    switch (exception.getErrorCode() & 0xff) {
      case SQLITE_NOTADB:
      case SQLITE_CORRUPT:
      case SQLITE_ERROR:  // a table that should be there is not
        return Error(Error::Kind::Missing,
                     fmt::format("{} is damaged ({}); {}", named(), said, advice_));
      case SQLITE_BUSY:
        return Error(Error::Kind::Missing, fmt::format("{} is held by another process", named()));
      default:
        return Error(Error::Kind::Missing, fmt::format("cannot use {}: {}", named(), said));
    }
  }

  SQLite::Statement& prepared(const std::string& sql) {
    const auto known = statements_.find(sql);
    if (known != statements_.end()) return known->second;
    return statements_.emplace(sql, SQLite::Statement(*database_, sql)).first->second;
  }

  static void bind(SQLite::Statement& statement, int index, const SqlValue& value) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      statement.bind(index, *number);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      statement.bind(index, sql_text(*text));
    } else if (const auto* bytes = std::get_if<SqlBytes>(&value)) {
      statement.bind(index, bytes->bytes.data(), static_cast<int>(bytes->bytes.size()));
    } else {
      statement.bind(index);
    }
  }

  static SqlRow row_of(SQLite::Statement& statement) {
    std::vector<SqlValue> fields;
    for (int at = 0; at < statement.getColumnCount(); ++at) {
      const SQLite::Column column = statement.getColumn(at);
      if (column.isNull()) {
        fields.emplace_back();
      } else if (column.isInteger()) {
        fields.emplace_back(static_cast<std::int64_t>(column.getInt64()));
      } else if (column.isBlob()) {
        fields.emplace_back(SqlBytes{column.getString()});
      } else {
        fields.emplace_back(column.getString());
      }
    }
    return SqlRow(std::move(fields));
  }

  /// Did any connection write since the last look? By a connection for this alone, as the other one
  /// is another thread's.
  bool look_for_writes() {
    try {
      if (!looking_) {
        looking_.emplace(file_.string(), SQLite::OPEN_READONLY | SQLite::OPEN_NOMUTEX,
                         kBusyTimeoutMs);
      }
      const std::int64_t version = looking_->execAndGet("PRAGMA data_version").getInt64();
      return std::exchange(seen_version_, version) != version;
    } catch (const SQLite::Exception&) {
      return true;  // whoever looks himself will be told what is wrong
    }
  }

  fs::path file_;
  std::string what_;
  std::string advice_;
  std::string key_;  // in `waiting`
  Fd event_;
  std::optional<SQLite::Database> database_;
  std::unordered_map<std::string, SQLite::Statement> statements_;
  bool announced_ = false;
  std::optional<SQLite::Database> looking_;
  std::int64_t seen_version_ = 0;
};

}  // namespace

std::unique_ptr<SqlConnection> open_sqlite(const fs::path& file, const std::string& what,
                                           const std::string& advice) {
  return std::make_unique<SqliteConnection>(file, what, advice);
}

}  // namespace imagewright
