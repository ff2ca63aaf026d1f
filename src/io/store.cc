// The rows and what is done with them. How their database is opened and upgraded is io/state_file's
// and io/state_database's.
#include "io/store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <type_traits>
#include <utility>

#include "core/utf8.h"
#include "io/backoff.h"
#include "io/interrupt.h"
#include "io/sql_sqlite.h"
#include "io/state_connection.h"
#include "io/state_database.h"
#include "io/state_file.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFileName = ".builder.state.db";
constexpr int kBuildsKept = 100;
// Of each image; a change of thousands of files has long ones.
constexpr int kDetailsKept = 10;
// Of a run whose builds go on elsewhere, where the database is away.
constexpr std::chrono::minutes kPatience{10};
constexpr std::chrono::milliseconds kPause{1000};

/// The one connection, in whose texts there can be any bytes.
class Sql {
 public:
  explicit Sql(std::unique_ptr<SqlConnection> connection)
      : connection_(std::move(connection)),
        is_shared_(connection_->dialect() == SqlConnection::Dialect::Postgresql) {}

  class Row {
   public:
    Row(const SqlFields& fields, bool is_shared) : fields_(fields), is_shared_(is_shared) {}
    std::string text(std::size_t column) const {
      return is_shared_ ? bytes_of_text(fields_.text(column)) : fields_.text(column);
    }
    std::int64_t number(std::size_t column) const { return fields_.number(column); }

   private:
    const SqlFields& fields_;
    bool is_shared_;
  };

  template <typename Take>
  void each(const char* sql, std::vector<SqlValue> parameters, Take take) {
    if (is_shared_) {
      for (SqlValue& parameter : parameters) {
        if (auto* text = std::get_if<std::string>(&parameter)) *text = text_of_bytes(*text);
      }
    }
    connection_->each(sql, parameters,
                      [&](const SqlFields& fields) { take(Row(fields, is_shared_)); });
  }
  void run(const char* sql, std::vector<SqlValue> parameters = {}) {
    each(sql, std::move(parameters), [](const Row&) {});
  }

  /// What `work` gives, of one state of the database.
  template <typename Work>
  auto look(Work work) {
    return in_transaction(SqlConnection::Access::Read, work);
  }
  /// The same with all that it writes, or nothing of it.
  template <typename Work>
  auto change(Work work) {
    return in_transaction(SqlConnection::Access::Write, [&] {
      connection_->lock();
      if (guard_ && connection_->run(guard_->sql, guard_->parameters).empty())
        throw Error(Error::Kind::Missing, "what that was for is not ours any more");
      return work();
    });
  }

  void guard(StoreGuard guard) { guard_ = std::move(guard); }

 private:
  // (`work` can come anew.)
  template <typename Work>
  auto in_transaction(SqlConnection::Access access, Work work) {
    using Result = decltype(work());
    if constexpr (std::is_void_v<Result>) {
      patiently([&] { connection_->transaction(access, work); });
    } else {
      std::optional<Result> result;
      patiently([&] { connection_->transaction(access, [&] { result.emplace(work()); }); });
      return *std::move(result);
    }
  }

  template <typename Work>
  void patiently(Work work) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (true) {
      try {
        return work();
      } catch (const SqlAway&) {
        if (!guard_ || interrupted() != 0 || std::chrono::steady_clock::now() > until) throw;
      }
      wait_patiently(kPause);
    }
  }

  std::unique_ptr<SqlConnection> connection_;
  bool is_shared_;  // by several processes, which write at the same time
  std::optional<StoreGuard> guard_;
};

// --- Rows

#define IMAGE_COLUMNS                                              \
  "id, name, digest, image_id, config, engine, format, verified, " \
  "(digest IS NOT NULL AND digest = our_digest), reach, source, "  \
  "built_ms, commit_id, tree_id"
#define BUILD_COLUMNS                                                                          \
  "id, name, config, engine, started_ms, duration_ms, result, exit_status, message, reasons, " \
  "digest, image_id, log, source, details"

