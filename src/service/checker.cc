#include "service/checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>
#include <set>

#include "core/digest.h"
#include "io/error.h"
#include "io/wall_clock.h"
#include "run/json.h"
#include "run/progress.h"
#include "run/review.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;

// Where not all can be watched.
constexpr milliseconds kBlindInterval{2'000};

// What a look tells, once as long as it stays so.
class LookProgress : public Progress {
 public:
  void warning(const std::string& text) override { warnings_.push_back(text); }
  void waiting(const std::filesystem::path&, int) override {}
  void image_finished(const ImageResult&) override {}
  void publishing_failed(const std::string&, const std::string&, const std::string&) override {}
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::vector<std::string> warnings_;
};

bool is_to_be_built(Standing standing) {
  return standing == Standing::Stale || standing == Standing::Failed ||
         standing == Standing::Unpublished;
}

bool is_same(const Config& a, const Config& b) {
  return a.images == b.images && a.engine == b.engine && a.publish == b.publish && a.git == b.git &&
         a.insecure_registries == b.insecure_registries && a.other_names == b.other_names;
}

// One for all of a unit, as it is now.
std::string digest_of(const std::vector<const Reviewed*>& images) {
  if (images.size() == 1) return images.front()->digest;
  Sha256 hash;
  for (const Reviewed* image : images) {
    hash.update_field(image->status.name);
    hash.update_field(image->digest);
  }
  return "sha256:" + hex(hash.finish());
}

std::string reasons_of(const ImageStatus& image) {
  return image.reasons.empty() ? image.message : describe(image.reasons);
}

}  // namespace

Checker::Checker(LoadProject load, RunOptions options, WatchTimes times, OpenQueue open,
                 Current& current, const Looking& looking, SharedAnswers* shared,
                 const ServiceLog& log)
    : load_(std::move(load)),
      options_(std::move(options)),
      times_(times),
      open_(std::move(open)),
      current_(current),
      looking_(looking),
      shared_(shared),
      log_(log),
      watch_({current.get()->project.places.cache, current.get()->project.places.logs,
              current.get()->project.places.sockets},
             Store::file_names()),
      looked_(std::make_shared<Looked>()) {}

void Checker::begin() {
  thread_ = std::thread([this] { go(); });
}

Checker::~Checker() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void Checker::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
    ended_.notify_all();
  }
  watch_.wake();
}

void Checker::look() {
  watch_.wake();
}

void Checker::reload() {
  must_reload_ = true;
  watch_.wake();
}

std::shared_ptr<const Looked> Checker::looked() const {
  const std::lock_guard lock(mutex_);
  return looked_;
}

bool Checker::wait_for_look(milliseconds most) {
  std::unique_lock lock(mutex_);
  const std::uint64_t wanted = begun_ + 1;
  watch_.wake();
  return ended_.wait_for(lock, most, [&] { return done_ >= wanted || is_stopped_; }) &&
         !is_stopped_;
}

milliseconds Checker::interval() const {
  milliseconds most = times_.interval;
  if (!watch_.problem().empty()) most = std::min(most, kBlindInterval);
  if (any_left_) most = std::min<milliseconds>(most, SharedAnswers::kClaim);
  return most;
}

void Checker::go() {
  std::unique_ptr<Queue> queue;
  std::string told;
  while (!is_stopped_) {
    std::uint64_t mine = 0;
    {
      const std::lock_guard lock(mutex_);
      mine = ++begun_;
    }
    // Before the look: what changes while it goes on is told by the next wait.
    const WatchedPaths paths = watched_paths(current_.get()->project);
    watch_.set(paths.trees, paths.files);
    std::string problem;
    try {
      if (!queue) queue = open_();
      look_once(*queue);
    } catch (const Error& error) {
      problem = error.what();
      queue.reset();
    }
    if (problem != told && !problem.empty()) log_.error(problem);
    told = problem;
    {
      const std::lock_guard lock(mutex_);
      auto looked = std::make_shared<Looked>(*looked_);
      looked->problem = problem;
      looked->config_problem = config_problem_;
      looked_ = std::move(looked);
      done_ = mine;
      ended_.notify_all();
    }
    if (is_stopped_) return;
    if (watch_.wait(interval(), times_.quiet) == Watch::Event::Interrupted) return;
    // (Whatever woke it: a change of the file may have come at the same time.)
    read_configuration(must_reload_.exchange(false));
  }
}

