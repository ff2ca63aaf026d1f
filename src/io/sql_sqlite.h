// SQLite as one of io/sql's, for who opens his database himself.
#pragma once

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>

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

}  // namespace imagewright
