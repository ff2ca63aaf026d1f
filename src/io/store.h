// What imagewright remembers between runs: the state file `.builder.state.db` (SQLite) of a state
// directory, and its lock; or a database of PostgreSQL that servers share. Knows nothing of how
// digests are made or what is decided with them. The schema and its history are in docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/sql.h"

namespace imagewright {

/// One named input of a build and its digest, as stored: kind is the word of core/fingerprint for
/// it.
struct StoredInput {
  std::string kind;
  std::string name;
  std::string digest;
  std::string value = {};  ///< as of Input
  bool operator==(const StoredInput&) const = default;
};

/// The last success of one image.
struct ImageRow {
  std::string name;
  std::string digest;    ///< over all inputs; in a row of the original: a commit id or SHA-1
  std::string image_id;  ///< `sha256:…`; in a row of the original: 12 digits
  std::string
      config;  ///< the canonical path of the configuration that owns the row; "": nobody's yet
  std::string engine;    ///< "docker", "buildah"; "": written by the original
  int format = 0;        ///< the version of the rules behind `digest`; 0: the original's
  bool verified = true;  ///< false: the context changed while it was built
  std::string reach;     ///< of its context: what counted (core/reach)
  std::vector<StoredInput> inputs;
  std::string source = {};    ///< for people: the directory, or remote, ref and commit (redacted)
  std::string commit = {};    ///< of a git source; else ""
  std::string tree = {};      ///< of a git source: the id of the tree that is the context
  std::int64_t built_ms = 0;  ///< since 1970, UTC: when its build began; 0: not known
  bool operator==(const ImageRow&) const = default;
};

/// By what it is stored where an image is kept that has no name there
/// (Engine::keeps_in_registries): no reference, so that it is never taken for a name that was
/// pushed.
std::string kept_in(const std::string& repository);
/// The repository of that; "": it is none.
std::string kept_repository(const std::string& stored);

/// An image under one of its names in a registry.
struct PublishedRow {
  std::string image_id;
  std::string digest;          ///< of the manifest, `sha256:…`
  std::int64_t pushed_ms = 0;  ///< since 1970, UTC
  bool operator==(const PublishedRow&) const = default;
};

enum class BuildResult { Success, Failed, Interrupted };

/// "success", "failed", "interrupted": as stored, and for programs (docs/formats.md).
const char* word(BuildResult result);

/// One attempt to build an image.
struct BuildRow {
  std::int64_t id = 0;  ///< given by the store
  std::string name;
  std::string config;  ///< the configuration it was built from
  std::string engine;
  std::int64_t started_ms = 0;  ///< since 1970, UTC
  std::int64_t duration_ms = 0;
  BuildResult result = BuildResult::Failed;
  int exit_status = 0;       ///< the engine's
  std::string message;       ///< why it failed, one line; "" for a success
  std::string reasons;       ///< why it was built, as it was shown
  std::string digest;        ///< over all inputs, as they were when it started
  std::string image_id;      ///< "" unless it succeeded
  std::string log;           ///< the path of the log file; "" if there is none
  std::string source = {};   ///< as of ImageRow
  std::string details = {};  ///< the reasons as JSON (docs/formats.md); "": not kept any more
  bool operator==(const BuildRow&) const = default;
};

/// What must hold for what is written.
struct StoreGuard {
  std::string sql;  ///< a statement of that database that gives a row as long as it does
  std::vector<SqlValue> parameters;
};

/// The state of one state directory, or of servers that share a database. Every change is one
/// transaction, on disk when the call returns. Everything throws Error(Missing), with the file's or
/// database's name, if the state cannot be read or written, is damaged, or was written by a newer
/// imagewright. One thread at a time; several threads of the process that holds the lock (of any
/// process, where it is shared) may each have one.
class Store {
 public:
  /// The names in the state directory that are ours: `.builder.state.db` and what stands beside it
  /// (`-wal`, `-shm`, `-journal`), the same of the service's queue (`.builder.state.db.queue`:
  /// service/queue.h); and last `.lock`. Never part of a context.
  static const std::vector<std::string>& file_names();

  /// Opens the state to write, creating the file or bringing an older one (the original's too) up
  /// to date in place. The caller holds the StateLock. While it is open, `-wal` and `-shm` exist.
  static Store open(const std::filesystem::path& state_directory);

  /// The same for a run, but that as long as nothing is written it is read as by `open_read_only`
  /// (each call sees what was written before it, by whomever). The file is opened when something is
  /// to be written, or by `ready_to_write`, which throws what opening it does. One that may not be
  /// written is refused at once.
  static Store open_late(const std::filesystem::path& state_directory);
  void ready_to_write();

  /// Opens the state to read it: no lock, nothing is created or written, a read-only directory is
  /// fine. No file: an empty state. A file of an older version is read as if it had been brought up
  /// to date. Each call sees one state; what others write meanwhile may be seen by the next one, or
  /// not. Whatever is written by this is forgotten, and from then on it sees no change of others.
  static Store open_read_only(const std::filesystem::path& state_directory);

