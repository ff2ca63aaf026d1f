#include "run/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "core/context.h"
#include "core/schedule.h"
#include "io/build_log.h"
#include "io/error.h"
#include "io/interrupt.h"
#include "run/judge.h"
#include "run/observe.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

std::int64_t now_ms() {
  return duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// "example/web from web, target tests, arg VERSION=1.10": all that the configuration says of it.
std::string definition(const ImageConfig& image) {
  std::string text = image.name + " from " + describe(image.source);
  if (!image.dockerfile.empty()) text += ", dockerfile " + image.dockerfile;
  if (!image.target.empty()) text += ", target " + image.target;
  for (const auto& [name, value] : image.args) text += fmt::format(", arg {}={}", name, value);
  for (const auto& [name, value] : image.labels) text += fmt::format(", label {}={}", name, value);
  return redacted(text);
}

// A run in progress: what its steps share.
class Run {
 public:
  Run(const Project& project, const RunOptions& options, Progress& progress)
      : project_(project),
        options_(options),
        progress_(progress),
        images_(select_images(project.config.images, options.images)),
        observer_(images_, project),
        schedule_(images_.size(), options.fail_fast),
        started_(Clock::now()) {
    for (const ImageConfig& image : images_) summary_.images.emplace_back().name = image.name;
  }

  RunSummary go() {
    engine_ = find_engine(options_.engine.empty() ? project_.config.engine : options_.engine,
                          project_.places.cache);
    progress_.step("Tools checked: building with " + engine_->name());
    progress_.step(fmt::format("Loaded {}: {} image{}", project_.config_path.string(),
                               images_.size(), images_.size() == 1 ? "" : "s"));
    if (!lock_state()) return finish();
    observer_.look_ahead();
    open_state();
    progress_.run_started(project_.config_path, images_.size());
    judge_.emplace(*store_, *engine_, images_, options_.force);
    while (interrupted() == 0) {
      const auto next = schedule_.next();
      if (!next) break;
      work_on(*next);
    }
    schedule_.cancel();
    if (interrupted() == 0 && options_.images.empty() && !options_.dry_run) retire();
    return finish();
  }

 private:
  // False: interrupted while waiting for the lock.
  bool lock_state() {
    if (options_.dry_run) return true;
    lock_ = StateLock::acquire(project_.state_directory, [&](int process_id) {
      if (options_.wait) progress_.waiting(project_.state_directory, process_id);
      return options_.wait;
    });
    if (!lock_) {
      if (interrupted() != 0) return false;
      throw Error(Error::Kind::Missing,
                  "another run holds the state in " + project_.state_directory.string());
    }
    make_places();
    return true;
  }

  void open_state() {
    if (options_.dry_run) {
      store_ =
          options_.clean ? Store::in_memory() : Store::open_read_only(project_.state_directory);
      return;
    }
    store_ = Store::open(project_.state_directory);
    progress_.step("State prepared in " +
                   (project_.state_directory / Store::file_names().front()).string());
    if (options_.clean) {
      store_->clear();
      progress_.step("State emptied");
    }
  }

  // Before the first look: where they lie in a context (the home directory can be one), making them
  // later would change it. Where they cannot be made, whoever needs them says so.
  void make_places() {
    std::error_code ignored;
    fs::create_directories(project_.places.cache, ignored);
    fs::create_directories(project_.places.logs, ignored);
  }

  void work_on(std::size_t index) {
    const ImageConfig& image = images_[index];
    progress_.image_started(image.name);
    const auto began = Clock::now();
    try {
      look_and_build(index, image);
    } catch (const Error& error) {
      if (interrupted() != 0) {
        result(index).message = "interrupted";
        schedule_.move(index, ImageState::Skipped);
      } else if (error.kind() == Error::Kind::Source) {
        result(index).message = error.what();
        schedule_.move(index, ImageState::Failed);
      } else {
        throw;
      }
    }
    result(index).state = schedule_.state(index);
    result(index).duration = duration_cast<milliseconds>(Clock::now() - began);
    progress_.image_finished(result(index));
  }

  void look_and_build(std::size_t index, const ImageConfig& image) {
    if (progress_.shows_steps()) {
      progress_.detail("Definition is " + definition(image));
      progress_.step("Reading " + redacted(describe(image.source)));
    }
    Observation observation = observer_.observe(image);
    if (progress_.shows_steps()) tell(observation);

    Verdict verdict = judge_->decide(image.name, observation.manifest);
    if (verdict.build() && observer_.observe_again(image, observation, last_build_)) {
      verdict = judge_->decide(image.name, observation.manifest);
    }
    if (verdict.build()) {
      observer_.name_changes(image, observation, judge_->last_context(image.name), verdict);
    }
    progress_.image_decided(image.name, verdict);
    result(index).reasons = verdict.reasons;
    if (!verdict.build()) {
      result(index).image_id = judge_->last(image.name)->image_id;
      if (!options_.dry_run) {
        if (judge_->last(image.name)->config != project_.config_path) {
          store_->take_over(image.name, project_.config_path);
        }
        observer_.keep(image, observation);
      }
      schedule_.move(index, ImageState::UpToDate);
      return;
    }
    schedule_.move(index, ImageState::Building);
    if (options_.dry_run) {
      result(index).dry_run = true;
      schedule_.move(index, ImageState::Built);
      return;
    }
    build(index, image, observation);
  }

  void tell(const Observation& observation) {
    progress_.detail("Source is " + observation.source);
    for (const Input& input : observation.manifest.inputs) {
      progress_.detail(fmt::format("Input {}{}{} {}", word(input.kind),
                                   input.name.empty() ? "" : " ", input.name, input.digest));
    }
    progress_.detail("Digest " + observation.manifest.digest);
  }

  void prepare_engine() {
    const Readiness ready = engine_->prepare();
    progress_.step("Building with " + ready.description);
    if (!ready.warning.empty() && !warned_) progress_.warning(ready.warning);
    warned_ = true;
  }

  void build(std::size_t index, const ImageConfig& image, Observation& observation) {
    const ContextFiles& files = observer_.files(image, observation);
    hint_at_git_directory(image, files);
    for (const std::string& warning : files.request.rules.warnings()) {
      progress_.warning(image.name + ": " + warning);
    }
    BuildRequest request;
    request.tag = image.name;
    request.context = files.request.root;
    request.entries = [&] { return files.entries(); };
    request.dockerfile = files.dockerfile;
    request.ignore = files.ignore;
    request.ignore_has_exceptions = files.request.rules.has_exceptions();
    request.target = image.target;
    request.args = image.args;
    request.labels = image.labels;
    request.options = with_absolute_paths(image.options, project_.base);
    const Redaction without_secrets(
        Secrets(project_.base, project_.places.cache).contents(image.options.secrets));
    prepare_engine();

    BuildRow row;
    row.name = image.name;
    row.config = project_.config_path;
    row.engine = engine_->name();
    row.reasons = describe(result(index).reasons);
    row.digest = observation.manifest.digest;
    row.started_ms = now_ms();
    const auto began = Clock::now();

    const std::string before = judge_->last_context(image.name);
    request.context_name = store_->open_context_name(observation.context_digest);
    BuildLog log(log_directory(project_, image.name));
    const BuildOutcome outcome = engine_->build(
        request,
        [&](std::string_view line) {
          const std::string shown = without_secrets(redacted(line));
          log.add(shown);
          progress_.output(image.name, shown);
        },
        [&] { progress_.tick(); });
    last_build_ = Clock::now();
    const bool verified = !files.touched();
    store_->close_context_name(observation.context_digest, verified);
    if (!log.error().empty()) progress_.warning(log.error());

    row.duration_ms = duration_cast<milliseconds>(Clock::now() - began).count();
    row.exit_status = outcome.exit.status;
    row.log = log.path();
    result(index).log = log.path();
    if (outcome.ok()) {
      succeed(index, observation.manifest, outcome.image_id, verified, row);
      observer_.keep(image, observation);
      forget_context(before, observation.context_digest);
    } else {
      fail(index, outcome, log, row);
    }
  }

  void succeed(std::size_t index, const Manifest& manifest, const std::string& image_id,
               bool verified, BuildRow& row) {
    row.result = BuildResult::Success;
    row.image_id = image_id;
    ImageRow image;
    image.name = row.name;
    image.digest = manifest.digest;
    image.image_id = image_id;
    image.config = row.config;
    image.engine = row.engine;
    image.format = kFingerprintFormat;
    image.verified = verified;
    for (const Input& input : manifest.inputs)
      image.inputs.push_back({word(input.kind), input.name, input.digest});
    store_->record_success(image, row);
    progress_.step("State updated");
    if (!verified) {
      progress_.warning(row.name +
                        ": its context changed while it was built; the next run builds it again");
    }
    result(index).image_id = image_id;
    schedule_.move(index, ImageState::Built);
  }

  void fail(std::size_t index, const BuildOutcome& outcome, const BuildLog& log, BuildRow& row) {
    ImageResult& image = result(index);
    row.result = outcome.exit.interrupted ? BuildResult::Interrupted : BuildResult::Failed;
    row.message = outcome.exit.interrupted   ? "interrupted"
                  : outcome.exit.status == 0 ? engine_->name() + " ended well but left no image id"
                                             : fmt::format("{} build ended with status {}",
                                                           engine_->name(), outcome.exit.status);
    store_->record_attempt(row);
    image.message = row.message;
    if (outcome.exit.interrupted) {
      schedule_.move(index, ImageState::Skipped);
    } else {
      image.last_lines = log.last_lines();
      schedule_.move(index, ImageState::Failed);
    }
  }

  // What an image was built from is not needed any more, unless another one was built from the
  // same.
  void forget_context(const std::string& before, const std::string& now) {
    if (before.empty() || before == now || store_->has_input(before)) return;
    observer_.forget(before);
  }

  // Git writes there at every command, so the image is stale each time. Told when it builds, not at
  // each look.
  void hint_at_git_directory(const ImageConfig& image, const ContextFiles& files) {
    if (!files.snapshot.has_directory(".git") || !hinted_.insert(files.request.root).second) return;
    progress_.warning(
        image.name + ": '" + path_below(files.request.root, ".git") +
        "' is part of the context and changes at every git command; name it in .dockerignore");
  }

  void retire() {
    std::unordered_set<std::string_view> names;
    for (const ImageConfig& image : project_.config.images) names.insert(image.name);
    // What the rows that may go were built from: told while they are there.
    std::map<std::string, std::string> contexts;
    for (const auto& [name, row] : judge_->rows()) {
      const bool is_over = row.config == project_.config_path && !names.contains(name);
      if (is_over || row.config.empty()) contexts[name] = judge_->last_context(name);
    }
    if (contexts.empty()) return;
    for (const std::string& name :
         store_->retire(project_.config_path, {names.begin(), names.end()})) {
      forget_context(contexts[name], "");
      progress_.row_retired(name);
    }
  }

  RunSummary finish() {
    for (std::size_t i = 0; i < images_.size(); ++i) {
      if (schedule_.state(i) != ImageState::Skipped || !result(i).message.empty()) continue;
      result(i).message = interrupted() != 0 ? "interrupted" : "an earlier image failed";
      progress_.image_finished(result(i));
    }
    summary_.signal = interrupted();
    summary_.duration = duration_cast<milliseconds>(Clock::now() - started_);
    progress_.run_finished(summary_);
    return std::move(summary_);
  }

  ImageResult& result(std::size_t index) { return summary_.images[index]; }

  const Project& project_;
  const RunOptions& options_;
  Progress& progress_;
  std::vector<ImageConfig> images_;
  Observer observer_;
  Schedule schedule_;
  Clock::time_point started_;
  std::unique_ptr<Engine> engine_;
  std::optional<StateLock> lock_;
  std::optional<Store> store_;
  std::optional<Judge> judge_;
  std::set<fs::path> hinted_;
  bool warned_ = false;
  Clock::time_point last_build_;  // when one ended; none did: long ago
  RunSummary summary_;
};

}  // namespace

RunSummary build_images(const Project& project, const RunOptions& options, Progress& progress) {
  return Run(project, options, progress).go();
}

fs::path log_directory(const Project& project, const std::string& image) {
  // Per state directory, so that two projects with an image of one name keep their logs apart.
  // Readable, short enough for any file system, and no other image's.
  std::string name = image.substr(0, 100) + "-" + hex(sha256(image)).substr(0, 8);
  std::replace(name.begin(), name.end(), '/', '_');
  return project.places.logs / state_key(project) / name;
}

}  // namespace imagewright
