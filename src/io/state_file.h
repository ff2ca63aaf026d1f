// The state file as an SQLite database: its schema, upgrades of older ones, and the ways to open
// it. Knows nothing of what the rows mean (io/store does).
#pragma once

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>

#include <cstdint>
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

/// What stands on disk, to see whether it moved meanwhile.
struct StateStamp {
  bool exists = false;
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t changed_ns = 0;
  bool operator==(const StateStamp&) const = default;
};

/// Of the file and of what stands beside it.
struct StateStamps {
  StateStamp file, wal, shm, journal;
  bool operator==(const StateStamps&) const = default;
};

StateStamps stamps_of_state(const std::filesystem::path& file);

/// The file as it is now, to be read.
struct ReadableState {
  enum class Way {
    Copy,  ///< in memory, upgraded there if the file is older; right whatever moves
    Bare,  ///< the file, without locks: what is read is right if the stamps are still the same then
  };
  SQLite::Database database;
  StateStamps stamps;  ///< it was read, or opened, at these
  Way way;
  /// Written so shortly before that a further write may leave the stamps as they are. Never `Bare`.
  bool is_young = false;
};

/// No file: an empty state. Creates and changes nothing beside it, so a read-only directory will
/// do.
ReadableState open_state_to_read(const std::filesystem::path& file);

/// What is told where no moment can be found at which nobody writes.
Error busy_state_error(const std::filesystem::path& file);

/// The same, always as a copy.
SQLite::Database copy_state(const std::filesystem::path& file);

/// A new, empty state in memory.
SQLite::Database empty_state();

/// What was said about the file, and what can be done, as Error(Missing).
Error state_error(const std::filesystem::path& file, const SQLite::Exception& exception);
Error state_error(const std::filesystem::path& file,
                  const std::filesystem::filesystem_error& error);

/// All of these, and what is done with their databases, throw Error,
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