std::vector<StoredInput> read_inputs(Sql& sql, std::int64_t image) {
  std::vector<StoredInput> inputs;
  sql.each("SELECT kind, name, digest, value FROM image_input WHERE image = ?1 ORDER BY position",
           {image}, [&](const Sql::Row& row) {
             inputs.push_back({row.text(0), row.text(1), row.text(2), row.text(3)});
           });
  return inputs;
}

/// A row that the original has updated since we wrote it is the original's again, but for its
/// owner.
/// Its inputs are left to be read.
ImageRow read_image(const Sql::Row& query) {
  ImageRow row;
  row.name = query.text(1);
  row.digest = query.text(2);
  row.image_id = query.text(3);
  row.config = query.text(4);
  if (query.number(8) == 0) return row;
  row.engine = query.text(5);
  row.format = static_cast<int>(query.number(6));
  row.verified = query.number(7) != 0;
  row.reach = query.text(9);
  row.source = query.text(10);
  row.built_ms = query.number(11);
  row.commit = query.text(12);
  row.tree = query.text(13);
  return row;
}

void write_image(Sql& sql, const ImageRow& row) {
  // By name, with either of two statements: a file of the original is not held to a unique index.
  // (Of several the first counts, as in `find`.)
  std::int64_t id = 0;
  const auto take_id = [&](const Sql::Row& its) {
    id = id == 0 ? its.number(0) : std::min(id, its.number(0));
  };
  const std::vector<SqlValue> values = {row.digest,
                                        row.image_id,
                                        row.config,
                                        row.engine,
                                        std::int64_t{row.format},
                                        std::int64_t{row.verified},
                                        row.name,
                                        row.reach,
                                        row.source,
                                        row.built_ms,
                                        row.commit,
                                        row.tree};
  sql.each(
      "UPDATE image_state SET digest = ?1, image_id = ?2, config = ?3, engine = ?4, format = ?5, "
      "verified = ?6, our_digest = ?1, reach = ?8, source = ?9, built_ms = ?10, commit_id = ?11, "
      "tree_id = ?12 WHERE name = ?7 RETURNING id",
      values, take_id);
  if (id == 0) {
    sql.each(
        "INSERT INTO image_state (digest, image_id, config, engine, format, verified, name, "
        "our_digest, reach, source, built_ms, commit_id, tree_id) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?1, ?8, ?9, ?10, ?11, ?12) RETURNING id",
        values, take_id);
  }
  // Even of a new row there may be some: the original deletes rows without their inputs, and ids
  // come again.
  sql.run("DELETE FROM image_input WHERE image = ?1", {id});
  std::int64_t position = 0;
  for (const StoredInput& input : row.inputs) {
    sql.run(
        "INSERT INTO image_input (image, position, kind, name, digest, value) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        {id, position++, input.kind, input.name, input.digest, input.value});
  }
}

constexpr std::pair<BuildResult, const char*> kResultWords[] = {
    {BuildResult::Success, "success"},
    {BuildResult::Failed, "failed"},
    {BuildResult::Interrupted, "interrupted"},
};

BuildResult result_of(const std::string& word) {
  for (const auto& [value, text] : kResultWords) {
    if (word == text) return value;
  }
  return BuildResult::Failed;
}

BuildRow read_build(const Sql::Row& query) {
  BuildRow build;
  build.id = query.number(0);
  build.name = query.text(1);
  build.config = query.text(2);
  build.engine = query.text(3);
  build.started_ms = query.number(4);
  build.duration_ms = query.number(5);
  build.result = result_of(query.text(6));
  build.exit_status = static_cast<int>(query.number(7));
  build.message = query.text(8);
  build.reasons = query.text(9);
  build.digest = query.text(10);
  build.image_id = query.text(11);
  build.log = query.text(12);
  build.source = query.text(13);
  build.details = query.text(14);
  return build;
}

void write_build(Sql& sql, const BuildRow& build) {
  sql.run(
      "INSERT INTO build (name, config, engine, started_ms, duration_ms, result, exit_status, "
      "message, reasons, digest, image_id, log, source, details) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
      {build.name, build.config, build.engine, build.started_ms, build.duration_ms,
       word(build.result), std::int64_t{build.exit_status}, build.message, build.reasons,
       build.digest, build.image_id, build.log, build.source, build.details});
  sql.run(
      "UPDATE build SET details = '' WHERE name = ?1 AND details <> '' AND id <= (SELECT id FROM "
      "build WHERE name = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
      {build.name, std::int64_t{kDetailsKept}});
  sql.run(
      "DELETE FROM build WHERE name = ?1 AND id <= (SELECT id FROM build WHERE name = ?1 "
      "ORDER BY id DESC LIMIT 1 OFFSET ?2)",
      {build.name, std::int64_t{kBuildsKept}});
}

void write_push(Sql& sql, const std::string& name, const std::string& reference,
                const PublishedRow& row) {
  sql.run(
      "INSERT INTO published (name, reference, image_id, digest, pushed_ms) "
      "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name, reference) DO UPDATE SET "
      "image_id = excluded.image_id, digest = excluded.digest, pushed_ms = excluded.pushed_ms",
      {name, reference, row.image_id, row.digest, row.pushed_ms});
}

std::vector<BuildRow> read_builds(Sql& sql, const std::string& name, std::int64_t limit) {
  std::vector<BuildRow> builds;
  sql.each("SELECT " BUILD_COLUMNS " FROM build WHERE name = ?1 ORDER BY id DESC LIMIT ?2",
           {name, limit}, [&](const Sql::Row& row) { builds.push_back(read_build(row)); });
  return builds;
}

/// The uses of one digest's name that are open in this process. Those of other processes, dead ones
/// or other servers, are known by the table alone.
struct ContextUse {
  std::string name;
  int count = 0;
  bool spoiled = false;  ///< one of them was closed as not verified: no further use of this name
};

struct ContextUses {
  std::mutex mutex;
  std::map<std::string, ContextUse> by_digest;
};

/// Those of one state, which all its Stores share. "": one that nobody else has.
std::shared_ptr<ContextUses> uses_of(const std::string& state) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<ContextUses>> all;
  if (state.empty()) return std::make_shared<ContextUses>();
  const std::lock_guard lock(mutex);
  std::erase_if(all, [](const auto& uses) { return uses.second.expired(); });
  std::weak_ptr<ContextUses>& known = all[state];
  auto uses = known.lock();
  if (!uses) known = uses = std::make_shared<ContextUses>();
  return uses;
}

