#include "io/state_file.h"

#include <SQLiteCpp/Backup.h>
#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "io/sql_sqlite.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr int kBusyTimeoutMs = 5000;

/// How often a file that changes while it is read without locks is read again.
constexpr int kReadAttempts = 5;
constexpr std::chrono::milliseconds kReadPause{20};

constexpr const char* kAdvice = "move it away, and everything is built once";

// As SQLAlchemy wrote it for the original.
constexpr const char* kSchema0 = R"(
  CREATE TABLE IF NOT EXISTS image_state (
    id INTEGER NOT NULL, name VARCHAR, digest VARCHAR, image_id VARCHAR,
    PRIMARY KEY (id), UNIQUE (name));
)";

// Columns added to image_state have defaults: the original inserts rows without them.
// our_digest repeats the digest that we stored: where they differ, the original has updated the row
// since.
constexpr const char* kSchema1 = R"(
  ALTER TABLE image_state ADD COLUMN config TEXT NOT NULL DEFAULT '';
  ALTER TABLE image_state ADD COLUMN engine TEXT NOT NULL DEFAULT '';
  ALTER TABLE image_state ADD COLUMN format INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE image_state ADD COLUMN verified INTEGER NOT NULL DEFAULT 1;
  ALTER TABLE image_state ADD COLUMN our_digest TEXT NOT NULL DEFAULT '';
  CREATE TABLE image_input (
    image INTEGER NOT NULL REFERENCES image_state (id) ON DELETE CASCADE,
    position INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (image, position)) WITHOUT ROWID;
  CREATE TABLE build (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, config TEXT NOT NULL,
    engine TEXT NOT NULL, started_ms INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
    result TEXT NOT NULL, exit_status INTEGER NOT NULL, message TEXT NOT NULL,
    reasons TEXT NOT NULL, digest TEXT NOT NULL, image_id TEXT NOT NULL, log TEXT NOT NULL);
  CREATE INDEX build_by_name ON build (name, id);
  CREATE TABLE context_name (
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, open INTEGER NOT NULL) WITHOUT ROWID;
  PRAGMA user_version = 1;
)";

// Empty, as for rows that an older version or the original wrote: the whole context.
constexpr const char* kSchema2 = R"(
  ALTER TABLE image_state ADD COLUMN reach TEXT NOT NULL DEFAULT '';
  PRAGMA user_version = 2;
)";

// Empty, as for inputs that are known by their digest alone.
constexpr const char* kSchema3 = R"(
  ALTER TABLE image_input ADD COLUMN value TEXT NOT NULL DEFAULT '';
  PRAGMA user_version = 3;
)";

// What is told of builds: what they were from and why, in full. And what was published.
constexpr const char* kSchema4 = R"(
  ALTER TABLE image_state ADD COLUMN source TEXT NOT NULL DEFAULT '';
  ALTER TABLE image_state ADD COLUMN commit_id TEXT NOT NULL DEFAULT '';
  ALTER TABLE image_state ADD COLUMN tree_id TEXT NOT NULL DEFAULT '';
  ALTER TABLE image_state ADD COLUMN built_ms INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE build ADD COLUMN source TEXT NOT NULL DEFAULT '';
  ALTER TABLE build ADD COLUMN details TEXT NOT NULL DEFAULT '';
  CREATE TABLE published (
    name TEXT NOT NULL, reference TEXT NOT NULL, image_id TEXT NOT NULL, digest TEXT NOT NULL,
    pushed_ms INTEGER NOT NULL, PRIMARY KEY (name, reference)) WITHOUT ROWID;
  PRAGMA user_version = 4;
)";

// Which names we gave to images.
constexpr const char* kSchema5 = R"(
  CREATE TABLE given_name (reference TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
  PRAGMA user_version = 5;
)";

int version_of(SQLite::Database& database) {
  return database.execAndGet("PRAGMA user_version").getInt();
}

/// Throws if what is there is neither nothing nor what the original wrote.
void check_original(SQLite::Database& database, const fs::path& file) {
  const int tables = database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt();
  if (tables == 0) return;
  try {
    SQLite::Statement(database, "SELECT id, name, digest, image_id FROM image_state");
  } catch (const SQLite::Exception& exception) {
    if ((exception.getErrorCode() & 0xff) != SQLITE_ERROR) throw;
    throw Error(Error::Kind::Missing,
                fmt::format("the state file '{}' is another program's database ({}); {}",
                            file.string(), exception.what(), kAdvice));
  }
}

