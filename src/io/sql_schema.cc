#include "io/sql_schema.h"

#include <fmt/format.h>

#include <utility>

#include "core/replace_all.h"

namespace imagewright {

namespace {

constexpr const char* kVersionTable =
    "CREATE TABLE IF NOT EXISTS {} ("
    "version INTEGER NOT NULL PRIMARY KEY, since_ms INTEGER NOT NULL) ROW_TABLE;";

using Words = std::pair<const char*, const char*>;

constexpr Words kSqliteWords[] = {
    {"BUSY_TABLE", "STRICT"},
    {"KEY_TABLE", "WITHOUT ROWID, STRICT"},
    {"ROW_TABLE", "STRICT"},
};

// Of rows that change often, an old one's place is to be free again soon, and beside it.
constexpr Words kPostgresqlWords[] = {
    {"INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"},
    {"INTEGER", "BIGINT"},
    {"TEXT", "TEXT COLLATE \"C\""},
    {"BLOB", "BYTEA"},
    {"BUSY_TABLE", "WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)"},
    {" KEY_TABLE", ""},
    {" ROW_TABLE", ""},
};

template <std::size_t Count>
std::string spelled(std::string sql, const Words (&words)[Count]) {
  for (const auto& [from, to] : words) replace_all(sql, from, to);
  return sql;
}

std::string spelled(const std::string& sql, SqlConnection::Dialect dialect) {
  return dialect == SqlConnection::Dialect::Sqlite ? spelled(sql, kSqliteWords)
                                                   : spelled(sql, kPostgresqlWords);
}

int newest(SqlConnection& sql, const Schema& schema) {
  return static_cast<int>(
      sql.run(fmt::format("SELECT max(version) FROM {}", schema.versions)).front().number(0));
}

}  // namespace

void bring_up_to_date(SqlConnection& sql, const Schema& schema, const std::string& named) {
  if (schema_version(sql, schema) == schema.steps.back().version) return;
  sql.transaction(SqlConnection::Access::Write, [&] {
    sql.lock();
    sql.script(spelled(fmt::format(fmt::runtime(kVersionTable), schema.versions), sql.dialect()));
    const int version = newest(sql, schema);
    const int ours = schema.steps.back().version;
    if (version > ours) {
      throw Error(Error::Kind::Missing,
                  fmt::format("{} was written by a newer imagewright ({} version {}; this one "
                              "knows up to {})",
                              named, schema.what, version, ours));
    }
    if (version == ours) return;
    for (const SchemaStep& step : schema.steps) {
      if (step.version > version) sql.script(spelled(step.script, sql.dialect()));
    }
    sql.run(fmt::format("INSERT INTO {} (version, since_ms) VALUES (?1, ?2)", schema.versions),
            {std::int64_t{ours}, sql.now_ms()});
  });
}

int schema_version(SqlConnection& sql, const Schema& schema) {
  int version = 0;
  sql.transaction(SqlConnection::Access::Read, [&] {
    const char* const is_there = sql.dialect() == SqlConnection::Dialect::Sqlite
                                     ? "SELECT 1 FROM sqlite_schema WHERE name = ?1"
                                     : "SELECT 1 FROM pg_tables WHERE schemaname = "
                                       "current_schema() AND tablename = ?1";
    version = sql.run(is_there, {std::string(schema.versions)}).empty() ? 0 : newest(sql, schema);
  });
  return version;
}

}  // namespace imagewright
