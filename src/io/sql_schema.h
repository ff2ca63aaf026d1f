// Tables that are made, and brought up to date, by whoever comes first. Knows nothing of what is in
// them.
#pragma once

#include <string>
#include <vector>

#include "io/sql.h"

namespace imagewright {

/// What leads to a version of the tables from the one before.
struct SchemaStep {
  int version;
  const char* script;  ///< in SQLite's words; for PostgreSQL they are replaced
};

/// Some of an application's tables.
struct Schema {
  const char* versions;  ///< the table in which it is noted when they came to which version
  const char* what;      ///< "queue", "state": for messages
  std::vector<SchemaStep> steps;
};

/// Makes the tables, or brings older ones up to date, forward only, in one transaction, whoever
/// else does at the same time. `named` is for messages. Throws Error(Missing) where they are of a
/// newer version.
///
/// Of the words, those in capitals that SQL does not have are: BUSY_TABLE, one whose rows often
/// change; KEY_TABLE, one that is nothing but its key; ROW_TABLE, any other. Texts are compared by
/// their bytes in both.
void bring_up_to_date(SqlConnection& sql, const Schema& schema, const std::string& named);

/// The version of the tables; 0: there are none. Changes nothing.
int schema_version(SqlConnection& sql, const Schema& schema);

}  // namespace imagewright