/// Brings a database up to date. Only reads one that is current.
void upgrade(SQLite::Database& database, const fs::path& file) {
  const int version = version_of(database);
  if (version == kStateVersion) return;
  if (version > kStateVersion) {
    throw Error(Error::Kind::Missing,
                fmt::format("the state file '{}' was written by a newer imagewright (state version "
                            "{}; this one knows up to {})",
                            file.string(), version, kStateVersion));
  }
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  if (version < 1) {
    check_original(database, file);
    database.exec(kSchema0);
    database.exec(kSchema1);
  }
  if (version < 2) database.exec(kSchema2);
  if (version < 3) database.exec(kSchema3);
  if (version < 4) database.exec(kSchema4);
  database.exec(kSchema5);
  transaction.commit();
}

SQLite::Database in_memory() {
  SQLite::Database database(":memory:",
                            SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX);
  database.exec("PRAGMA foreign_keys = ON");
  return database;
}

// --- The file and what stands beside it

fs::path beside(const fs::path& file, const char* suffix) {
  return file.string() + suffix;
}

StateStamp stamp_of(const fs::path& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    throw Error(Error::Kind::Missing,
                with_errno(fmt::format("cannot read the state file '{}'", path.string())));
  }
  const auto& changed = status.st_ctim;
  return {true, status.st_ino, status.st_size, changed.tv_sec * 1'000'000'000 + changed.tv_nsec};
}

/// A file system's clock ticks that seldom, or more often.
constexpr std::int64_t kLongestTickNs = 20'000'000;

bool is_written_now(const StateStamps& stamps) {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t now_ns = now.tv_sec * 1'000'000'000 + now.tv_nsec;
  // (What is of the future is, too: the clock was set back.)
  const auto is_new = [&](const StateStamp& stamp) {
    return stamp.exists && now_ns - stamp.changed_ns < kLongestTickNs;
  };
  return is_new(stamps.file) || is_new(stamps.wal) || is_new(stamps.shm) || is_new(stamps.journal);
}

// --- Reading without leaving traces

std::string uri(const fs::path& file, const char* parameters) {
  std::string uri = "file://";
  for (const char c : fs::absolute(file).string()) {
    if (c == '?' || c == '#' || c == '%') {
      uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri + parameters;
}

SQLite::Database copied_into_memory(SQLite::Database& source, const fs::path& file) {
  SQLite::Database copy = in_memory();
  SQLite::Backup backup(copy, source);
  const int result = backup.executeStep(-1);
  if (result != SQLITE_DONE) throw SQLite::Exception(sqlite3_errstr(result), result);
  upgrade(copy, file);
  return copy;
}

SQLite::Database opened_with(const fs::path& file, const char* parameters) {
  SQLite::Database source(uri(file, parameters),
                          SQLite::OPEN_READONLY | SQLite::OPEN_URI | SQLite::OPEN_NOMUTEX,
                          kBusyTimeoutMs);
  check_not_cut(source, file);
  return source;
}

/// A directory of its own for a moment.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (fs::temp_directory_path() / "imagewright-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw Error(Error::Kind::Missing,
                  with_errno(fmt::format("cannot create the directory '{}'", name)));
    }
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// For a file that SQLite has to mend first (a crash's `-wal` or `-journal`) and cannot where it
/// is.
SQLite::Database read_copy(const fs::path& file) {
  const TemporaryDirectory directory;
  const fs::path copy = directory.path() / "state.db";
  for (const char* suffix : {"", "-wal", "-journal"}) {
    const fs::path from = beside(file, suffix);
    if (!stamp_of(from).exists) continue;
    fs::copy_file(from, beside(copy, suffix));
    fs::permissions(beside(copy, suffix), fs::perms::owner_read | fs::perms::owner_write);
  }
  SQLite::Database source(copy.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX);
  check_not_cut(source, file);
  return copied_into_memory(source, file);
}

/// Under SQLite's locks, copied there, so that they are held for a moment only: as long as a file
/// is open, whoever writes cannot put it in order when he is done. nullopt: SQLite could not,
/// without writing here. Where `-wal` and `-shm` are, nothing is created.
std::optional<SQLite::Database> copied_under_locks(const fs::path& file) {
  try {
    SQLite::Database source = opened_with(file, "?mode=ro");
    return copied_into_memory(source, file);
  } catch (const SQLite::Exception& exception) {
    switch (exception.getErrorCode() & 0xff) {
      case SQLITE_CANTOPEN:
      case SQLITE_READONLY:
      case SQLITE_IOERR:
        return std::nullopt;
      default:
        throw;
    }
  }
}

struct Reading {
  ReadableState state;
  bool under_locks = false;  // it is right, whatever moved meanwhile
};

