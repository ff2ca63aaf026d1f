// The state in a database that several servers share. What it means, io/store knows.
#pragma once

#include <memory>
#include <string>

#include "io/sql.h"

namespace imagewright {

/// Opens it, and makes or upgrades its tables, whoever else does at the same time. `url` and
/// errors: as open_postgresql; Error(Missing), too, where a newer imagewright upgraded it.
std::unique_ptr<SqlConnection> open_state_database(const std::string& url);

/// To read. Null: nobody made tables there yet. Changes nothing. Error(Missing), too, where they
/// are of an older version, which a server that writes brings up to date.
std::unique_ptr<SqlConnection> read_state_database(const std::string& url);

/// The key by which contents of secrets are digested (io/secret_key) in that state: one for all who
/// share it, as digests are compared. Made by who comes first. Throws as open_state_database.
std::string shared_secret_key(const std::string& url);

}  // namespace imagewright