void Checker::read_configuration(bool tell) {
  try {
    Project project = load_();
    config_problem_.clear();
    const bool is_new = !is_same(project.config, current_.get()->project.config);
    if (!is_new && !tell) return;
    log_.info(fmt::format("{}: {} image{}", project.config_path.string(),
                          project.config.images.size(),
                          project.config.images.size() == 1 ? "" : "s"));
    current_.set(std::move(project));
  } catch (const Error& error) {
    if (config_problem_ != error.what() || tell)
      log_.error(std::string(error.what()) + "; what was read before is kept");
    config_problem_ = error.what();
  }
}

// What others know is no reason not to look, nor to throw away what was seen.
void Checker::try_to_share(const std::function<void()>& step) {
  try {
    step();
  } catch (const Error& error) {
    log_.warning(error.what());
  }
}

std::vector<Reviewed> Checker::look_and_share(Review& review) {
  if (shared_ == nullptr) return review.look(false);
  any_left_ = false;
  try_to_share([&] {
    shared_->learn();
    // (Who queues nothing keeps nobody waiting.)
    if (current_.counts()) any_left_ = shared_->claim_due();
  });
  std::vector<Reviewed> images;
  std::exception_ptr failure;
  try {
    images = review.look(false);
  } catch (...) {
    failure = std::current_exception();
  }
  try_to_share([&] { shared_->tell(); });
  try_to_share([&] { shared_->end_claims(); });
  if (failure) std::rethrow_exception(failure);
  return images;
}

void Checker::look_once(Queue& queue) {
  const auto served = current_.get();
  const std::int64_t began_ms = queue.now_ms();
  LookProgress progress;
  Review review(served->project, options_, progress);
  const std::vector<Reviewed> images = look_and_share(review);
  if (is_stopped_) return;
  std::set<std::string> told;
  for (const std::string& warning : progress.warnings()) {
    if (told_.count(warning) == 0) log_.warning(warning);
    told.insert(warning);
  }
  if (!watch_.problem().empty()) {
    const std::string warning =
        fmt::format("{}; all is looked at every {}", watch_.problem(), describe(kBlindInterval));
    if (told_.count(warning) == 0) log_.warning(warning);
    told.insert(warning);
  }
  auto looked = std::make_shared<Looked>();
  looked->at_ms = now_ms();
  for (const Reviewed& image : images) {
    const ImageStatus& status = image.status;
    if (status.standing == Standing::Unknown) {
      const std::string text = status.name + ": " + status.message;
      if (told_.count(text) == 0) log_.error(status.message, {0, 0, status.name});
      told.insert(text);
    }
    looked->images.push_back(status);
    const std::string& unit = served->units.of_image(status.name).name;
    for (const std::string& parent : image.parents) {
      const std::string& its = served->units.of_image(parent).name;
      if (its != unit) looked->parents[unit].insert(its);
    }
  }
  told_ = std::move(told);
  {
    const std::lock_guard lock(mutex_);
    looked_ = std::move(looked);
  }
  if (!current_.counts()) return;
  enqueue(queue, *served, images, began_ms);
  if (retired_ != served) retire(*served);
  retired_ = served;
}

// As the end of a full run does.
void Checker::retire(const Served& served) {
  const std::vector<std::string> names = all_names(served.project.config);
  Store store = open_store(served.project);
  for (const std::string& name :
       store.retire(served.project.config_path, {names.begin(), names.end()}))
    log_.info("forgotten, as it left the configuration", {0, 0, name});
}

