#include "run/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>

#include "core/abandon.h"
#include "core/context.h"
#include "core/graph.h"
#include "core/reference.h"
#include "core/replace_all.h"
#include "core/schedule.h"
#include "io/build_log.h"
#include "io/error.h"
#include "io/host_platform.h"
#include "io/interrupt.h"
#include "io/wall_clock.h"
#include "run/bases.h"
#include "run/estimate.h"
#include "run/inbox.h"
#include "run/json.h"
#include "run/judge.h"
#include "run/observe.h"
#include "run/plan.h"
#include "run/publish.h"
#include "run/publishing.h"
#include "run/registry_state.h"
#include "run/secrets.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

// "example/web from web, target tests, arg VERSION=1.10": all that the configuration says of it.
std::string definition(const ImageConfig& image) {
  std::string text = image.name + " from " + describe(image.source);
  if (!image.dockerfile.empty()) text += ", dockerfile " + image.dockerfile;
  if (!image.target.empty()) text += ", target " + image.target;
  for (const auto& [name, value] : image.args) text += fmt::format(", arg {}={}", name, value);
  for (const auto& [name, value] : image.labels) text += fmt::format(", label {}={}", name, value);
  return redacted(text);
}

// One build, from the decision to its end. Its thread's own, while that runs.
struct Job {
  std::size_t image = 0;
  Clock::time_point since;  // what was looked at before is looked at again
  Decision decision;
  std::string last_context;
  Reach reach;
  std::string context_digest;  // by which its context's name was opened
  References references;       // in the Dockerfile
  std::string commit_time;     // for its labels
  Redaction without_secrets{{}};
  std::string looked_for;  // by which fingerprint its registry was asked; "": it was not
  BuildRow row;
  BuildRequest request;
};

// A run in progress. One thread, that of `go`, owns everything; each build has one of its own,
// which touches its job and its image's observation, and hands all else over (Inbox).
class Run {
 public:
  Run(const Project& project, const RunOptions& options, Progress& progress)
      : project_(project),
        options_(options),
        progress_(progress),
        selected_(options.only_these ? named_images(project.config.images, options.images)
                                     : select_images(project.config.images, options.images)),
        observer_(project),
        started_(Clock::now()) {}

  RunSummary go() {
    engine_ = engine_for(project_, options_);
    progress_.step("Tools checked: building with " + engine_->name());
    progress_.step(fmt::format("Loaded {}: {} image{}", project_.config_path.string(),
                               selected_.size(), selected_.size() == 1 ? "" : "s"));
    for (const std::string& warning : project_.warnings) progress_.warning(warning);
    for (const LeftOut& image : project_.config.left_out)
      progress_.step(fmt::format("Left out {}: {}", image.name, image.why));
    if (!lock_state()) return finish();
    observer_.remember_in(options_.remembered, options_.ask_anew);
    observer_.ask_ahead(selected_);
    open_state();
    outside_.emplace(project_, engine_->name());
    registry_state_.emplace(*outside_, *engine_, options_, [this](const std::string& text) {
      // (In a dry run nobody serves the inbox, and all is done by this thread.)
      if (options_.dry_run) return progress_.warning(text);
      inbox_.post([this, text] { progress_.warning(text); });
    });
    judge_.emplace(*store_, *engine_, project_.config.images, options_.force);
    observer_.expect(judge_->reaches());
    observer_.look_ahead(selected_);
    names_.emplace(project_.config.images, engine_->has_short_names(), host_platform());
    bases_.emplace(*outside_, *engine_, *names_, judge_->bases(),
                   [this](const std::string& text) { progress_.warning(text); });
    bases_->remember_in(options_.remembered, options_.ask_anew);
    publisher_.emplace(project_, options_, *store_, *outside_, *engine_, judge_->names());
    publishing_.emplace(*engine_, *publisher_, inbox_, publishing_told());
    make_schedule(make_plan(
        project_, observer_, *names_, selected_,
        [this](const PlannedImage& image) { bases_->want(*image.config, image.observation.links); },
        options_.only_these ? Parents::AsTheyAre : Parents::LookedAt));
    work();
    if (!fatal_ && project_.config.publish == PublishWhen::Together) publish_together();
    if (fatal_) std::rethrow_exception(fatal_);
    if (!is_stopped() && options_.images.empty() && !options_.dry_run) retire();
    return finish();
  }

 private:
  bool is_stopped() const {
    return interrupted() != 0 || (options_.stop != nullptr && options_.stop->load());
  }

  // False: interrupted while waiting for the lock.
  bool lock_state() {
    if (options_.dry_run) return true;
    if (options_.is_locked) {
      make_places();
      return true;
    }
    lock_ = StateLock::acquire(project_.state_directory, [&](int process_id) {
      if (options_.wait) progress_.waiting(project_.state_directory, process_id);
      return options_.wait;
    });
    if (!lock_) {
      if (is_stopped()) return false;
      throw Error(Error::Kind::Missing,
                  "another run holds the state in " + project_.state_directory.string());
    }
    make_places();
    return true;
  }