/// A name that no state file has given before, not even one that was deleted since.
std::string fresh_name(const std::string& digest) {
  std::random_device random;
  return fmt::format("{}-{:08x}{:08x}", digest, random(), random());
}

}  // namespace

std::string kept_in(const std::string& repository) {
  return repository + '@';
}

std::string kept_repository(const std::string& stored) {
  return stored.ends_with('@') ? stored.substr(0, stored.size() - 1) : "";
}

const char* word(BuildResult result) {
  for (const auto& [value, text] : kResultWords) {
    if (value == result) return text;
  }
  return "failed";
}

struct Store::Database {
  Database(const std::string& state, std::unique_ptr<SqlConnection> connection)
      : sql(std::move(connection)), uses(uses_of(state)) {}
  Database(const std::string& state, std::unique_ptr<StateConnection> connection)
      : file(connection.get()), sql(std::move(connection)), uses(uses_of(state)) {}

  StateConnection* file = nullptr;  // the one of `sql`, where it is a file's that is opened late
  Sql sql;
  std::shared_ptr<ContextUses> uses;
};

const std::vector<std::string>& Store::file_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const char* database : {"", ".queue"}) {
      for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
        all.push_back(std::string(kFileName) + database + suffix);
      }
    }
    all.push_back(std::string(kFileName) + ".lock");
    return all;
  }();
  return names;
}

Store::Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Store::~Store() = default;
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;

namespace {

// (What is adopted may be none yet; whoever opens it throws the same errors himself.)
std::unique_ptr<SqlConnection> adopted(const fs::path& file, SQLite::Database database) {
  return adopt_sqlite(std::move(database), [file](const SQLite::Exception& exception) {
    return state_error(file, exception);
  });
}

}  // namespace

