// The state file as an SQLite database: its schema, upgrades of older ones, and the ways to open
// it. Knows nothing of what the rows mean (io/store does).
#pragma once

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>

#include <filesystem>

#include "io/error.h"

namespace imagewright {

/// The schema's version, in `PRAGMA user_version`. Its history, which is also docs/formats.md,
/// "State file":
///   0  what the original of 2014 wrote: the table image_state (id, name, digest, image_id)
///   1  image_state gets config, engine, format, verified, our_digest; the tables image_input,
///      build and context_name are new. The original can still read and write its own table.
///   2  image_state gets reach
inline constexpr int kStateVersion = 5;

/// Opens the file to read and write, creating it, or upgrading it in place in one transaction. A
/// current file is only read here. From then until the database is closed, `-wal` and `-shm` stand
/// beside the file.
SQLite::Database open_state(const std::filesystem::path& file);

/// What the file says now, as a database in memory, upgraded there if it is older; an empty one if
/// there is no file. Creates and changes nothing beside it, so a read-only directory will do.
SQLite::Database snapshot_state(const std::filesystem::path& file);

/// A new, empty state in memory.
SQLite::Database empty_state();

/// What was said about the file, and what can be done, as Error(Missing).
Error state_error(const std::filesystem::path& file, const SQLite::Exception& exception);
Error state_error(const std::filesystem::path& file,
                  const std::filesystem::filesystem_error& error);

/// open_state and snapshot_state, and what is done with their databases, throw Error,
/// SQLite::Exception and std::filesystem::filesystem_error. This makes Error(Missing) of all.
template <typename Work>
auto in_state(const std::filesystem::path& file, Work work) {
  try {
    return work();
  } catch (const SQLite::Exception& exception) {
    throw state_error(file, exception);
  } catch (const std::filesystem::filesystem_error& error) {
    throw state_error(file, error);
  }
}

}  // namespace imagewright