  void open_state() {
    if (options_.dry_run) {
      store_ = options_.clean ? Store::in_memory() : read_store(project_);
      return;
    }
    store_ = run_store(project_);
    if (options_.guard) store_->write_only_while(*options_.guard);
    progress_.step("State prepared in " + state_place(project_));
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

  void make_schedule(Plan plan) {
    plan_ = std::move(plan);
    const std::size_t count = plan_.images.size();
    began_.resize(count);
    summary_.images.reserve(count);
    places_.assign(project_.config.images.size(), kNowhere);
    told_.resize(count);
    std::vector<Task> tasks(count);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      summary_.images.emplace_back().name = config(i).name;
      tasks[i].weight = config(i).weight;
      for (const Edge& edge : plan_.graph.parents(i)) tasks[i].parents.push_back(edge.parent);
      places_[static_cast<std::size_t>(&config(i) - project_.config.images.data())] = i;
    }
    find_indexes();
    schedule_.emplace(std::move(tasks), Limits{options_.jobs, options_.fail_fast});
    progress_.run_started(project_.config_path, plan_.images.size(),
                          static_cast<std::size_t>(options_.jobs));
  }

  // Whatever goes wrong, builds that run are waited for: their threads need this one.
  void work() {
    while (!schedule_->done() || !builds_.empty() || !publishing_->idle()) {
      try {
        if (is_stopped()) schedule_->cancel();
        look_at_what_can_be();
        while (const auto image = schedule_->next_to_build()) with(*image, &Run::start);
        if (builds_.empty() && publishing_->idle()) continue;
        inbox_.serve(kTick);
        for (const std::size_t ended : ended_) builds_.erase(ended);
        ended_.clear();
        progress_.tick(estimate_.remaining(*schedule_, began_, Clock::now()));
      } catch (...) {
        give_up();
      }
    }
  }

  // One at a time, each is looked at when those before it have ended: the story is told in order.
  void look_at_what_can_be() {
    // (Who waits for a registry keeps nobody else waiting.)
    const auto is_known = [this](std::size_t i) {
      return bases_->are_known(config(i), plan_.images[i].observation.links);
    };
    bool any_ready = !builds_.empty();
    while (options_.jobs > 1 || builds_.empty()) {
      auto image = options_.jobs > 1 ? schedule_->next_to_look_at(is_known) : std::nullopt;
      if (!image && (options_.jobs == 1 || !any_ready)) image = schedule_->next_to_look_at();
      if (!image) return;
      with(*image, &Run::look_at);
      const bool is_ready = schedule_->state(*image) == ImageState::Ready;
      if (options_.jobs == 1 && is_ready) return;
      any_ready = any_ready || is_ready;
    }
  }

  void with(std::size_t image, void (Run::*step)(std::size_t)) {
    try {
      (this->*step)(image);
    } catch (...) {
      give_up(image);
    }
  }

  // To be called while an exception is caught: the run ends with it. Shows nothing, as that may be
  // what went wrong.
  void give_up(std::optional<std::size_t> image = std::nullopt) {
    if (!fatal_) fatal_ = std::current_exception();
    if (image && !is_final(schedule_->state(*image))) {
      result(*image).message = "the run was given up";
      result(*image).state = ImageState::Skipped;
      told_[*image] = true;
      schedule_->move(*image, ImageState::Skipped);
    }
    schedule_->cancel();
  }

  // --- Deciding

  void look_at(std::size_t i) {
    PlannedImage& planned = plan_.images[i];
    began_[i] = Clock::now();
    if (is_stopped()) {
      result(i).message = "interrupted";
      return end(i, ImageState::Skipped);
    }
    if (planned.is_taken) return take_as_it_is(i);
    if (!planned.error.empty()) {
      progress_.image_started(config(i).name);
      result(i).message = planned.error;
      return end(i, ImageState::Failed);
    }
    try {
      const auto& inputs = planned.observation.inputs;
      if (!judge_->is_up_to_date(config(i).name, inputs, ground_of(i))) {
        expect_durations();
        schedule_->move(i, ImageState::Ready);
        return;
      }
    } catch (const Error& error) {
      progress_.image_started(config(i).name);
      return fail(i, error);
    }
    start_telling(i);
    up_to_date(i);
  }

  // A parent that is not this run's to build.
  void take_as_it_is(std::size_t i) {
    const ImageRow* row = judge_->last(config(i).name);
    if (row == nullptr || row->image_id.empty()) {
      result(i).message = "it has not been built yet";
      return end(i, ImageState::Failed);
    }
    result(i).image_id = row->image_id;
    result(i).in_registry = where_it_is_kept(row->image_id);
    if (registry_state_->is_used() &&
        !engine_->find_image(row->image_id, observer_.platform_of(config(i)))) {
      for (const auto& [reference, published] : store_->published(row->name)) {
        const auto parsed = parse_reference(reference);
        if (parsed && published.image_id == row->image_id)
          result(i).in_registry = parsed->repository + '@' + published.digest;
      }
    }
    end(i, ImageState::UpToDate);
  }