Store Store::open(const fs::path& state_directory) {
  const fs::path file = state_directory / kFileName;
  return in_state(file, [&] {
    SQLite::Database database = open_state(file);
    std::error_code ignored;
    return Store(std::make_unique<Database>(fs::weakly_canonical(file, ignored).string(),
                                            adopted(file, std::move(database))));
  });
}

Store Store::open_late(const fs::path& state_directory) {
  const fs::path file = state_directory / kFileName;
  std::error_code ignored;
  Store store = opened(std::make_unique<Database>(
      fs::weakly_canonical(file, ignored).string(),
      std::make_unique<StateConnection>(file, StateConnection::Writes::ToTheFile)));
  // (Not only when the first image is to be built.)
  if (access(file.c_str(), W_OK) != 0 && errno != ENOENT) store.ready_to_write();
  return store;
}

Store Store::open_read_only(const fs::path& state_directory) {
  return opened(std::make_unique<Database>(
      "", std::make_unique<StateConnection>(state_directory / kFileName,
                                            StateConnection::Writes::ToBeForgotten)));
}

// (What is wrong with the file is told when it is opened, not by what is read first.)
Store Store::opened(std::unique_ptr<Database> database) {
  database->sql.look([] {});
  return Store(std::move(database));
}

void Store::ready_to_write() {
  if (database_->file != nullptr) database_->file->open_to_write();
}

Store Store::open_shared(const std::string& url) {
  return Store(std::make_unique<Database>(url, open_state_database(url)));
}

Store Store::read_shared(const std::string& url) {
  auto sql = read_state_database(url);
  return sql ? Store(std::make_unique<Database>("", std::move(sql))) : in_memory();
}

Store Store::in_memory() {
  return Store(std::make_unique<Database>("", adopted(":memory:", empty_state())));
}

void Store::write_only_while(StoreGuard guard) {
  database_->sql.guard(std::move(guard));
}

std::optional<ImageRow> Store::find(const std::string& name) {
  Sql& sql = database_->sql;
  return sql.look([&] {
    std::optional<ImageRow> found;
    std::int64_t id = 0;
    sql.each("SELECT " IMAGE_COLUMNS " FROM image_state WHERE name = ?1 ORDER BY id LIMIT 1",
             {name}, [&](const Sql::Row& row) {
               found = read_image(row);
               id = row.number(0);
             });
    if (found && found->format != 0) found->inputs = read_inputs(sql, id);
    return found;
  });
}

namespace {

template <typename Take>
void each_image(Sql& sql, Take take) {
  sql.each("SELECT " IMAGE_COLUMNS " FROM image_state WHERE name IS NOT NULL ORDER BY id", {},
           [&](const Sql::Row& row) { take(read_image(row)); });
}

}  // namespace

std::vector<ImageRow> Store::rows() {
  return database_->sql.look([&] {
    std::vector<ImageRow> rows;
    each_image(database_->sql, [&](ImageRow row) { rows.push_back(std::move(row)); });
    return rows;
  });
}

std::unordered_map<std::string, ImageRow> Store::rows_by_name() {
  return database_->sql.look([&] {
    std::unordered_map<std::string, ImageRow> rows;
    each_image(database_->sql, [&](ImageRow row) {
      std::string name = row.name;
      rows.try_emplace(std::move(name), std::move(row));
    });
    return rows;
  });
}

std::string Store::last_engine() {
  Sql& sql = database_->sql;
  return sql.look([&] {
    std::string engine;
    sql.each("SELECT engine FROM image_state ORDER BY built_ms DESC LIMIT 1", {},
             [&](const Sql::Row& row) { engine = row.text(0); });
    return engine;
  });
}

bool Store::has_input(const std::string& digest) {
  Sql& sql = database_->sql;
  return sql.look([&] {
    bool has_one = false;
    sql.each(
        "SELECT 1 FROM image_input JOIN image_state ON image_state.id = image_input.image "
        "WHERE image_input.digest = ?1 LIMIT 1",
        {digest}, [&](const Sql::Row&) { has_one = true; });
    return has_one;
  });
}

