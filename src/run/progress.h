// What a run tells while it goes on, and the ways of showing it: plain lines, the original's log, a
// live view on a terminal, JSON events. Nothing here decides anything.
#pragma once

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/schedule.h"
#include "core/verdict.h"

namespace imagewright {

/// How one image ended.
struct ImageResult {
  std::string name;
  ImageState state = ImageState::Skipped;
  bool dry_run = false;  ///< Built: it would be
  std::vector<Reason> reasons;
  std::string image_id;  ///< Built and UpToDate
  /// UpToDate: where a registry was found to have it, `repository@sha256:…`; "": it is the
  /// engine's.
  std::string in_registry;
  std::chrono::milliseconds duration{0};
  std::string message;                  ///< Failed: why, one line. Skipped: why
  std::string because;                  ///< Skipped: the failed image because of which; "": none
  std::vector<std::string> last_lines;  ///< Failed by its build: the last of its output
  std::filesystem::path log;            ///< "": none
};

struct RunSummary {
  std::vector<ImageResult> images;      ///< in the file's order
  std::size_t publishing_failures = 0;  ///< names that could not be set or pushed
  std::chrono::milliseconds duration{0};
  int signal = 0;  ///< SIGINT or SIGTERM, if that ended it
  std::size_t count(ImageState state) const;
};

/// Told, all of it from one thread, in this order: steps; the run started; for each image started,
/// steps, decided and, if an engine builds it, build started, output, and at the end finished; for
/// each that was cancelled before its turn, only finished; the run finished. What is told of one
/// image may stand between what is told of another: several may build at once. Then another run may
/// follow.
class Progress {
 public:
  Progress() = default;
  virtual ~Progress() = default;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// False: steps and details are not shown, and need not be put together.
  virtual bool shows_steps() const { return false; }
  /// One step of the run, for those who want to follow (`-v`).
  virtual void step(const std::string& text) { (void)text; }
  /// The same, of one image.
  virtual void image_step(const std::string& name, const std::string& text) {
    (void)name, (void)text;
  }
  /// Digests, definitions, ids (`-vv`).
  virtual void image_detail(const std::string& name, const std::string& text) {
    (void)name, (void)text;
  }
  /// Something the user should know; the run goes on.
  virtual void warning(const std::string& text) = 0;
  /// The state directory is in use; 0: by whom is not known.
  virtual void waiting(const std::filesystem::path& state_directory, int process_id) = 0;
  /// `jobs`: how many may build at once; 0: not told.
  virtual void run_started(const std::filesystem::path& config, std::size_t images,
                           std::size_t jobs) {
    (void)config, (void)images, (void)jobs;
  }
  /// Its inputs are looked at now, which is short.
  virtual void image_started(const std::string& name) { (void)name; }
  virtual void image_decided(const std::string& name, const Verdict& verdict) {
    (void)name, (void)verdict;
  }
  /// It is going to be built, by the inputs over which this is the digest (Manifest).
  virtual void image_inputs(const std::string& name, const std::string& digest) {
    (void)name, (void)digest;
  }
  /// An engine begins to build it now.
  virtual void build_started(const std::string& name) { (void)name; }
  /// A line that the engine said of it.
  virtual void output(const std::string& name, std::string_view line) { (void)name, (void)line; }
  /// About ten times a second while an engine works. `remaining`: how long the whole run is going
  /// to take from now, by what is known of earlier ones; nullopt: that is not known.
  virtual void tick(std::optional<std::chrono::milliseconds> remaining) { (void)remaining; }
  virtual void image_finished(const ImageResult& result) = 0;
  /// After its end: an image got a name that it did not have; or is in a registry under one now
  /// (`digest`: its manifest's); or could not be tagged or pushed, in one line why.
  virtual void image_tagged(const std::string& name, const std::string& reference) {
    (void)name, (void)reference;
  }
  virtual void image_pushed(const std::string& name, const std::string& reference,
                            const std::string& digest) {
    (void)name, (void)reference, (void)digest;
  }
  virtual void publishing_failed(const std::string& name, const std::string& reference,
                                 const std::string& message) = 0;
  /// An image that left the configuration was forgotten.
  virtual void row_retired(const std::string& name) { (void)name; }
  virtual void run_finished(const RunSummary& summary) { (void)summary; }
};

/// One line per image built (to `out`), failed, or skipped because of a failed one (to `err`);
/// nothing for one that is up to date. With `quiet` only what goes to `err`. With `summary` a last
/// line that counts.
std::unique_ptr<Progress> make_plain_progress(std::FILE* out, std::FILE* err, bool quiet,
                                              bool summary);

/// The original's log on stderr: `2014-03-21 22:02:01,988 __main__   INFO Working on test/busybox`.
std::unique_ptr<Progress> make_log_progress(bool debug);

/// A terminal: as plain with a summary, and a live last line with a spinner, the running image and
/// the last line of its output, cut to the terminal's width. `color`: with ANSI colours.
std::unique_ptr<Progress> make_live_progress(std::FILE* terminal, bool color);

/// One JSON object a line (docs/formats.md, "Events").
std::unique_ptr<Progress> make_json_progress(std::FILE* out);

/// "0.3 s", "12.0 s", "3 min 20 s".
std::string describe(std::chrono::milliseconds duration);

/// A line for a terminal: without escape sequences and control characters, whatever bytes it has;
/// what is no UTF-8 becomes U+FFFD.
std::string without_controls(std::string_view line);

/// Why an image was skipped: "a/b failed", or the message.
std::string why_skipped(const ImageResult& result);

/// "2 built, 1 failed, 3 up to date".
std::string describe(const RunSummary& summary);

}  // namespace imagewright