  // "": the engine has its images itself, or has not this one.
  std::string where_it_is_kept(const std::string& image_id) {
    try {
      return engine_->keeps_in_registries() ? engine_->reference_to(image_id) : "";
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::Source) throw;
      return "";
    }
  }

  StandsOn ground_of(std::size_t i) {
    StandsOn stands_on;
    stands_on.ground.bases = bases_->inputs(config(i), plan_.images[i].observation.links);
    for (const Edge& edge : plan_.graph.parents(i)) {
      const ImageResult& parent = result(edge.parent);
      stands_on.add_parent(parent.name, parent.image_id, parent.dry_run);
    }
    return stands_on;
  }

  Decision decide(std::size_t i) {
    return judge_->decide(config(i).name, plan_.images[i].observation.inputs, ground_of(i));
  }

  Manifest manifest_of(std::size_t i) {
    return make_manifest(plan_.images[i].observation.inputs, ground_of(i).ground);
  }

  // How long builds took, asked for when the first one is to come.
  void expect_durations() {
    if (expected_) return;
    expected_ = true;
    std::vector<std::string> names;
    for (const PlannedImage& image : plan_.images) names.push_back(image.config->name);
    const auto durations = expected_durations(names, store_->durations());
    estimate_.expect(durations);
    schedule_->expect(durations);
  }

  void start_telling(std::size_t i) {
    const ImageConfig& image = config(i);
    progress_.image_started(image.name);
    if (!progress_.shows_steps()) return;
    progress_.image_detail(image.name, "Definition is " + definition(image));
    progress_.image_step(image.name, "Reading " + redacted(describe(image.source)));
    const Observation& observation = plan_.images[i].observation;
    progress_.image_detail(image.name, "Source is " + observation.origin.source);
    for (const Edge& edge : plan_.graph.parents(i)) {
      progress_.image_detail(image.name, fmt::format("Stands on {} ({})", result(edge.parent).name,
                                                     describe(edge.link)));
    }
  }

  void tell(std::size_t i, const Manifest& manifest) {
    if (!progress_.shows_steps()) return;
    for (const Input& input : manifest.inputs) {
      progress_.image_detail(config(i).name,
                             fmt::format("Input {}{}{} {}", word(input.kind),
                                         input.name.empty() ? "" : " ", input.name, input.digest));
    }
    progress_.image_detail(config(i).name, "Digest " + manifest.digest);
  }

  void tell_reach(const ImageConfig& image, const Reach& reach) {
    if (!progress_.shows_steps() || !image.narrow) return;
    if (reach.text.empty()) {
      progress_.image_step(image.name, "The whole context counts: " + reach.why_whole);
      return;
    }
    std::string paths;
    for (const std::string& path : reach_paths(reach.text)) paths += " " + path;
    progress_.image_detail(image.name,
                           "Of the context count:" + (paths.empty() ? " no files" : paths));
  }

  void up_to_date(std::size_t i) {
    const ImageConfig& image = config(i);
    const Observation& observation = plan_.images[i].observation;
    if (progress_.shows_steps()) tell(i, manifest_of(i));
    progress_.image_decided(image.name, {});
    result(i).image_id = judge_->last(image.name)->image_id;
    result(i).in_registry = where_it_is_kept(result(i).image_id);
    if (!options_.dry_run) {
      if (judge_->last(image.name)->config != project_.config_path) {
        store_->take_over(image.name, project_.config_path);
      }
      observer_.keep(observation);
    }
    std::optional<Publication> publication;
    if (!options_.dry_run) {
      const ImageRow& row = *judge_->last(image.name);
      publication = plan_publication(
          i, {row.image_id, row.built_ms, false,
              registry_state_->to_be_found_by(inputs_of(kept_inputs(image.name)), {row.digest})});
    }
    end(i, ImageState::UpToDate);
    if (publication) publish(*std::move(publication));
  }

  // --- What a registry has

  // In a job's own thread, its context narrowed. True: there is nothing to build any more, and it
  // has ended.
  bool is_in_registry(Job& job) {
    const std::size_t i = job.image;
    const ImageConfig& image = config(i);
    if (!registry_state_->may_have(image, job.decision.verdict)) return false;
    Manifest manifest;
    inbox_.call([&] { manifest = manifest_of(i); });
    const auto found = find_in_registry(job, manifest);
    if (!found) return false;
    inbox_.call([&] { take_from_registry(job, std::move(manifest), *found); });
    return true;
  }

  std::optional<FoundImage> find_in_registry(Job& job, const Manifest& manifest) {
    const ImageConfig& image = config(job.image);
    if (all_bases_are_known(manifest.inputs)) job.looked_for = manifest.digest;
    return registry_state_->find(image, manifest, observer_.platform_of(image),
                                 job.decision.verdict);
  }

  // Read only where they are needed.
  const std::vector<StoredInput>& kept_inputs(const std::string& name) {
    static const std::vector<StoredInput> kNone;
    return registry_state_->is_used() ? judge_->inputs(name) : kNone;
  }

  void take_from_registry(Job& job, Manifest manifest, const FoundImage& found) {
    const std::size_t i = job.image;
    const Observation& observation = plan_.images[i].observation;
    job.decision.manifest = std::move(manifest);
    tell(i, job.decision.manifest);
    progress_.image_decided(config(i).name, {});
    ImageRow row = row_of(job, found.image_id, true);
    row.built_ms = found.built_ms;
    store_->record_found(row);
    store_->record_push(
        row.name, found.found_as,
        {found.image_id, registry_name(*parse_reference(found.reference)).tag, now_ms()});
    observer_.keep(observation);
    forget_context(job.last_context, observation.context_digest);
    result(i).image_id = found.image_id;
    result(i).in_registry = found.in_engine ? "" : found.reference;
    auto publication = plan_publication(
        i, {found.image_id, found.built_ms, false, {}, found.reference, found.in_engine});
    end(i, ImageState::UpToDate);
    if (publication) publish(*std::move(publication));
  }

  // --- Building

  // Before the first build, so that none is lost for a state that cannot be written. That makes
  // files beside it: where these stand in a context, it is not any more as it was looked at.
  void ready_to_write(const ImageConfig& image) {
    if (std::exchange(is_ready_to_write_, true)) return;
    store_->ready_to_write();
    if (project_.database.empty() && observer_.is_seen(project_.state_directory, image))
      last_change_ = Clock::now();
  }

  void start(std::size_t i) {
    began_[i] = Clock::now();
    start_telling(i);
    if (options_.dry_run) return would_build(i);
    ready_to_write(config(i));
    auto job = std::make_shared<Job>();
    job->image = i;
    job->since = last_change_;
    last_change_ = Clock::now();
    builds_[i] = std::jthread([this, job] { build(*job); });
  }

  void would_build(std::size_t i) {
    const ImageConfig& image = config(i);
    Observation& observation = plan_.images[i].observation;
    Job job;
    job.image = i;
    Decision& decision = job.decision;
    std::optional<FoundImage> found;
    try {
      decision = decide(i);
      observer_.name_changes(image, observation, judge_->last_context(image.name),
                             decision.verdict);
      if (registry_state_->may_have(image, decision.verdict)) {
        observer_.narrow(image, observation, bases_of(job, image.options.pull));
        found = find_in_registry(job, manifest_of(i));
      }
    } catch (const Error& error) {
      return fail(i, error);
    }
    tell(i, decision.manifest);
    if (found) {
      progress_.image_decided(image.name, {});
      result(i).image_id = found->image_id;
      if (!found->in_engine) result(i).in_registry = found->reference;
      return end(i, ImageState::UpToDate);
    }
    progress_.image_decided(image.name, decision.verdict);
    result(i).reasons = decision.verdict.reasons;
    result(i).dry_run = true;
    if (const ImageRow* row = judge_->last(image.name)) result(i).image_id = row->image_id;
    end(i, ImageState::Built);
  }

  // In a thread of its own.
  void build(Job& job) noexcept {
    try {
      try {
        try_to_build(job);
      } catch (const Error& error) {
        inbox_.call([&] { fail(job.image, error); });
      }
    } catch (...) {
      const auto error = std::current_exception();
      inbox_.call([&] {
        try {
          std::rethrow_exception(error);
        } catch (...) {
          give_up(job.image);
        }
      });
    }
    inbox_.call([&] { ended_.push_back(job.image); });
  }

  void try_to_build(Job& job) {
    const std::size_t i = job.image;
    const ImageConfig& image = config(i);
    Observation& observation = plan_.images[i].observation;
    observer_.observe_again(image, observation, job.since);
    bool is_stale = false;
    inbox_.call([&] { is_stale = decide_again(job); });
    if (!is_stale) return;
    observer_.name_changes(image, observation, job.last_context, job.decision.verdict);
    job.reach = observer_.narrow(image, observation, bases_of(job, image.options.pull));
    if (is_in_registry(job)) return;
    bring_parents(job);
    const ContextFiles& files = observer_.files(image, observation);
    if (image.oci_labels) job.commit_time = observer_.time_of_commit(image, observation);
    job.without_secrets = Redaction(contents_of(image.options.secrets, project_.base));
    inbox_.call([&] { prepare(job, files); });

    BuildLog log(log_directory(project_, image.name));
    BuildOutcome outcome;
    try {
      auto failure = make_images_of_directories(job, log);
      if (!job.references.empty()) job.request.options.pull = false;
      job.request.dockerfile =
          observer_.with_references(image, observation.dockerfile, job.references);
      outcome = failure ? *std::move(failure) : run_engine_until_it_succeeds(job, log);
    } catch (...) {
      const bool verified = !observation.touched();
      inbox_.call([&] { close_name(job.context_digest, verified); });
      throw;
    }
    const bool verified = outcome.is_exact || !observation.touched();
    if (outcome.ok() && verified && job.reach.for_a_base) narrow_afterwards(job);
    inbox_.call([&] { conclude(job, outcome, log, verified); });
  }

  // For a build in its own thread: parents have ended. `unknown_until_built`: the build brings what
  // is known by its name alone.
  BaseImages bases_of(const Job& job, bool unknown_until_built) {
    const ImageConfig& image = config(job.image);
    return [this, &job, &image, unknown_until_built](const Link& base) {
      if (const auto parent = find_parent(base, image))
        return bases_->parent_brings(image, base, *parent);
      return bases_->brings(image, base, job.decision.manifest.inputs, unknown_until_built);
    };
  }

  // Those that only their registries have. To be built on they have to be the engine's.
  void bring_parents(const Job& job) {
    for (const Link& link : plan_.images[job.image].observation.links) {
      const auto parent = find_parent(link, config(job.image));
      if (!parent || parent->in_registry.empty()) continue;
      if (const std::string why = publisher_->bring(parent->in_registry); !why.empty()) {
        throw Error(Error::Kind::Source,
                    fmt::format("what it stands on, {}, cannot be pulled: {}", link.image, why));
      }
    }
  }

  // By the whole context it was, because a base was not known; the build may have brought it.
  void narrow_afterwards(Job& job) {
    try {
      const ImageConfig& image = config(job.image);
      observer_.narrow_afterwards(image, plan_.images[job.image].observation, bases_of(job, false));
    } catch (const Error&) {
      // Its files cannot be read any more: what is known of it stays.
    }
  }

  // The directories that its Dockerfile finds under names, for an engine that takes none: each
  // becomes an image of its own, by which the Dockerfile then names it. nullopt: all went well.
  std::optional<BuildOutcome> make_images_of_directories(Job& job, BuildLog& log) {
    if (takes_directories_) return std::nullopt;
    const Observation& observation = plan_.images[job.image].observation;
    for (const Link& link : observation.links) {
      if (link.directory.empty() || link.line != 0) continue;
      throw Error(
          Error::Kind::Source,
          fmt::format("{} cannot do 'additional_contexts': of directories, with a Dockerfile "
                      "for another frontend than docker/dockerfile",
                      engine_->name()));
    }
    for (const NamedDirectory& named : observation.named) {
      const ContextFiles& files = *named.files;
      const std::string digest = hex(files.snapshot.digest());
      BuildRequest request;
      request.context = files.request.root;
      request.entries = [&files] { return files.entries(); };
      request.dockerfile = "FROM scratch\nCOPY . /\n";
      request.ignore = files.ignore;
      request.ignore_has_exceptions = files.request.rules.has_exceptions();
      request.timeout = job.request.timeout;
      request.stop = options_.stop;
      request.options.platforms = job.request.options.platforms;
      request.image = job.request.image;
      inbox_.call([&] {
        request.context_name = open_name(digest);
        request.tag = engine_->name_for_made();
      });
      for (const Link& link : observation.links) {
        if (!link.directory.empty() && link.written == named.name)
          job.references[{link.written, link.platform}] = request.tag;
      }
      BuildOutcome outcome;
      try {
        outcome = run_engine(job, request, log);
      } catch (...) {
        inbox_.call([&] { close_name(digest, !files.touched()); });
        throw;
      }
      inbox_.call([&] { close_name(digest, !files.touched()); });
      if (!outcome.ok()) return outcome;
    }
    return std::nullopt;
  }

  // (Engines of other machines name contexts themselves.)
  std::string open_name(const std::string& digest) {
    return engine_->keeps_in_registries() ? digest : store_->open_context_name(digest);
  }
  void close_name(const std::string& digest, bool verified) {
    if (!engine_->keeps_in_registries()) store_->close_context_name(digest, verified);
  }

  // As often as the configuration says.
  BuildOutcome run_engine_until_it_succeeds(Job& job, BuildLog& log) {
    for (int retries = config(job.image).retries;; --retries) {
      BuildOutcome outcome = run_engine(job, job.request, log);
      if (outcome.ok() || outcome.exit.interrupted || retries == 0) return outcome;
      inbox_.call([&] { try_again(job, outcome, retries); });
    }
  }

  // Its inputs were looked at once more. False: there is nothing to do any more, and it has ended.
  bool decide_again(Job& job) {
    const std::size_t i = job.image;
    check_parents(i);
    job.decision = decide(i);
    job.last_context = judge_->last_context(config(i).name);
    if (!job.decision.verdict.build()) {
      up_to_date(i);
      return false;
    }
    if (options_.retry) return true;
    const auto failure = failed_attempt(*store_, config(i).name, job.decision.manifest.digest);
    if (!failure) return true;
    result(i).message = failure->message;
    result(i).log = failure->log;
    end(i, ImageState::Failed);
    return false;
  }

  // A Dockerfile that was changed since the order was found must not stand on what is not built
  // yet.
  void check_parents(std::size_t i) {
    std::set<std::size_t> now;
    for (const Edge& edge : edges_of(config(i), plan_.images[i].observation.links, *names_)) {
      now.insert(places_[edge.parent]);
    }
    std::set<std::size_t> before;
    for (const Edge& edge : plan_.graph.parents(i)) before.insert(edge.parent);
    if (now != before) {
      throw Error(Error::Kind::Source,
                  "its Dockerfile was changed during the run and stands on other images now; run "
                  "again");
    }
  }

  void prepare(Job& job, const ContextFiles& files) {
    const std::size_t i = job.image;
    const ImageConfig& image = config(i);
    const Observation& observation = plan_.images[i].observation;
    job.row.digest =
        job.decision.manifest.digest;  // if it fails: by this one the next look is judged
    check_parents(i);
    job.decision.manifest = manifest_of(i);
    tell(i, job.decision.manifest);
    tell_reach(image, job.reach);
    progress_.image_inputs(image.name, job.row.digest);
    progress_.image_decided(image.name, job.decision.verdict);
    result(i).reasons = job.decision.verdict.reasons;
    hint_at_git_directory(image, files);
    for (const std::string& warning : files.request.rules.warnings()) {
      progress_.warning(image.name + ": " + warning);
    }
    prepare_engine();
    Pins pins = bases_->pins(image, observation.links, job.decision.manifest.inputs,
                             [&](const Link& link) { return find_parent(link, image); });
    for (const Link& link : observation.links) {
      if (link.directory.empty() && link.image != link.written)  // a context that is an image
        pins.references.emplace(std::pair(link.written, link.platform), link.image);
    }
    BuildRequest& request = job.request;
    request.image = image.name;
    request.insecure = pins.insecure;
    job.references = std::move(pins.references);
    if (project_.config.publish == PublishWhen::Each) request.tag = image.name;
    request.context = files.request.root;
    request.entries = [&files, all = job.reach.skips_stages] {
      return all ? files.entries_of_all() : files.entries();
    };
    request.ignore = files.ignore;
    job.context_digest = observation.context_digest;
    request.ignore_has_exceptions = files.request.rules.has_exceptions();
    request.target = image.target;
    request.args = image.args;
    request.labels = image.labels;
    if (image.oci_labels) {
      // What the configuration says itself stays.
      auto base = observer_.base_of(image, observation);
      if (base && names_->find(*base, image)) base.reset();
      request.labels.merge(publisher_->labels(image, observation, base,
                                              job.decision.manifest.inputs, job.commit_time));
    }
    for (const NamedDirectory& named : observation.named) {
      if (!takes_directories_) break;
      const ContextFiles& its = *named.files;
      request.named_contexts.push_back(
          {named.name, its.request.root, [&its] { return its.entries(); }});
    }
    request.timeout = image.timeout;
    request.stop = options_.stop;
    request.options = with_absolute_paths(image.options, project_.base);
    // What is named exactly is not looked for anew, and what is ours is nowhere to be found.
    if (!job.references.empty()) request.options.pull = false;
    // What is too old is to get what its steps bring today.
    for (const Reason& reason : job.decision.verdict.reasons)
      request.options.no_cache = request.options.no_cache || reason.kind == ReasonKind::TooOld;
    request.context_name = open_name(observation.context_digest);

    BuildRow& row = job.row;
    row.name = image.name;
    row.config = project_.config_path;
    row.engine = engine_->name();
    row.reasons = describe(job.decision.verdict.reasons);
    row.source = observation.origin.source;
    row.details = dump(to_json(job.decision.verdict.reasons), false);
    progress_.build_started(image.name);
  }

  std::optional<ParentImage> find_parent(const Link& link, const ImageConfig& image) const {
    const auto number = names_->find(link, image);
    if (!number || link.kind == LinkKind::DependsOn || link.kind == LinkKind::Syntax)
      return std::nullopt;
    if (places_[*number] == kNowhere) return std::nullopt;
    const ImageResult& parent = summary_.images[places_[*number]];
    return ParentImage{parent.image_id, parent.in_registry};
  }

  void prepare_engine() {
    const Readiness ready = engine_->prepare();
    if (prepared_) return;
    prepared_ = true;
    takes_directories_ = ready.takes_directories;
    progress_.step("Building with " + ready.description);
    if (!ready.warning.empty()) progress_.warning(ready.warning);
  }

  BuildOutcome run_engine(Job& job, const BuildRequest& request, BuildLog& log) {
    const std::string& name = config(job.image).name;
    job.row.started_ms = now_ms();
    const auto began = Clock::now();
    BuildOutcome outcome = engine_->build(request, [&](std::string_view line) {
      std::string shown = job.without_secrets(with_names(redacted(line), job));
      log.add(shown);
      inbox_.post([this, &name, shown] { progress_.output(name, shown); });
    });
    job.row.duration_ms = duration_cast<milliseconds>(Clock::now() - began).count();
    job.row.exit_status = outcome.exit.status;
    job.row.log = log.path();
    return outcome;
  }

  // The engine's output with the names that people gave to images.
  static std::string with_names(std::string line, const Job& job) {
    for (const auto& [key, reference] : job.references) {
      const std::string& written = key.first;
      if (reference.find('@') != std::string::npos) continue;  // a name like any other
      replace_all(line, reference, written);
    }
    return line;
  }

  void try_again(Job& job, const BuildOutcome& outcome, int retries) {
    job.row.result = BuildResult::Failed;
    job.row.message = failure_of(job, outcome);
    store_->record_attempt(job.row);
    progress_.warning(
        fmt::format("{}: {}; trying again ({} left)", job.row.name, job.row.message, retries));
  }

  void conclude(Job& job, const BuildOutcome& outcome, const BuildLog& log, bool verified) {
    const std::size_t i = job.image;
    last_change_ = Clock::now();
    close_name(job.context_digest, verified);
    if (!log.error().empty()) progress_.warning(log.error());
    result(i).log = log.path();
    if (outcome.ok()) {
      succeed(job, outcome, verified);
    } else {
      fail(job, outcome, log);
    }
  }

  void succeed(Job& job, const BuildOutcome& outcome, bool verified) {
    const std::size_t i = job.image;
    const std::string& image_id = outcome.image_id;
    BuildRow& row = job.row;
    row.result = BuildResult::Success;
    row.image_id = image_id;
    row.message.clear();
    const Observation& observation = plan_.images[i].observation;
    bases_->built(config(i), observation.links);
    job.decision.manifest = manifest_of(i);
    row.digest = job.decision.manifest.digest;
    ImageRow image = row_of(job, image_id, verified);
    image.built_ms = row.started_ms;
    std::map<std::string, PublishedRow> kept;
    for (const auto& [repository, manifest] : outcome.kept)
      kept[kept_in(repository)] = {image_id, manifest, now_ms()};
    store_->record_success(image, row, kept);
    progress_.image_step(row.name, "State updated");
    if (!verified) {
      progress_.warning(row.name +
                        ": its context changed while it was built; the next run builds it again");
    }
    result(i).image_id = image_id;
    result(i).in_registry = where_it_is_kept(image_id);
    observer_.keep(observation);
    forget_context(job.last_context, observation.context_digest);
    auto publication = plan_publication(
        i, {image_id, row.started_ms, true,
            verified ? registry_state_->to_be_found_by(job.decision.manifest.inputs,
                                                       {row.digest, job.looked_for})
                     : std::vector<std::string>()});
    end(i, ImageState::Built);
    if (publication) publish(*std::move(publication));
  }

  // Without the time when it was built.
  ImageRow row_of(const Job& job, const std::string& image_id, bool verified) const {
    const Observation& observation = plan_.images[job.image].observation;
    ImageRow row;
    row.name = config(job.image).name;
    row.digest = job.decision.manifest.digest;
    row.image_id = image_id;
    row.config = project_.config_path;
    row.engine = engine_->name();
    row.format = kFingerprintFormat;
    row.verified = verified;
    row.reach = observation.reach;
    row.source = observation.origin.source;
    row.commit = observation.origin.commit;
    row.tree = observation.origin.tree;
    for (const Input& input : job.decision.manifest.inputs)
      row.inputs.push_back({word(input.kind), input.name, input.digest, redacted(input.value)});
    return row;
  }

  // --- Publishing

  // nullopt: there is nothing to do, or it cannot be done.
  std::optional<Publication> plan_publication(std::size_t i, const PublishedImage& image) {
    try {
      auto publication = publisher_->plan(config(i), plan_.images[i].observation, image,
                                          observer_.platform_of(config(i)));
      if (!publication.empty()) return publication;
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::Source) throw;
      publishing_failed(config(i).name, config(i).name, error.what());
    }
    return std::nullopt;
  }

  // Those of which all images have ended well and are pushed.
  void put_indexes() {
    if (options_.dry_run || !may_put_indexes_ || is_stopped()) return;
    for (auto& [name, images] : indexes_) {
      std::map<std::string, std::string> built;
      const PlannedImage* leader = nullptr;
      for (const std::size_t i : images) {
        const ImageState state = schedule_->state(i);
        if (state == ImageState::Built || state == ImageState::UpToDate)
          built[config(i).name] = result(i).image_id;
        if (config(i).leads_index) leader = &plan_.images[i];
      }
      if (built.size() < images.size()) continue;
      try {
        auto index = publisher_->plan_index(*leader->config, leader->observation, built);
        if (!index) continue;
        images.clear();  // once
        if (!index->to_push.empty()) publishing_->start(*std::move(index));
      } catch (const Error& error) {
        if (error.kind() != Error::Kind::Source) throw;
        images.clear();
        publishing_failed(leader->config->name, name, error.what());
      }
    }
    std::erase_if(indexes_, [](const auto& index) { return index.second.empty(); });
  }

  // Those that are pushed, and of which all images are in this run.
  void find_indexes() {
    std::map<std::string, std::size_t> sizes;
    for (const ImageConfig& image : project_.config.images) {
      if (!image.index.empty()) ++sizes[image.index];
    }
    for (std::size_t i = 0; i < plan_.images.size(); ++i) {
      if (!plan_.images[i].is_taken && !config(i).index.empty() &&
          config(i).push.value_or(options_.push))
        indexes_[config(i).index].push_back(i);
    }
    std::erase_if(indexes_, [&](const auto& index) {
      const bool is_partial = index.second.size() < sizes[index.first];
      if (is_partial) partial_indexes_.insert(index.first);
      return is_partial;
    });
    may_put_indexes_ = project_.config.publish == PublishWhen::Each;
  }

  // Once an index.
  void tell_of_partial_index(const std::string& name) {
    if (partial_indexes_.empty()) return;
    const auto image =
        std::find_if(plan_.images.begin(), plan_.images.end(),
                     [&](const PlannedImage& one) { return one.config->name == name; });
    if (image == plan_.images.end() || partial_indexes_.erase(image->config->index) == 0) return;
    progress_.warning(image->config->index +
                      " stays as it is, as not all its images are in this run");
  }

  void publish(Publication publication) {
    if (project_.config.publish == PublishWhen::Together) {
      later_.push_back(std::move(publication));
    } else {
      publishing_->start(std::move(publication));
    }
  }

  Publishing::Told publishing_told() {
    Publishing::Told told;
    told.tagged = [this](const std::string& name, const std::string& reference) {
      store_->record_name(name, reference);
      progress_.image_tagged(name, reference);
    };
    told.pushed = [this](const std::string& name, const std::string& reference,
                         const PublishedRow& row) {
      store_->record_push(name, reference, row);
      store_->take_from_others(name, reference);
      progress_.image_pushed(name, reference, row.digest);
      tell_of_partial_index(name);
      put_indexes();
    };
    told.there = [this](const std::string& name, const std::string& reference,
                        const PublishedRow& row) {
      store_->record_push(name, reference, row);
      progress_.image_step(name, reference + " is in its registry: " + row.digest);
      put_indexes();
    };
    told.failed = [this](const std::string& name, const std::string& reference,
                         const std::string& message) {
      publishing_failed(name, reference, message);
    };
    told.lost = [this](const std::string& manifest) { store_->forget_pushes(manifest); };
    told.broken = [this](const std::exception_ptr& error) {
      try {
        std::rethrow_exception(error);
      } catch (...) {
        give_up();
      }
    };
    return told;
  }

  void publishing_failed(const std::string& name, const std::string& reference,
                         const std::string& message) {
    ++summary_.publishing_failures;
    progress_.publishing_failed(name, reference, message);
  }

  // When all have ended: no name moves unless all are there.
  void publish_together() {
    const bool all_well = !is_stopped() && summary_.publishing_failures == 0 &&
                          summary_.count(ImageState::Failed) == 0 &&
                          summary_.count(ImageState::Skipped) == 0;
    if (!all_well) {
      if (!later_.empty())
        progress_.warning("nothing is tagged or pushed, as not all images ended well");
      return;
    }
    publishing_->start_together(std::move(later_), [this] {
      may_put_indexes_ = true;
      put_indexes();
    });
    work();
  }

  std::string failure_of(const Job& job, const BuildOutcome& outcome) const {
    if (outcome.exit.interrupted) return "interrupted";
    if (!outcome.message.empty()) return outcome.message;
    if (outcome.exit.timed_out) {
      return fmt::format("{} build was ended: it took longer than {}", engine_->name(),
                         describe(config(job.image).timeout));
    }
    if (outcome.exit.status == 0) return engine_->name() + " ended well but left no image id";
    return fmt::format("{} build ended with status {}", engine_->name(), outcome.exit.status);
  }

  void fail(Job& job, const BuildOutcome& outcome, const BuildLog& log) {
    ImageResult& image = result(job.image);
    BuildRow& row = job.row;
    row.result = outcome.exit.interrupted ? BuildResult::Interrupted : BuildResult::Failed;
    row.message = failure_of(job, outcome);
    store_->record_attempt(row);
    image.message = row.message;
    if (outcome.exit.interrupted) return end(job.image, ImageState::Skipped);
    image.last_lines.assign(log.last_lines().begin(), log.last_lines().end());
    end(job.image, ImageState::Failed);
  }

  // By its source. What the whole run needs is not an image's failure.
  void fail(std::size_t i, const Error& error) {
    if (is_stopped()) {
      result(i).message = "interrupted";
      return end(i, ImageState::Skipped);
    }
    if (error.kind() != Error::Kind::Source) throw error;
    result(i).message = error.what();
    end(i, ImageState::Failed);
  }

  // --- Ends

  void end(std::size_t i, ImageState state) {
    schedule_->move(i, state);
    if (state == ImageState::Failed && !first_failed_) first_failed_ = i;
    result(i).state = state;
    result(i).duration = duration_cast<milliseconds>(Clock::now() - began_[i]);
    told_[i] = true;
    plan_.images[i].observation.drop_files();
    progress_.image_finished(result(i));
    if (!config(i).index.empty()) put_indexes();
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
    const std::vector<std::string> all = all_names(project_.config);
    const std::unordered_set<std::string_view> names(all.begin(), all.end());
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
    for (std::size_t i = 0; i < plan_.images.size(); ++i) {
      if (told_[i]) continue;
      result(i).state = schedule_->state(i);
      auto failed = schedule_->because(i);
      if (!failed && !is_stopped()) failed = first_failed_;  // --fail-fast
      if (failed) {
        result(i).because = result(*failed).name;
        result(i).message = result(i).because + " failed";
      } else {
        result(i).message = "interrupted";
      }
      progress_.image_finished(result(i));
    }
    if (may_put_indexes_ && !is_stopped() && !options_.dry_run) {
      for (const auto& [name, images] : indexes_)
        progress_.warning(name + " is not pushed, as not all its images could be");
    }
    summary_.signal = interrupted() != 0 || !is_stopped() ? interrupted() : SIGTERM;
    summary_.duration = duration_cast<milliseconds>(Clock::now() - started_);
    progress_.run_finished(summary_);
    if (options_.is_last) {
      abandon(plan_);
      if (judge_) judge_->abandon_rows();
    }
    return std::move(summary_);
  }

  const ImageConfig& config(std::size_t i) const { return *plan_.images[i].config; }
  ImageResult& result(std::size_t i) { return summary_.images[i]; }

  static constexpr milliseconds kTick{100};
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

  const Project& project_;
  const RunOptions& options_;
  Progress& progress_;
  std::vector<std::size_t> selected_;  // numbers in the configuration; all others are in the plan
  Observer observer_;
  Clock::time_point started_;
  std::unique_ptr<Engine> engine_;
  std::optional<StateLock> lock_;
  std::optional<Store> store_;
  std::optional<Judge> judge_;
  std::optional<Outside> outside_;
  std::optional<Bases> bases_;
  std::optional<RegistryState> registry_state_;
  std::optional<Publisher> publisher_;
  std::optional<ImageNames> names_;
  Plan plan_;
  std::vector<std::size_t> places_;  // in the plan, by number in the configuration
  std::optional<Schedule> schedule_;
  RunSummary summary_;
  std::vector<Clock::time_point> began_;  // when each was looked at, or its build began
  std::vector<bool> told_;                // how each ended
  std::set<fs::path> hinted_;
  std::map<std::string, std::vector<std::size_t>> indexes_;  // still to be put: their images
  std::set<std::string> partial_indexes_;  // of which some images are not in this run
  bool may_put_indexes_ = false;
  bool prepared_ = false;
  bool takes_directories_ = true;  // the engine, once it is prepared
  bool is_ready_to_write_ = false;
  Clock::time_point last_change_;  // when a build began or ended; none did: long ago
  std::optional<std::size_t> first_failed_;
  std::exception_ptr fatal_;  // what ends the run
  bool expected_ = false;
  Estimate estimate_;
  Inbox inbox_;
  std::vector<std::size_t> ended_;  // whose thread has nothing more to do
  std::map<std::size_t, std::jthread> builds_;
  std::vector<Publication> later_;  // all together
  // (Its threads need the inbox.)
  std::optional<Publishing> publishing_;
};

}  // namespace

std::unique_ptr<Engine> engine_for(const Project& project, const RunOptions& options) {
  if (options.make_engine) return options.make_engine();
  return find_engine(wished_engine(project, options.engine), project.places.cache);
}

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