void Store::record_success(const ImageRow& row, const BuildRow& build,
                           const std::map<std::string, PublishedRow>& kept) {
  Sql& sql = database_->sql;
  sql.change([&] {
    write_image(sql, row);
    write_build(sql, build);
    if (!kept.empty())
      sql.run("DELETE FROM published WHERE name = ?1 AND reference LIKE '%@'", {row.name});
    for (const auto& [repository, its] : kept) write_push(sql, row.name, repository, its);
  });
}

void Store::record_found(const ImageRow& row) {
  database_->sql.change([&] { write_image(database_->sql, row); });
}

void Store::record_attempt(const BuildRow& build) {
  database_->sql.change([&] { write_build(database_->sql, build); });
}

std::map<std::string, PublishedRow> Store::published(const std::string& name) {
  Sql& sql = database_->sql;
  return sql.look([&] {
    std::map<std::string, PublishedRow> all;
    sql.each("SELECT reference, image_id, digest, pushed_ms FROM published WHERE name = ?1", {name},
             [&](const Sql::Row& row) {
               all[row.text(0)] = {row.text(1), row.text(2), row.number(3)};
             });
    return all;
  });
}

std::map<std::string, std::map<std::string, PublishedRow>> Store::all_published() {
  Sql& sql = database_->sql;
  return sql.look([&] {
    std::map<std::string, std::map<std::string, PublishedRow>> all;
    sql.each("SELECT name, reference, image_id, digest, pushed_ms FROM published", {},
             [&](const Sql::Row& row) {
               all[row.text(0)][row.text(1)] = {row.text(2), row.text(3), row.number(4)};
             });
    return all;
  });
}

void Store::record_push(const std::string& name, const std::string& reference,
                        const PublishedRow& row) {
  database_->sql.change([&] { write_push(database_->sql, name, reference, row); });
}

void Store::take_from_others(const std::string& name, const std::string& reference) {
  database_->sql.change([&] {
    database_->sql.run("DELETE FROM published WHERE reference = ?1 AND name <> ?2",
                       {reference, name});
  });
}

void Store::forget_pushes(const std::string& manifest) {
  database_->sql.change(
      [&] { database_->sql.run("DELETE FROM published WHERE digest = ?1", {manifest}); });
}

std::optional<BuildRow> Store::last_build(const std::string& name) {
  std::vector<BuildRow> builds =
      database_->sql.look([&] { return read_builds(database_->sql, name, 1); });
  if (builds.empty()) return std::nullopt;
  return std::move(builds.front());
}

std::vector<BuildRow> Store::builds(const std::string& name) {
  return database_->sql.look([&] { return read_builds(database_->sql, name, kBuildsKept); });
}

std::vector<BuildRow> Store::builds_of_all(int limit) {
  Sql& sql = database_->sql;
  const std::int64_t most = limit < 0 ? std::numeric_limits<std::int64_t>::max() : limit;
  return sql.look([&] {
    std::vector<BuildRow> builds;
    sql.each("SELECT " BUILD_COLUMNS " FROM build ORDER BY id DESC LIMIT ?1", {most},
             [&](const Sql::Row& row) { builds.push_back(read_build(row)); });
    return builds;
  });
}

void Store::record_name(const std::string& name, const std::string& reference) {
  database_->sql.change([&] {
    database_->sql.run(
        "INSERT INTO given_name (reference, name) VALUES (?1, ?2) "
        "ON CONFLICT (reference) DO UPDATE SET name = excluded.name",
        {reference, name});
  });
}

std::vector<std::string> Store::names_given() {
  Sql& sql = database_->sql;
  return sql.look([&] {
    std::vector<std::string> names;
    sql.each("SELECT reference FROM given_name ORDER BY reference", {},
             [&](const Sql::Row& row) { names.push_back(row.text(0)); });
    return names;
  });
}

