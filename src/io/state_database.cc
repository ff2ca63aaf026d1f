#include "io/state_database.h"

#include <fmt/format.h>

#include "io/secret_key.h"
#include "io/sql_schema.h"
#include "io/state_file.h"

namespace imagewright {

namespace {

constexpr const char* kNamed = "the state in PostgreSQL";
constexpr const char* kChannel = "imagewright_state";

// What the state file has in its newest version (io/state_file), which is the first one that was in
// such a database; and the key of secrets, which is in a file else.
constexpr const char* kSchema5 = R"(
  CREATE TABLE image_state (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, digest TEXT, image_id TEXT,
    config TEXT NOT NULL, engine TEXT NOT NULL, format INTEGER NOT NULL,
    verified INTEGER NOT NULL, our_digest TEXT NOT NULL, reach TEXT NOT NULL,
    source TEXT NOT NULL, commit_id TEXT NOT NULL, tree_id TEXT NOT NULL,
    built_ms INTEGER NOT NULL) BUSY_TABLE;
  CREATE TABLE image_input (
    image INTEGER NOT NULL REFERENCES image_state (id) ON DELETE CASCADE,
    position INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (image, position)) ROW_TABLE;
  CREATE TABLE build (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, config TEXT NOT NULL,
    engine TEXT NOT NULL, started_ms INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
    result TEXT NOT NULL, exit_status INTEGER NOT NULL, message TEXT NOT NULL,
    reasons TEXT NOT NULL, digest TEXT NOT NULL, image_id TEXT NOT NULL, log TEXT NOT NULL,
    source TEXT NOT NULL, details TEXT NOT NULL) ROW_TABLE;
  CREATE INDEX build_by_name ON build (name, id);
  CREATE TABLE context_name (
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, open INTEGER NOT NULL) ROW_TABLE;
  CREATE TABLE published (
    name TEXT NOT NULL, reference TEXT NOT NULL, image_id TEXT NOT NULL, digest TEXT NOT NULL,
    pushed_ms INTEGER NOT NULL, PRIMARY KEY (name, reference)) ROW_TABLE;
  CREATE TABLE given_name (reference TEXT PRIMARY KEY, name TEXT NOT NULL) ROW_TABLE;
  CREATE TABLE secret_key (id INTEGER PRIMARY KEY, key BLOB NOT NULL) ROW_TABLE;
)";

const Schema& schema() {
  static const Schema all{"state_version", "state", {{kStateVersion, kSchema5}}};
  return all;
}

}  // namespace

std::unique_ptr<SqlConnection> open_state_database(const std::string& url) {
  auto sql = open_postgresql(url, kChannel);
  bring_up_to_date(*sql, schema(), kNamed);
  return sql;
}

std::unique_ptr<SqlConnection> read_state_database(const std::string& url) {
  auto sql = open_postgresql(url, kChannel);
  const int version = schema_version(*sql, schema());
  if (version == 0) return nullptr;
  if (version != kStateVersion) {
    throw Error(
        Error::Kind::Missing,
        fmt::format("{} is of {} version ({}; this imagewright knows {})", kNamed,
                    version > kStateVersion ? "a newer" : "an older", version, kStateVersion));
  }
  return sql;
}

std::string shared_secret_key(const std::string& url) {
  const auto known = [](SqlConnection& sql) {
    const SqlRows rows = sql.run("SELECT key FROM secret_key WHERE id = 1");
    return rows.empty() ? "" : rows.front().text(0);
  };
  if (const auto sql = read_state_database(url)) {
    if (std::string key = known(*sql); !key.empty()) return key;
  }
  const auto sql = open_state_database(url);
  std::string key;
  sql->transaction(SqlConnection::Access::Write, [&] {
    sql->lock();
    sql->run("INSERT INTO secret_key (id, key) VALUES (1, ?1) ON CONFLICT (id) DO NOTHING",
             {SqlBytes{new_secret_key()}});
    key = known(*sql);
  });
  return key;
}

}  // namespace imagewright