  /// The one in a database of PostgreSQL, to write and to read; nobody has a lock on it. `url`: as
  /// open_postgresql. Made or upgraded as by open_state_database; read as by read_state_database,
  /// and empty where nobody wrote yet.
  static Store open_shared(const std::string& url);
  static Store read_shared(const std::string& url);

  /// From now on nothing is written where that does not hold, in the same transaction, but
  /// Error(Missing) thrown: so whoever lost what he wrote for changes nothing, however late he is.
  /// And where the database is away, it is waited for, ten minutes or until an interrupt.
  void write_only_while(StoreGuard guard);

  /// An empty state that is forgotten in the end. For tests and dry runs.
  static Store in_memory();

  ~Store();
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;

  std::optional<ImageRow> find(const std::string& name);
  /// The first first, without their inputs: `find` brings them.
  std::vector<ImageRow> rows();
  /// The same, by name. Of several of one name, which the original's file can have, the first.
  std::unordered_map<std::string, ImageRow> rows_by_name();
  /// Of the image that was built last; "": there is none.
  std::string last_engine();
  /// Does a row have an input of this digest?
  bool has_input(const std::string& digest);

  /// A build that succeeded: its attempt, and the row with its inputs, which replaces the one
  /// before and takes over its owner. With it, where an engine that keeps its images in registries
  /// has it, and nowhere else: by `kept_in` of the repository (`record_push`).
  void record_success(const ImageRow& row, const BuildRow& build,
                      const std::map<std::string, PublishedRow>& kept = {});
  /// An image that was found to hold these inputs, without a build of ours: the row only.
  void record_found(const ImageRow& row);
  /// A build that failed or was interrupted: the attempt only; the last success stays.
  void record_attempt(const BuildRow& build);

  /// What was last pushed of an image, by reference.
  std::map<std::string, PublishedRow> published(const std::string& name);
  /// The same of all images, by name.
  std::map<std::string, std::map<std::string, PublishedRow>> all_published();
  /// It was pushed.
  void record_push(const std::string& name, const std::string& reference, const PublishedRow& row);

  /// A reference that was pushed is this image's alone: another one that had it has it no more.
  void take_from_others(const std::string& name, const std::string& reference);
  /// What was pushed with this manifest (a digest) is in its registry no more.
  void forget_pushes(const std::string& manifest);

  std::optional<BuildRow> last_build(const std::string& name);
  std::vector<BuildRow> builds(
      const std::string& name);  ///< newest first; at most the last 100 are kept

  /// Of all images, newest first; the first of them, or all that are kept.
  std::vector<BuildRow> builds_of_all(int limit);
  std::vector<BuildRow> all_builds() { return builds_of_all(-1); }

  /// An image got this name from us.
  void record_name(const std::string& name, const std::string& reference);
  /// All names that we gave to images.
  std::vector<std::string> names_given();
  /// Forgets the rows, attempts and pushes of these names, as far as they are of `config`.
  void forget(const std::set<std::string>& names, const std::string& config);

  /// How long the last success of each image took, in milliseconds, by name.
  std::map<std::string, std::int64_t> durations();

  /// From now on the row is owned by `config`, whose present inputs it was found to hold. Writes
  /// nothing if it is already.
  void take_over(const std::string& name, const std::string& config);

  /// The end of a full run of `config`: adopts the rows that nobody owns, then drops those of
  /// `config` whose name is not in `keep`. Gives the dropped names, in order. Attempts are history
  /// and stay.
  std::vector<std::string> retire(const std::string& config, const std::set<std::string>& keep);

  /// Forgets all rows (`--clean`); attempts and context names stay.
  void clear();

  /// Under which name a context of this digest may be given to an engine that remembers contexts by
  /// name (BuildKit does: ARCHITECTURE.md, "Three rules worth knowing"). The digest itself, unless
  /// an earlier use of the name was not closed as verified (the context changed meanwhile, or we
  /// were killed): then a name never used before, which takes the digest's place from then on. Uses
  /// of one digest that are open at the same time in this process share its name, by whichever
  /// Store of the same state. The use is open from now on, on disk.
  std::string open_context_name(const std::string& digest);
  /// Ends the use. Verified: what the engine got was looked at again afterwards and is what the
  /// digest says.
  void close_context_name(const std::string& digest, bool verified);

 private:
  struct Database;
  explicit Store(std::unique_ptr<Database> database);
  static Store opened(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

/// The lock on a state directory: one run at a time. Released when destroyed or when the process
/// ends.
class StateLock {
 public:
  /// Waits for the lock. If another process holds it, `on_wait` is called once, with its process id
  /// (0 if not known); if on_wait returns false, gives up: nullopt. Also nullopt if interrupted
  /// while waiting (io/interrupt.h). Creates the directory and the lock file if needed. Throws
  /// Error(Missing) if it cannot.
  static std::optional<StateLock> acquire(const std::filesystem::path& state_directory,
                                          const std::function<bool(int process_id)>& on_wait);
  ~StateLock();
  StateLock(StateLock&& other) noexcept;
  StateLock& operator=(StateLock&& other) noexcept;

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace imagewright