void Store::forget(const std::set<std::string>& names, const std::string& config) {
  Sql& sql = database_->sql;
  sql.change([&] {
    for (const std::string& name : names) {
      sql.run("DELETE FROM image_state WHERE name = ?1 AND config = ?2", {name, config});
      sql.run("DELETE FROM build WHERE name = ?1 AND config = ?2", {name, config});
      sql.run("DELETE FROM published WHERE name = ?1", {name});
      sql.run("DELETE FROM given_name WHERE name = ?1", {name});
    }
  });
}

std::map<std::string, std::int64_t> Store::durations() {
  Sql& sql = database_->sql;
  return sql.look([&] {
    std::map<std::string, std::int64_t> durations;
    sql.each(
        "SELECT name, duration_ms FROM build WHERE id IN "
        "(SELECT max(id) FROM build WHERE result = ?1 GROUP BY name)",
        {word(BuildResult::Success)},
        [&](const Sql::Row& row) { durations.emplace(row.text(0), row.number(1)); });
    return durations;
  });
}

std::vector<std::string> Store::retire(const std::string& config,
                                       const std::set<std::string>& keep) {
  Sql& sql = database_->sql;
  return sql.change([&] {
    sql.run("UPDATE image_state SET config = ?1 WHERE config = ''", {config});
    std::vector<std::string> dropped;
    sql.each("SELECT name FROM image_state WHERE config = ?1 ORDER BY name", {config},
             [&](const Sql::Row& row) {
               if (std::string name = row.text(0); !keep.contains(name))
                 dropped.push_back(std::move(name));
             });
    for (const std::string& name : dropped) {
      sql.run("DELETE FROM image_state WHERE name = ?1", {name});
      sql.run("DELETE FROM published WHERE name = ?1", {name});
    }
    return dropped;
  });
}

void Store::take_over(const std::string& name, const std::string& config) {
  const auto row = find(name);
  if (!row || row->config == config) return;
  database_->sql.change([&] {
    database_->sql.run("UPDATE image_state SET config = ?1 WHERE name = ?2", {config, name});
  });
}

void Store::clear() {
  Sql& sql = database_->sql;
  sql.change([&] {
    sql.run("DELETE FROM image_input");
    sql.run("DELETE FROM published");
    sql.run("DELETE FROM image_state");
  });
}

// A digest without a row in context_name stands for itself and may be used. A row with `open` = 1
// is a name in use, or one whose use did not end well; with `open` = 0, a name that replaces a
// spoiled one and is good. (A name that another server uses now is one of the former.)

std::string Store::open_context_name(const std::string& digest) {
  Sql& sql = database_->sql;
  const std::lock_guard lock(database_->uses->mutex);
  ContextUse& use = database_->uses->by_digest[digest];
  if (use.count > 0 && !use.spoiled) {
    ++use.count;
    return use.name;
  }
  const std::string name = sql.change([&] {
    std::string its = digest;
    sql.each(
        "SELECT name, open FROM context_name WHERE digest = ?1", {digest},
        [&](const Sql::Row& row) { its = row.number(1) == 0 ? row.text(0) : fresh_name(digest); });
    sql.run(
        "INSERT INTO context_name (digest, name, open) VALUES (?1, ?2, 1) "
        "ON CONFLICT (digest) DO UPDATE SET name = excluded.name, open = 1",
        {digest, its});
    return its;
  });
  use = {name, use.count + 1, false};
  return name;
}

void Store::close_context_name(const std::string& digest, bool verified) {
  Sql& sql = database_->sql;
  const std::lock_guard lock(database_->uses->mutex);
  auto& uses = database_->uses->by_digest;
  const auto found = uses.find(digest);
  if (found == uses.end() || found->second.count == 0) return;
  ContextUse& use = found->second;
  if (!verified) use.spoiled = true;
  if (--use.count > 0) return;
  const ContextUse last = use;
  uses.erase(found);
  if (last.spoiled) return;  // the row stays open
  sql.change([&] {
    sql.run(last.name == digest
                ? "DELETE FROM context_name WHERE digest = ?1 AND name = ?2"
                : "UPDATE context_name SET open = 0 WHERE digest = ?1 AND name = ?2",
            {digest, last.name});
  });
}

}  // namespace imagewright