namespace {

bool is_left_alone(Queue& queue, const NewJob& job, std::int64_t look_began_ms,
                   milliseconds interval) {
  JobFilter filter;
  filter.image = job.image;
  filter.most = 1;
  const std::vector<Job> jobs = queue.jobs(filter);
  if (jobs.empty() || !is_final(jobs.front().state)) return false;
  const Job& last = jobs.front();
  // What it came to was not seen yet; the next look, which its end has brought about, sees it.
  if (last.finished_ms >= look_began_ms) return true;
  if (last.inputs != job.inputs) return false;
  // Who looked for himself found nothing to do; it is asked again later, and not for ever.
  if (last.state == JobState::UpToDate && last.reasons == job.reasons)
    return last.finished_ms + interval.count() > queue.now_ms();
  // Somebody did not want just that. Until its inputs change, or somebody wants it after all.
  return last.state == JobState::Cancelled;
}

}  // namespace

void Checker::enqueue(Queue& queue, const Served& served, const std::vector<Reviewed>& images,
                      std::int64_t look_began_ms) {
  std::map<std::string, const Reviewed*> by_name;
  for (const Reviewed& image : images) by_name[image.status.name] = &image;
  std::map<std::string, NewJob> jobs;  // by unit
  for (const Unit& unit : served.units.all()) {
    std::vector<const Reviewed*> its;
    for (const std::string& name : unit.images) {
      if (const auto found = by_name.find(name); found != by_name.end())
        its.push_back(found->second);
    }
    NewJob job;
    job.image = unit.name;
    job.trigger = "change";
    Json details = Json::array();
    bool any = false;
    for (const Reviewed* image : its) {
      if (!is_to_be_built(image->status.standing) && !image->is_only_found) continue;
      any = true;
      const std::string name = its.size() > 1 ? image->status.name + ": " : "";
      job.reasons += (job.reasons.empty() ? "" : "; ") + name + reasons_of(image->status);
      for (const Json& reason : to_json(image->status.reasons)) details.push_back(reason);
      for (const std::string& parent : image->stale_parents) {
        const std::string& waits_for = served.units.of_image(parent).name;
        if (waits_for == unit.name) continue;
        job.waits_for.insert(waits_for);
      }
    }
    if (!any) continue;
    job.details = dump(details, false);
    job.inputs = digest_of(its);
    // (Who builds here has what there is.)
    if (options_.make_engine) job.needs = unit.needs;
    jobs[unit.name] = std::move(job);
  }
  // Whom others wait for comes first, so that they are blocked from the beginning. Where he has no
  // job (it cannot be looked at, somebody cancelled it, it was lost too often), they get none.
  std::map<std::string, bool> has_job;
  const std::function<bool(const std::string&)> put = [&](const std::string& name) {
    const auto job = jobs.find(name);
    if (job == jobs.end()) return false;
    if (const auto known = has_job.find(name); known != has_job.end()) return known->second;
    has_job[name] = true;  // (Units can stand on each other, where their images do not.)
    for (const std::string& other : job->second.waits_for) {
      if (!put(other)) return has_job[name] = false;
    }
    const auto in_one = looking_.in_one();
    // (When it is decided, it is for what is found then; and at its end there is another look.)
    return has_job[name] = looking_.contains(name) ||
                           (!is_left_alone(queue, job->second, look_began_ms, times_.interval) &&
                            put_one(queue, job->second));
  };
  for (const Unit& unit : served.units.all()) put(unit.name);
}

// Has it a job now?
bool Checker::put_one(Queue& queue, const NewJob& job) {
  const EnqueueResult result = queue.enqueue(job);
  if (result.how == Enqueued::New)
    log_.info((job.waits_for.empty() ? "to be built: " : "to be built after what it stands on: ") +
                  job.reasons,
              {result.job, 0, job.image});
  if (result.how == Enqueued::Replaced)
    log_.info("its inputs changed once more: " + job.reasons, {result.job, 0, job.image});
  return result.job != 0;
}

}  // namespace imagewright
