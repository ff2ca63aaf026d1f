// The rows and what is done with them. How the database is opened and upgraded is io/state_file's.
#include "io/store.h"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>
#include <fmt/format.h>

#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "io/state_file.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFileName = ".builder.state.db";
constexpr const char* kInMemory = ":memory:";
constexpr int kBuildsKept = 100;
// Of each image; a change of thousands of files has long ones.
constexpr int kDetailsKept = 10;

/// The statements of one database, prepared when they are first used: opening the state costs none.
class Statements {
 public:
  explicit Statements(SQLite::Database& database) : database_(database) {}

  /// `sql` must be a literal: it is known by its address's text, which must outlive us.
  SQLite::Statement& operator[](const char* sql) {
    const auto known = prepared_.find(sql);
    if (known != prepared_.end()) return known->second;
    return prepared_.emplace(sql, SQLite::Statement(database_, sql)).first->second;
  }

 private:
  SQLite::Database& database_;
  std::map<std::string_view, SQLite::Statement> prepared_;
};

/// One use of a statement. Reset in the end, so that no read transaction stays open.
class Query {
 public:
  template <typename... Values>
  Query(Statements& statements, const char* sql, const Values&... values)
      : statement_(statements[sql]) {
    int index = 0;
    (statement_.bind(++index, values), ...);
  }
  ~Query() { statement_.tryReset(); }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  bool next() { return statement_.executeStep(); }
  /// For what gives no rows: how many it changed.
  int run() { return statement_.exec(); }

  std::string text(int column) const { return statement_.getColumn(column).getString(); }
  std::int64_t number(int column) const { return statement_.getColumn(column).getInt64(); }

 private:
  SQLite::Statement& statement_;
};

/// Taking the write lock at once keeps two writers from waiting for each other in the middle.
struct Change : SQLite::Transaction {
  explicit Change(SQLite::Database& database)
      : SQLite::Transaction(database, SQLite::TransactionBehavior::IMMEDIATE) {}
};

// --- Rows

#define IMAGE_COLUMNS                                                                           \
  "id, name, digest, image_id, config, engine, format, verified, digest IS our_digest, reach, " \
  "source, "                                                                                    \
  "built_ms, commit_id, tree_id"
#define BUILD_COLUMNS                                                                          \
  "id, name, config, engine, started_ms, duration_ms, result, exit_status, message, reasons, " \
  "digest, image_id, log, source, details"

std::vector<StoredInput> read_inputs(Statements& statements, std::int64_t image) {
  std::vector<StoredInput> inputs;
  Query query(statements,
              "SELECT kind, name, digest, value FROM image_input WHERE image = ? ORDER BY position",
              image);
  while (query.next())
    inputs.push_back({query.text(0), query.text(1), query.text(2), query.text(3)});
  return inputs;
}