/// `stamps`: those by which the way is chosen.
Reading read_without_traces(const fs::path& file, const StateStamps& stamps, bool may_be_bare) {
  using Way = ReadableState::Way;
  if (!stamps.file.exists) return {{empty_state(), stamps, Way::Copy}};
  const bool is_young = is_written_now(stamps);
  const bool torn = stamps.journal.size > 0;  // a transaction in the file itself was cut short
  if (stamps.wal.exists && stamps.shm.exists && !torn) {
    if (auto copy = copied_under_locks(file))
      return {{*std::move(copy), stamps, Way::Copy, is_young}, true};
    return {{read_copy(file), stamps, Way::Copy, is_young}};
  }
  // Without `-shm` nobody is writing, but to open the file as usual would create it.
  if (stamps.wal.size > 0 || torn) return {{read_copy(file), stamps, Way::Copy, is_young}};
  SQLite::Database source = opened_with(file, "?mode=ro&immutable=1");
  if (!may_be_bare || is_young || version_of(source) != kStateVersion)
    return {{copied_into_memory(source, file), stamps, Way::Copy, is_young}};
  return {{std::move(source), stamps, Way::Bare}};
}

ReadableState read_unmoved(const fs::path& file, bool may_be_bare) {
  // A writer may come or go meanwhile: what was read without locks counts only if nothing moved.
  for (int attempt = 1; attempt <= kReadAttempts; ++attempt) {
    const StateStamps before = stamps_of_state(file);
    const auto unmoved = [&] { return stamps_of_state(file) == before; };
    try {
      Reading reading = read_without_traces(file, before, may_be_bare);
      if (reading.under_locks || unmoved()) return std::move(reading.state);
    } catch (const SQLite::Exception&) {
      if (attempt == kReadAttempts || unmoved()) throw;
    } catch (const fs::filesystem_error&) {
      if (attempt == kReadAttempts || unmoved()) throw;
    }
    std::this_thread::sleep_for(kReadPause);
  }
  throw busy_state_error(file);
}

}  // namespace

StateStamps stamps_of_state(const fs::path& file) {
  return {stamp_of(file), stamp_of(beside(file, "-wal")), stamp_of(beside(file, "-shm")),
          stamp_of(beside(file, "-journal"))};
}

SQLite::Database open_state(const fs::path& file) {
  SQLite::Database database(fs::absolute(file).string(),
                            SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX,
                            kBusyTimeoutMs);
  // SQLite opens a file that it may not write all the same, and would tell only after the first
  // build.
  if (sqlite3_db_readonly(database.getHandle(), "main") == 1) {
    throw Error(Error::Kind::Missing,
                fmt::format("the state file '{}' cannot be written", file.string()));
  }
  database.exec("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
  check_not_cut(database, file);
  upgrade(database, file);
  // Writes only if it was not so. The read behind it makes `-wal` and `-shm` appear in any case.
  database.exec("PRAGMA journal_mode = WAL; PRAGMA user_version");
  return database;
}

ReadableState open_state_to_read(const fs::path& file) {
  return read_unmoved(file, true);
}

SQLite::Database copy_state(const fs::path& file) {
  return read_unmoved(file, false).database;
}

Error busy_state_error(const fs::path& file) {
  return Error(
      Error::Kind::Missing,
      fmt::format("the state file '{}' is being written all the time; try again", file.string()));
}

SQLite::Database empty_state() {
  SQLite::Database database = in_memory();
  upgrade(database, ":memory:");
  return database;
}

namespace {

bool is_full(const fs::path& file) {
  std::error_code error;
  const fs::space_info space = fs::space(file.parent_path(), error);
  return !error && space.available == 0;
}

}  // namespace

Error state_error(const fs::path& file, const SQLite::Exception& exception) {
  const char* said = exception.what();
  std::string message;
  switch (exception.getErrorCode() & 0xff) {
    case SQLITE_NOTADB:
      message = fmt::format("the state file '{}' is not a state file ({}); {}", file.string(), said,
                            kAdvice);
      break;
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:  // a table or column that should be there is not
      message =
          fmt::format("the state file '{}' is damaged ({}); {}", file.string(), said, kAdvice);
      break;
    default:
      // SQLite says "disk I/O error" where it could not make a file that it needs.
      message = fmt::format("cannot use the state file '{}': {}", file.string(),
                            is_full(file) ? "database or disk is full" : said);
  }
  return Error(Error::Kind::Missing, message);
}

Error state_error(const fs::path& file, const fs::filesystem_error& error) {
  return Error(Error::Kind::Missing, fmt::format("cannot use the state file '{}': {}",
                                                 file.string(), error.code().message()));
}

}  // namespace imagewright
