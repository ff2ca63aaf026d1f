// SQLite as one of io/sql's, for who opens his database himself.
#pragma once

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>

#include <filesystem>
#include <functional>
#include <memory>

#include "io/error.h"
#include "io/sql.h"

namespace imagewright {

/// What is thrown where SQLite says that.
using SqliteErrors = std::function<Error(const SQLite::Exception&)>;

/// A database that is open already. Texts are stored as they are, whatever bytes they have. Nobody
/// is told of what is announced there, and nobody can wait for it.
std::unique_ptr<SqlConnection> adopt_sqlite(SQLite::Database database, SqliteErrors error_of);

/// SQLite writes whole pages, and reads what is missing of the last one as zeros, that is, as rows
/// that are not there. Throws SQLite::Exception (SQLITE_CORRUPT) for a file of which a part of a
/// page is missing, unless there is more of it beside it.
void check_not_cut(SQLite::Database& database, const std::filesystem::path& file);

}  // namespace imagewright