/// A row that the original has updated since we wrote it is the original's again, but for its
/// owner.
/// Its inputs are left to be read.
ImageRow read_image(const Query& query) {
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

void write_image(Statements& statements, const ImageRow& row) {
  // By name, with either of two statements: a file of the original is not held to a unique index.
  const int updated =
      Query(statements,
            "UPDATE image_state SET digest = ?1, image_id = ?2, config = ?3, engine = ?4, "
            "format = ?5, verified = ?6, our_digest = ?1, reach = ?8, source = ?9, built_ms = ?10, "
            "commit_id = ?11, tree_id = ?12 WHERE name = ?7",
            row.digest, row.image_id, row.config, row.engine, row.format, int{row.verified},
            row.name, row.reach, row.source, row.built_ms, row.commit, row.tree)
          .run();
  if (updated == 0) {
    Query(statements,
          "INSERT INTO image_state (digest, image_id, config, engine, format, verified, name, "
          "our_digest, reach, source, built_ms, commit_id, tree_id) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?1, ?8, ?9, ?10, ?11, ?12)",
          row.digest, row.image_id, row.config, row.engine, row.format, int{row.verified}, row.name,
          row.reach, row.source, row.built_ms, row.commit, row.tree)
        .run();
  }
  std::int64_t id = 0;
  {
    Query query(statements, "SELECT id FROM image_state WHERE name = ?", row.name);
    if (query.next()) id = query.number(0);
  }
  // Even of a new row there may be some: the original deletes rows without their inputs, and ids
  // come again.
  Query(statements, "DELETE FROM image_input WHERE image = ?", id).run();
  int position = 0;
  for (const StoredInput& input : row.inputs) {
    Query(statements,
          "INSERT INTO image_input (image, position, kind, name, digest, value) "
          "VALUES (?, ?, ?, ?, ?, ?)",
          id, position++, input.kind, input.name, input.digest, input.value)
        .run();
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

BuildRow read_build(const Query& query) {
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

void write_build(Statements& statements, const BuildRow& build) {
  Query(statements,
        "INSERT INTO build (name, config, engine, started_ms, duration_ms, result, exit_status, "
        "message, reasons, digest, image_id, log, source, details) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        build.name, build.config, build.engine, build.started_ms, build.duration_ms,
        word(build.result), build.exit_status, build.message, build.reasons, build.digest,
        build.image_id, build.log, build.source, build.details)
      .run();
  Query(statements,
        "UPDATE build SET details = '' WHERE name = ?1 AND details <> '' AND id <= (SELECT id FROM "
        "build WHERE name = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        build.name, kDetailsKept)
      .run();
  Query(statements,
        "DELETE FROM build WHERE name = ?1 AND id <= (SELECT id FROM build WHERE name = ?1 "
        "ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        build.name, kBuildsKept)
      .run();
}

void write_push(Statements& statements, const std::string& name, const std::string& reference,
                const PublishedRow& row) {
  Query(statements,
        "REPLACE INTO published (name, reference, image_id, digest, pushed_ms) "
        "VALUES (?, ?, ?, ?, ?)",
        name, reference, row.image_id, row.digest, row.pushed_ms)
      .run();
}

std::vector<BuildRow> read_builds(Statements& statements, const std::string& name, int limit) {
  std::vector<BuildRow> builds;
  Query query(statements,
              "SELECT " BUILD_COLUMNS " FROM build WHERE name = ? ORDER BY id DESC LIMIT ?", name,
              limit);
  while (query.next()) builds.push_back(read_build(query));
  return builds;
}

/// The uses of one digest's name that are open in this process. Those of other processes, which can
/// only be dead ones, are known by the table alone.
struct ContextUse {
  std::string name;
  int count = 0;
  bool spoiled = false;  ///< one of them was closed as not verified: no further use of this name
};

struct ContextUses {
  std::mutex mutex;
  std::map<std::string, ContextUse> by_digest;
};

/// Those of one state file, which all its Stores share.
std::shared_ptr<ContextUses> uses_of(const fs::path& file) {
  static std::mutex mutex;
  static std::map<fs::path, std::weak_ptr<ContextUses>> all;
  if (file == kInMemory) return std::make_shared<ContextUses>();
  std::error_code ignored;
  const fs::path key = fs::weakly_canonical(file, ignored);
  const std::lock_guard lock(mutex);
  std::erase_if(all, [](const auto& uses) { return uses.second.expired(); });
  std::weak_ptr<ContextUses>& known = all[key];
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
  Database(fs::path path, SQLite::Database opened)
      : file(std::move(path)), sqlite(std::move(opened)), statements(sqlite), uses(uses_of(file)) {}

  fs::path file;  ///< for messages
  SQLite::Database sqlite;
  Statements statements;
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

Store Store::open(const fs::path& state_directory) {
  const fs::path file = state_directory / kFileName;
  return in_state(file, [&] { return Store(std::make_unique<Database>(file, open_state(file))); });
}

Store Store::open_read_only(const fs::path& state_directory) {
  const fs::path file = state_directory / kFileName;
  return in_state(file,
                  [&] { return Store(std::make_unique<Database>(file, snapshot_state(file))); });
}

Store Store::in_memory() {
  return Store(std::make_unique<Database>(fs::path(kInMemory), empty_state()));
}

std::optional<ImageRow> Store::find(const std::string& name) {
  return in_state(database_->file, [&]() -> std::optional<ImageRow> {
    Query query(database_->statements, "SELECT " IMAGE_COLUMNS " FROM image_state WHERE name = ?",
                name);
    if (!query.next()) return std::nullopt;
    ImageRow row = read_image(query);
    if (row.format != 0) row.inputs = read_inputs(database_->statements, query.number(0));
    return row;
  });
}

std::vector<ImageRow> Store::rows() {
  return in_state(database_->file, [&] {
    std::vector<ImageRow> rows;
    Query query(database_->statements,
                "SELECT " IMAGE_COLUMNS " FROM image_state WHERE name IS NOT NULL ORDER BY id");
    while (query.next()) rows.push_back(read_image(query));
    return rows;
  });
}

std::string Store::last_engine() {
  return in_state(database_->file, [&]() -> std::string {
    Query query(database_->statements,
                "SELECT engine FROM image_state ORDER BY built_ms DESC LIMIT 1");
    return query.next() ? query.text(0) : "";
  });
}

bool Store::has_input(const std::string& digest) {
  return in_state(database_->file, [&] {
    Query query(database_->statements,
                "SELECT 1 FROM image_input JOIN image_state ON image_state.id = image_input.image "
                "WHERE image_input.digest = ? LIMIT 1",
                digest);
    return query.next();
  });
}

void Store::record_success(const ImageRow& row, const BuildRow& build,
                           const std::map<std::string, PublishedRow>& kept) {
  in_state(database_->file, [&] {
    Change change(database_->sqlite);
    write_image(database_->statements, row);
    write_build(database_->statements, build);
    if (!kept.empty()) {
      Query(database_->statements, "DELETE FROM published WHERE name = ? AND reference LIKE '%@'",
            row.name)
          .run();
    }
    for (const auto& [repository, its] : kept)
      write_push(database_->statements, row.name, repository, its);
    change.commit();
  });
}

void Store::record_found(const ImageRow& row) {
  in_state(database_->file, [&] {
    Change change(database_->sqlite);
    write_image(database_->statements, row);
    change.commit();
  });
}

void Store::record_attempt(const BuildRow& build) {
  in_state(database_->file, [&] {
    Change change(database_->sqlite);
    write_build(database_->statements, build);
    change.commit();
  });
}

std::map<std::string, PublishedRow> Store::published(const std::string& name) {
  return in_state(database_->file, [&] {
    std::map<std::string, PublishedRow> all;
    Query query(database_->statements,
                "SELECT reference, image_id, digest, pushed_ms FROM published WHERE name = ?",
                name);
    while (query.next()) all[query.text(0)] = {query.text(1), query.text(2), query.number(3)};
    return all;
  });
}

std::map<std::string, std::map<std::string, PublishedRow>> Store::all_published() {
  return in_state(database_->file, [&] {
    std::map<std::string, std::map<std::string, PublishedRow>> all;
    Query query(database_->statements,
                "SELECT name, reference, image_id, digest, pushed_ms FROM published");
    while (query.next())
      all[query.text(0)][query.text(1)] = {query.text(2), query.text(3), query.number(4)};
    return all;
  });
}

void Store::record_push(const std::string& name, const std::string& reference,
                        const PublishedRow& row) {
  in_state(database_->file, [&] {
    Change change(database_->sqlite);
    write_push(database_->statements, name, reference, row);
    change.commit();
  });
}

void Store::take_from_others(const std::string& name, const std::string& reference) {
  in_state(database_->file, [&] {
    Change change(database_->sqlite);
    Query(database_->statements, "DELETE FROM published WHERE reference = ? AND name <> ?",
          reference, name)
        .run();
    change.commit();
  });
}

void Store::forget_pushes(const std::string& manifest) {
  in_state(database_->file, [&] {
    Change change(database_->sqlite);
    Query(database_->statements, "DELETE FROM published WHERE digest = ?", manifest).run();
    change.commit();
  });
}

std::optional<BuildRow> Store::last_build(const std::string& name) {
  return in_state(database_->file, [&]() -> std::optional<BuildRow> {
    std::vector<BuildRow> builds = read_builds(database_->statements, name, 1);
    if (builds.empty()) return std::nullopt;
    return std::move(builds.front());
  });
}

std::vector<BuildRow> Store::builds(const std::string& name) {
  return in_state(database_->file,
                  [&] { return read_builds(database_->statements, name, kBuildsKept); });
}

std::vector<BuildRow> Store::builds_of_all(int limit) {
  return in_state(database_->file, [&] {
    std::vector<BuildRow> builds;
    Query query(database_->statements,
                "SELECT " BUILD_COLUMNS " FROM build ORDER BY id DESC LIMIT ?", limit);
    while (query.next()) builds.push_back(read_build(query));
    return builds;
  });
}

void Store::record_name(const std::string& name, const std::string& reference) {
  in_state(database_->file, [&] {
    Change change(database_->sqlite);
    Query(database_->statements, "REPLACE INTO given_name (reference, name) VALUES (?, ?)",
          reference, name)
        .run();
    change.commit();
  });
}

std::vector<std::string> Store::names_given() {
  return in_state(database_->file, [&] {
    std::vector<std::string> names;
    Query query(database_->statements, "SELECT reference FROM given_name ORDER BY reference");
    while (query.next()) names.push_back(query.text(0));
    return names;
  });
}

void Store::forget(const std::set<std::string>& names, const std::string& config) {
  in_state(database_->file, [&] {
    Statements& statements = database_->statements;
    Change change(database_->sqlite);
    for (const std::string& name : names) {
      Query(statements, "DELETE FROM image_state WHERE name = ? AND config = ?", name, config)
          .run();
      Query(statements, "DELETE FROM build WHERE name = ? AND config = ?", name, config).run();
      Query(statements, "DELETE FROM published WHERE name = ?", name).run();
      Query(statements, "DELETE FROM given_name WHERE name = ?", name).run();
    }
    change.commit();
  });
}

std::map<std::string, std::int64_t> Store::durations() {
  return in_state(database_->file, [&] {
    std::map<std::string, std::int64_t> durations;
    Query query(database_->statements,
                "SELECT name, duration_ms FROM build WHERE id IN "
                "(SELECT max(id) FROM build WHERE result = ? GROUP BY name)",
                word(BuildResult::Success));
    while (query.next()) durations.emplace(query.text(0), query.number(1));
    return durations;
  });
}

std::vector<std::string> Store::retire(const std::string& config,
                                       const std::set<std::string>& keep) {
  return in_state(database_->file, [&] {
    Statements& statements = database_->statements;
    Change change(database_->sqlite);
    Query(statements, "UPDATE image_state SET config = ? WHERE config = ''", config).run();
    std::vector<std::string> dropped;
    {
      Query query(statements, "SELECT name FROM image_state WHERE config = ? ORDER BY name",
                  config);
      while (query.next()) {
        if (!keep.contains(query.text(0))) dropped.push_back(query.text(0));
      }
    }
    for (const std::string& name : dropped) {
      Query(statements, "DELETE FROM image_state WHERE name = ?", name).run();
      Query(statements, "DELETE FROM published WHERE name = ?", name).run();
    }
    change.commit();
    return dropped;
  });
}

void Store::take_over(const std::string& name, const std::string& config) {
  const auto row = find(name);
  if (!row || row->config == config) return;
  in_state(database_->file, [&] {
    Change change(database_->sqlite);
    Query(database_->statements, "UPDATE image_state SET config = ? WHERE name = ?", config, name)
        .run();
    change.commit();
  });
}

void Store::clear() {
  in_state(database_->file, [&] {
    Change change(database_->sqlite);
    Query(database_->statements, "DELETE FROM image_input").run();
    Query(database_->statements, "DELETE FROM published").run();
    Query(database_->statements, "DELETE FROM image_state").run();
    change.commit();
  });
}

// A digest without a row in context_name stands for itself and may be used. A row with `open` = 1
// is a name in use, or one whose use did not end well; with `open` = 0, a name that replaces a
// spoiled one and is good.

std::string Store::open_context_name(const std::string& digest) {
  return in_state(database_->file, [&] {
    Statements& statements = database_->statements;
    const std::lock_guard lock(database_->uses->mutex);
    ContextUse& use = database_->uses->by_digest[digest];
    if (use.count > 0 && !use.spoiled) {
      ++use.count;
      return use.name;
    }
    Change change(database_->sqlite);
    std::string name = digest;
    {
      Query query(statements, "SELECT name, open FROM context_name WHERE digest = ?", digest);
      if (query.next()) name = query.number(1) == 0 ? query.text(0) : fresh_name(digest);
    }
    Query(statements, "REPLACE INTO context_name (digest, name, open) VALUES (?, ?, 1)", digest,
          name)
        .run();
    change.commit();
    use = {name, use.count + 1, false};
    return name;
  });
}

void Store::close_context_name(const std::string& digest, bool verified) {
  in_state(database_->file, [&] {
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
    Change change(database_->sqlite);
    Query(database_->statements,
          last.name == digest ? "DELETE FROM context_name WHERE digest = ?"
                              : "UPDATE context_name SET open = 0 WHERE digest = ?",
          digest)
        .run();
    change.commit();
  });
}

}  // namespace imagewright
