// One run over a configuration: look at each image, decide, build what is to be built, remember it
// at once. And the same without building: what would be done, and why. Knows nothing of argv or of
// how things are shown.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config.h"
#include "io/engine.h"
#include "io/places.h"
#include "io/store.h"
#include "run/progress.h"
#include "run/project.h"
#include "run/remembered.h"

namespace imagewright {

struct RunOptions {
  std::vector<std::string> images;  ///< globs; none: all
  std::string engine;               ///< "": by the configuration, else the one that answers
  /// Makes the engine instead, for who brings one of his own. Several may live at the same time.
  std::function<std::unique_ptr<Engine>()> make_engine = {};
  bool clean = false;    ///< forget all rows first
  bool force = false;    ///< build whatever the verdict
  bool dry_run = false;  ///< build nothing, write nothing
  bool fail_fast = false;
  bool push = false;  ///< whatever does not say `push: false`
  /// Keep in the registries by which inputs what is pushed was built, and look there for what is
  /// to be built (run/registry_state).
  bool registry_state = false;
  int jobs = 1;      ///< how much is built at once (ImageConfig::weight)
  bool wait = true;  ///< wait for another run over the same state
  /// Build again what failed, though nothing has changed since.
  bool retry = true;
  /// Only `images` are looked at, which are names then. What they stand on is taken as it was built
  /// last.
  bool only_these = false;
  /// The caller holds the state's lock. Several runs may go on then in this process, of which no
  /// two have an image in common.
  bool is_locked = false;
  /// What repositories and registries said lately counts instead of asking them; with `ask_anew`
  /// only what they said just now (Remembered::kJustNow). What they say is kept there. Borrowed;
  /// nullptr: each run asks.
  Remembered* remembered = nullptr;
  bool ask_anew = false;
  /// The process ends after this: memory need not be freed.
  bool is_last = false;
  /// true: the run ends as by an interrupt; borrowed.
  const std::atomic<bool>* stop = nullptr;
  // Where it is for a job that can be lost to somebody else: nothing is stored then any more, and
  // no name moved in a registry. Without, it cannot.
  std::optional<StoreGuard> guard = {};
  std::function<bool()> is_held = {};  ///< from any thread
};

/// The engine by which these images are built or looked at. Throws as find_engine.
std::unique_ptr<Engine> engine_for(const Project& project, const RunOptions& options);

/// Builds what changed. A failed image is a value in the summary; throws Error(Missing) for what
/// the whole run needs and Error(Usage) for options that fit nothing. What is finished when it
/// throws or is interrupted stays finished.
RunSummary build_images(const Project& project, const RunOptions& options, Progress& progress);

enum class Standing {
  UpToDate,
  Stale,        ///< would be built
  Failed,       ///< would be built, and the last attempt at exactly these inputs failed
  Unpublished,  ///< would not be built, but tagged or pushed
  Unknown,      ///< its source cannot be read
};

/// "up-to-date", "stale", "failed", "unpublished", "unknown".
const char* word(Standing standing);

struct ImageStatus {
  std::string name;
  Standing standing = Standing::Unknown;
  std::vector<Reason> reasons;  ///< why it would be built
  /// Unknown, Failed: what is or went wrong; Unpublished: what is to be done; UpToDate: where a
  /// registry has it, if the engine does not matter.
  std::string message;
  std::string source;    ///< for people
  std::string image_id;  ///< of the last success; "": none
  /// Where a registry was found to have it, so that it need not be built; "": it was not.
  std::string in_registry = {};
};

/// What `build_images` would do: reads only, takes no lock, works on a read-only state directory.
/// Throws as above.
std::vector<ImageStatus> image_status(const Project& project, const RunOptions& options,
                                      Progress& progress);

/// Where the logs of an image's builds are kept.
std::filesystem::path log_directory(const Project& project, const std::string& image);

}  // namespace imagewright
