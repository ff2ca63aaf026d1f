#include "io/sql_sqlite.h"

#include <SQLiteCpp/Statement.h>
#include <fmt/format.h>
#include <poll.h>
#include <sqlite3.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>

#include "io/fd.h"
#include "io/wall_clock.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr int kBusyTimeoutMs = 30'000;

/// How often it is looked whether another process wrote.
constexpr std::chrono::milliseconds kLook{1000};

class StatementRow final : public SqlFields {
 public:
  explicit StatementRow(const SQLite::Statement& statement) : statement_(statement) {}

  std::size_t count() const override {
    return static_cast<std::size_t>(statement_.getColumnCount());
  }
  SqlValue value(std::size_t at) const override {
    const SQLite::Column its = column(at);
    if (its.isNull()) return std::monostate();
    if (its.isInteger()) return static_cast<std::int64_t>(its.getInt64());
    if (its.isBlob()) return SqlBytes{its.getString()};
    return its.getString();
  }
  std::int64_t number(std::size_t at) const override {
    const SQLite::Column its = column(at);
    return its.isInteger() ? its.getInt64() : 0;
  }
  std::string text(std::size_t at) const override { return column(at).getString(); }

 private:
  SQLite::Column column(std::size_t at) const { return statement_.getColumn(static_cast<int>(at)); }

  const SQLite::Statement& statement_;
};

class SqliteConnection : public SqlConnection {
 public:
  enum class Texts { AsTheyAre, Utf8 };

  SqliteConnection(SQLite::Database database, SqliteErrors error_of, Texts texts)
      : error_of_(std::move(error_of)), texts_(texts), database_(std::move(database)) {}

  Dialect dialect() const override { return Dialect::Sqlite; }

  void each(const std::string& sql, const std::vector<SqlValue>& parameters,
            const std::function<void(const SqlFields& row)>& take) override {
    try {
      SQLite::Statement& statement = prepared(sql);
      const Reset reset{statement};
      int index = 0;
      for (const SqlValue& parameter : parameters) bind(statement, ++index, parameter);
      const StatementRow row(statement);
      while (statement.executeStep()) take(row);
    } catch (const SQLite::Exception& exception) {
      throw error_of_(exception);
    }
  }

  void script(const std::string& sql) override {
    try {
      database_.exec(sql);
    } catch (const SQLite::Exception& exception) {
      throw error_of_(exception);
    }
  }

  // A transaction that writes is alone.
  void lock() override {}
  void announce() override {}
  std::int64_t now_ms() override { return imagewright::now_ms(); }
  void wait(std::chrono::milliseconds /*most*/) override {}
  void wake() noexcept override {}

 protected:
  // Taking the write lock at once keeps two writers from waiting for each other in the middle.
  void begin(Access access) override {
    each(access == Access::Write ? "BEGIN IMMEDIATE" : "BEGIN", {}, [](const SqlFields&) {});
  }

  void commit() override {
    each("COMMIT", {}, [](const SqlFields&) {});
  }

  void rollback() noexcept override {
    if (sqlite3_get_autocommit(database_.getHandle()) == 0) database_.tryExec("ROLLBACK");
  }

 private:
  /// So that no read stays open.
  struct Reset {
    SQLite::Statement& statement;
    ~Reset() {
      statement.tryReset();
      statement.clearBindings();
    }
  };

  SQLite::Statement& prepared(const std::string& sql) {
    const auto known = statements_.find(sql);
    if (known != statements_.end()) return known->second;
    return statements_.emplace(sql, SQLite::Statement(database_, sql)).first->second;
  }

  void bind(SQLite::Statement& statement, int index, const SqlValue& value) const {
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      statement.bind(index, *number);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      statement.bind(index, texts_ == Texts::Utf8 ? sql_text(*text) : *text);
    } else if (const auto* bytes = std::get_if<SqlBytes>(&value)) {
      statement.bind(index, bytes->bytes.data(), static_cast<int>(bytes->bytes.size()));
    } else {
      statement.bind(index);
    }
  }

  SqliteErrors error_of_;
  Texts texts_;
  SQLite::Database database_;
  std::unordered_map<std::string, SQLite::Statement> statements_;
};

