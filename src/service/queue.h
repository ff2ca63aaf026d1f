// The queue of builds: which image is to be built, by whom it is being built, and what came of it.
// It outlives the process that writes it, and several servers may share one. Knows nothing of how
// images are built, or of who asks. The rules are those of a lease with a fence: who claims a job
// holds it for a while and by a number that nobody had before; whatever he says later names both,
// and changes nothing when he has lost it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/store.h"

namespace imagewright {

enum class JobState {
  Blocked,      ///< waits until what its image stands on has no job left
  Queued,       ///< may be claimed, when its time has come
  Running,      ///< somebody holds it
  Succeeded,    ///< ended: built
  UpToDate,     ///< ended: there was nothing to build
  Failed,       ///< ended: by its build or its source
  Skipped,      ///< ended: what it stands on failed
  Cancelled,    ///< ended: somebody asked for that
  Superseded,   ///< ended: lost, and a newer one waits
  Quarantined,  ///< ended: lost as often as is tried
};

/// "blocked", "queued", …: as stored, and for programs.
const char* word(JobState state);
std::optional<JobState> parse_job_state(std::string_view word);
/// Has it ended?
bool is_final(JobState state);

/// A build to be done.
struct NewJob {
  std::string image;
  std::string inputs;               ///< the digest over them, as they were seen (Manifest::digest)
  std::string reasons;              ///< why it is to be built, as people read it
  std::string details;              ///< the same for programs (docs/formats.md)
  std::string trigger;              ///< what brought it about: "change", "webhook", "user", …
  int priority = 0;                 ///< the higher the sooner
  std::set<std::string> needs;      ///< labels that whoever builds it must have
  std::set<std::string> waits_for;  ///< images; as long as one of them has a job, it is blocked
};

struct Job {
  std::int64_t id = 0;
  std::string image;
  JobState state = JobState::Queued;
  std::string inputs;
  std::string reasons;
  std::string details;
  std::string trigger;
  int priority = 0;
  std::set<std::string> needs;
  std::set<std::string> waits_for;  ///< of a blocked one: what still has a job
  int attempts = 0;                 ///< how often it was claimed since it was enqueued or replaced,
                                    ///< and not handed back
  std::int64_t fence = 0;           ///< of the last claim; 0: none yet
  std::string worker;               ///< who claimed it last; "": nobody yet
  // Milliseconds since 1970, UTC; 0: not yet.
  std::int64_t queued_ms = 0;
  std::int64_t not_before_ms = 0;   ///< it may not be claimed before
  std::int64_t started_ms = 0;      ///< of the last claim
  std::int64_t lease_until_ms = 0;  ///< of a running one
  std::int64_t finished_ms = 0;
  bool cancel_asked = false;   ///< of a running one
  std::string message;         ///< why it ended so, one line; "" for a success
  std::string image_id;        ///< of a success
  std::int64_t log_bytes = 0;  ///< of the last claim's log
};

/// Who claims.
struct Claimant {
  std::string worker;            ///< its name
  std::set<std::string> labels;  ///< what it has
};

/// What came of a job, by who holds it.
struct JobOutcome {
  JobState state = JobState::Failed;  ///< Succeeded, UpToDate, Failed or Cancelled
  std::string message;
  std::string image_id;
};

enum class Enqueued {
  New,          ///< a job of its own
  Replaced,     ///< the image had one that waited: that one is for these inputs now
  Same,         ///< the image has one that waits for just these inputs; or none that waits, and one
                ///< that runs with them and was not asked to stop
  Quarantined,  ///< nothing: with just these inputs it was lost too often (`retry` allows it)
};

struct EnqueueResult {
  Enqueued how = Enqueued::New;
  std::int64_t job = 0;  ///< 0: none
};

/// Whether somebody still holds a job.
struct Held {
  bool held = false;          ///< false: lost; he has to stop, and nothing he says counts
  bool cancel_asked = false;  ///< he is to stop, and finish it as Cancelled
};

struct QueueTimes {
  std::chrono::milliseconds lease{60'000};
  std::chrono::milliseconds affinity{30'000};  ///< kept for who built the image last
  int most_attempts = 3;
  std::function<std::int64_t()> now = {};  ///< for tests: the time instead of the store's clock
};

struct JobFilter {
  std::optional<JobState> state;
  bool active = false;      ///< only what has not ended
  std::string image;        ///< "": any
  std::int64_t before = 0;  ///< only ids below; 0: any
  int most = 100;
};

/// Whose leases count as over.
enum class Leases {
  AsTheyAre,
  AreOver,  ///< all: nobody holds a job any more
};

/// What reaping found.
struct Reaped {
  std::vector<std::int64_t> requeued;
  std::vector<std::int64_t> superseded;
  std::vector<std::int64_t> quarantined;
  std::vector<std::int64_t> cancelled;
  bool empty() const {
    return requeued.empty() && superseded.empty() && quarantined.empty() && cancelled.empty();
  }
};

/// What a server says of itself.
struct ServerNews {
  enum class What {
    Begins,    ///< it serves from now on
    GoesOn,    ///< as before
    ReadAnew,  ///< its settings have changed since
  };
  std::string name;      ///< which no other one has
  std::string settings;  ///< a digest over what decides what is built, and how
  What what = What::GoesOn;
};

/// Someone who builds, as last seen.
struct WorkerRow {
  std::string name;
  std::set<std::string> labels;
  std::string engine;  ///< as people read it
  std::string version;
  std::int64_t seen_ms = 0;
  bool draining = false;
};

/// Every change is one transaction, on disk when the call returns. Everything throws Error(Missing)
/// if the store cannot be read or written; a lost connection is made again first. Where it
/// breaks at the very end of a change, it is not known whether that was made (who finishes a job
/// again may then be told that he lost it).
/// One thread at a time; several processes may each have one of their own over the same store.
/// Times are the store's: PostgreSQL's clock, or this machine's for SQLite.
class Queue {
 public:
  virtual ~Queue() = default;

  // --- What is to be done

  /// At most one job of an image waits (is blocked or queued) and at most one runs. One that waits
  /// is replaced: inputs, reasons, details, trigger, needs and waits_for are the new ones', the
  /// priority is the higher of both, queued_ms stays; with other inputs its attempts count from 0
  /// again. (One that waits for the same inputs, too, is brought up to date so.)
  ///
  /// One that waits is blocked as long as one of `waits_for` (other than itself) has a job that has
  /// not ended, also one that came later. An image that itself waits for this one, through others
  /// or not, is not waited for: in a circle nobody would ever be free.
  ///
  /// With the inputs with which the image failed last it may be claimed only after 0, 0, 1, 2, 4,
  /// 8, 16, 32, 32, … hours since then, by how often in a row it failed with them (fleet.md,
  /// "Checkers"); other inputs that fail, or a success (Succeeded or UpToDate), begin anew.
  virtual EnqueueResult enqueue(const NewJob& job) = 0;

  /// Ends a job that waits, and what it blocks as by `finish` (true); asks who holds it to stop
  /// (true). False: it has ended, or there is none.
  virtual bool cancel(std::int64_t job) = 0;

  /// The image of an ended job gets a new one that is like it (inputs, reasons, details, trigger,
  /// priority, needs, waits_for), without waiting for a time, and a quarantine of these inputs
  /// ends. Where one waits already, for whatever inputs, it is that one whose waiting time is over
  /// (what blocks it still does). 0: there is no such job, or it runs; else the job that waits now.
  virtual std::int64_t retry(std::int64_t job) = 0;

  // --- Who does it

  /// The job to do next, now held by the claimant: Running, attempts one more, a fence greater than
  /// any before, a lease. Only one that is queued, whose time has come, whose image no job runs,
  /// all of whose `needs` the claimant has; and not one whose image another worker built last (its
  /// last Succeeded job), until the affinity's time after it could first be claimed has passed (it
  /// was queued, its time had come and its image did not run), unless that other worker was not
  /// seen (`record_worker`) for longer than a lease. The highest priority first, then the longest
  /// waiting, then the lowest id; with several who claim at the same time, nearly so.
  virtual std::optional<Job> claim(const Claimant& claimant) = 0;

  /// He is alive: the lease is whole again. (Also if it was over, and nobody took the job.)
  virtual Held heartbeat(std::int64_t job, std::int64_t fence) = 0;

  /// He holds it still and begins anew: a new fence with an empty log, the lease is whole, the
  /// attempts are as they were. nullopt: he has lost it. Also by an earlier fence, if the job was
  /// only ever begun anew since, by this: he may not have heard of it.
  virtual std::optional<Job> claim_again(std::int64_t job, std::int64_t fence) = 0;

  /// What he found the inputs to be when he looked himself: the job is for these now. Its attempts
  /// count on.
  virtual Held set_inputs(std::int64_t job, std::int64_t fence, const std::string& inputs,
                          const std::string& reasons, const std::string& details) = 0;

  /// It has ended so. False: he had lost it, and nothing changes. Jobs that are blocked by its
  /// image are queued when that has no job left; if it Failed or was Cancelled, they end as Skipped
  /// ("IMAGE failed", "IMAGE was cancelled"), and what they block does so, too, with the same
  /// message. (An image that has a newer job waiting blocks its children still.)
  virtual bool finish(std::int64_t job, std::int64_t fence, const JobOutcome& outcome) = 0;

  /// He will not do it, through no fault of its own (he stops): queued as before, the attempt is
  /// not counted; Superseded where a newer one waits, Cancelled where that was asked. False: he had
  /// lost it.
  virtual bool hand_back(std::int64_t job, std::int64_t fence) = 0;

  /// Jobs whose lease is over go back, or end: as Superseded where a newer one waits, else as
  /// Cancelled where that was asked, else as Quarantined after the last attempt. What they block is
  /// treated as by `finish` (Quarantined as Failed). What goes back is blocked or queued as what is
  /// enqueued is.
  virtual Reaped reap(Leases leases = Leases::AsTheyAre) = 0;

  /// Nobody could be heard for a while (the store or all servers were away): all leases are whole.
  /// Not where another server serves: then he could be heard.
  virtual void extend_leases(const std::string& server) = 0;

  // --- Servers that share the store

  /// A server serves, and says so again within a quarter of a lease. Do its settings count? They do
  /// if all that serve have the same ones; else those of the one that changed its own last, or of
  /// the one that has served longest where none did. Whose do not has to leave the queue alone:
  /// each would undo what the other one does. Throws Error(Missing), too, where the tables are of a
  /// newer version by now.
  virtual bool serve(const ServerNews& news) = 0;
  /// It does not serve any more.
  virtual void end_serving(const std::string& server) = 0;

  // --- What is known

  /// The store's time.
  virtual std::int64_t now_ms() = 0;
  virtual std::optional<Job> find(std::int64_t job) = 0;
  /// The newest first.
  virtual std::vector<Job> jobs(const JobFilter& filter) = 0;
  /// How many of each state there are.
  virtual std::map<JobState, std::int64_t> counts() = 0;
  /// When the next job that waits for its time alone (not blocked, its image not running) may be
  /// claimed; nullopt: there is none.
  virtual std::optional<std::int64_t> next_due_ms() = 0;
  /// Forgets ended jobs and their logs: of each image all but so many. Gives how many went. What is
  /// known of their images (failures, quarantines, who built them) stays.
  virtual std::int64_t prune(int kept_of_each_image) = 0;

  // --- Logs

  /// Bytes of a job's log, by who holds it, at an offset of his own claim's log. What is there
  /// already is not written again; a gap is refused (where the log ends is less than where it would
  /// then). Gives where the log ends now; nullopt: he has lost it.
  virtual std::optional<std::int64_t> append_log(std::int64_t job, std::int64_t fence,
                                                 std::int64_t offset, std::string_view bytes) = 0;
  /// Of the last claim's log, or of the claim with that fence: from `offset` as much as there is,
  /// at most `most`.
  virtual std::string read_log(std::int64_t job, std::int64_t offset, std::size_t most,
                               std::int64_t fence = 0) = 0;

  // --- Workers, deliveries, tokens

  /// He was seen now (`seen_ms` is the store's time). To be called with each claim and heartbeat;
  /// does not end a `wait`.
  virtual void record_worker(const WorkerRow& worker) = 0;
  /// By name.
  virtual std::vector<WorkerRow> workers() = 0;

  /// True the first time that this delivery (a webhook's) is told of; it is known for a week.
  virtual bool is_new_delivery(const std::string& id) = 0;

  /// A token by the digest under which it is kept; `role`: "read", "build", "admin", "worker".
  /// Several may have one name; a digest that is there already gets the new role and name.
  virtual void add_token(const std::string& digest, const std::string& role,
                         const std::string& name) = 0;
  /// All of that name. False: there was none.
  virtual bool remove_token(const std::string& name) = 0;
  struct Token {
    std::string role;
    std::string name;
    std::int64_t created_ms = 0;
  };
  virtual std::optional<Token> find_token(const std::string& digest) = 0;
  /// By name, then the oldest first.
  virtual std::vector<Token> tokens() = 0;

  // --- Waiting

  /// Until something in the store may have changed since the last wait, by whomever, or for `most`.
  /// Only wakes: whoever waits looks himself. Heartbeats, workers seen, deliveries and tokens count
  /// as no change. By one thread, while another one may use the queue. Where the store is away, it
  /// waits all the same, and throws nothing.
  virtual void wait(std::chrono::milliseconds most) = 0;
  /// Ends the `wait` that is under way, or else the next one. From another thread or a signal's
  /// handler.
  virtual void wake() = 0;
};

/// For a state that is in the same database of PostgreSQL as the queue: as long as the job is held
/// by that fence.
StoreGuard while_held(std::int64_t job, std::int64_t fence);

/// The file in a state directory in which a server's queue is, if that is SQLite's.
inline constexpr char kQueueFileName[] = ".builder.state.db.queue";

/// In that file of the state directory, which is made if need be (Store::file_names
/// has it, too).
std::unique_ptr<Queue> open_sqlite_queue(const std::filesystem::path& state_directory,
                                         const QueueTimes& times = {});
/// `url`: postgresql://… as libpq takes it. Makes or upgrades what it needs there, whoever else
/// does at the same time. Throws Error(Missing) where there is no libpq or no such server, and
/// where a newer imagewright upgraded it; passwords are never repeated.
std::unique_ptr<Queue> open_postgresql_queue(const std::string& url, const QueueTimes& times = {});
/// That of `database`, or without one of the directory.
std::unique_ptr<Queue> open_queue(const std::filesystem::path& state_directory,
                                  const std::string& database);

}  // namespace imagewright