// --- A file that several write

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

struct FileErrors {
  std::string named;  ///< "the queue '…'"
  std::string advice;

  Error operator()(const SQLite::Exception& exception) const {
    const char* said = exception.what();
    switch (exception.getErrorCode() & 0xff) {
      case SQLITE_NOTADB:
      case SQLITE_CORRUPT:
      case SQLITE_ERROR:  // a table that should be there is not
        return Error(Error::Kind::Missing,
                     fmt::format("{} is damaged ({}); {}", named, said, advice));
      case SQLITE_BUSY:
        return Error(Error::Kind::Missing, fmt::format("{} is held by another process", named));
      default:
        return Error(Error::Kind::Missing, fmt::format("cannot use {}: {}", named, said));
    }
  }
};

SQLite::Database open_file(const fs::path& file, const FileErrors& errors) {
  constexpr int kMostTries = 500;
  constexpr int kTryPauseMs = 10;
  try {
    SQLite::Database database(file.string(),
                              SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX,
                              kBusyTimeoutMs);
    if (sqlite3_db_readonly(database.getHandle(), "main") == 1)
      throw Error(Error::Kind::Missing, fmt::format("{} cannot be written", errors.named));
    database.exec(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY");
    check_not_cut(database, file);
    // Where another process just opens it, too, this fails at once, without waiting.
    for (int attempt = 0;; ++attempt) {
      const int result = database.tryExec("PRAGMA journal_mode = WAL");
      if (result == SQLITE_OK) return database;
      if (result != SQLITE_BUSY || attempt == kMostTries)
        throw SQLite::Exception(database.getHandle(), result);
      sqlite3_sleep(kTryPauseMs);
    }
  } catch (const SQLite::Exception& exception) {
    throw errors(exception);
  }
}

class SqliteFile final : public SqliteConnection {
 public:
  SqliteFile(const fs::path& file, const FileErrors& errors)
      : SqliteConnection(open_file(file, errors), errors, Texts::Utf8), file_(file) {
    event_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event_) throw Error(Error::Kind::Missing, with_errno("cannot wait for " + errors.named));
    std::error_code error;
    const fs::path canonical = fs::canonical(file_, error);
    key_ = (error ? file_ : canonical).string();
    waiting().add(key_, event_.get());
  }

  ~SqliteFile() override { waiting().remove(key_, event_.get()); }
  SqliteFile(const SqliteFile&) = delete;
  SqliteFile& operator=(const SqliteFile&) = delete;

  void announce() override { announced_ = true; }

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
  void begin(Access access) override {
    announced_ = false;
    SqliteConnection::begin(access);
  }

  void commit() override {
    SqliteConnection::commit();
    if (announced_) waiting().wake(key_);
  }

 private:
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
  std::string key_;  // in `waiting`
  Fd event_;
  bool announced_ = false;
  std::optional<SQLite::Database> looking_;
  std::int64_t seen_version_ = 0;
};

}  // namespace

void check_not_cut(SQLite::Database& database, const fs::path& file) {
  std::error_code error;
  for (const char* suffix : {"-wal", "-journal"}) {
    const auto more = fs::file_size(file.string() + suffix, error);
    if (!error && more > 0) return;
  }
  const auto size = fs::file_size(file, error);
  const auto page = database.execAndGet("PRAGMA page_size").getInt64();
  if (!error && page > 0 && size % static_cast<std::uintmax_t>(page) != 0)
    throw SQLite::Exception("the file is cut short", SQLITE_CORRUPT);
}

std::unique_ptr<SqlConnection> open_sqlite(const fs::path& file, const std::string& what,
                                           const std::string& advice) {
  const fs::path absolute = fs::absolute(file);
  return std::make_unique<SqliteFile>(
      absolute, FileErrors{fmt::format("{} '{}'", what, absolute.string()), advice});
}

std::unique_ptr<SqlConnection> adopt_sqlite(SQLite::Database database, SqliteErrors error_of) {
  return std::make_unique<SqliteConnection>(std::move(database), std::move(error_of),
                                            SqliteConnection::Texts::AsTheyAre);
}

}  // namespace imagewright
