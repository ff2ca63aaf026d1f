#include "run/prune.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <unordered_set>

#include "core/digest.h"
#include "io/docker_run_tags.h"
#include "io/error.h"
#include "io/git_mirror.h"
#include "io/interrupt.h"
#include "io/wall_clock.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

// A cache that was not written for so long is unlikely to be read again.
constexpr auto kCacheAge = std::chrono::hours(24 * 30);

constexpr const char* kLeft = "it left the configuration";

std::uint64_t size_of(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return fs::file_size(path, ignored);
  std::uint64_t bytes = 0;
  for (fs::recursive_directory_iterator it(path, ignored), end; !ignored && it != end;
       it.increment(ignored)) {
    std::error_code none;
    if (it->is_regular_file(none)) bytes += it->file_size(none);
  }
  return bytes;
}

class Pruning {
 public:
  Pruning(const Project& project, const PruneOptions& options, Store& store, Engine& engine)
      : project_(project),
        options_(options),
        store_(store),
        engine_(engine),
        rows_(store.rows()),
        builds_(store.all_builds()) {
    for (std::string& name : all_names(project.config)) configured_.insert(std::move(name));
  }

  std::vector<PruneItem> go() {
    images();
    rows();
    logs();
    caches();
    return std::move(items_);
  }

 private:
  bool is_configured(const std::string& name) const { return configured_.count(name) != 0; }

  bool is_recent(std::int64_t ms) const { return now_ms_ - ms < options_.grace.count(); }

  // --- Images

  struct Candidate {
    std::string name;  // the image's in the configuration, now or then
    std::string why;
  };

  // Of those that this configuration built by this engine: by id, what nothing needs any more.
  std::map<std::string, Candidate> candidates() {
    std::set<std::string> current;
    for (const ImageRow& row : rows_) {
      if (row.config != project_.config_path || is_configured(row.name))
        current.insert(row.image_id);
    }
    std::map<std::string, std::vector<const BuildRow*>> successes;  // newest first
    for (const BuildRow& build : builds_) {
      if (build.result == BuildResult::Success && build.config == project_.config_path &&
          build.engine == engine_.name() && !build.image_id.empty()) {
        successes[build.name].push_back(&build);
      }
    }
    std::map<std::string, Candidate> found;
    for (const auto& [name, builds] : successes) {
      const bool configured = is_configured(name);
      std::set<std::string> seen;
      int kept = configured ? -1 : options_.keep;  // (the newest one is no superseded one)
      std::int64_t out_of_use = configured ? now_ms_ : end_of(*builds.front());
      for (const BuildRow* build : builds) {
        if (!seen.insert(build->image_id).second) {
          out_of_use = build->started_ms;
          continue;
        }
        const bool stays = kept < options_.keep;
        kept += stays ? 1 : 0;
        if (!stays && !is_recent(out_of_use) && current.count(build->image_id) == 0) {
          found.try_emplace(build->image_id,
                            Candidate{name, configured ? "a newer one has its place" : kLeft});
        }
        if (configured) out_of_use = end_of(*build);
      }
    }
    return found;
  }

  static std::int64_t end_of(const BuildRow& build) { return build.started_ms + build.duration_ms; }

  void images() {
    const auto found = candidates();
    if (found.empty()) return;
    const EngineImages all = engine_.images();
    const std::set<std::string> used = engine_.used_image_ids();
    std::map<std::string, std::vector<std::string>> names;
    for (const auto& [name, id] : all.names) names[id].push_back(name);
    std::unordered_set<std::string> ours;
    for (const std::string& reference : store_.names_given()) ours.merge(spellings(reference));
    for (const auto& [id, candidate] : found) {
      if (interrupted() != 0) return;
      if (all.ids.count(id) == 0) continue;
      std::vector<std::string> its;
      for (const std::string& name : names[id]) {
        if (!name.empty() && name.find("<none>") == std::string::npos) its.push_back(name);
      }
      PruneItem item{PruneKind::Image, candidate.name + " " + short_digest(id), candidate.why, 0,
                     ""};
      if (used.count(id) != 0) {
        item.left = "a container uses it";
      } else if (const auto strange = not_ours(its, candidate.name, ours)) {
        item.left = "it has a name that was not given here: " + *strange;
      } else if (options_.remove) {
        item.left = engine_.remove_image(id, its);
      }
      items_.push_back(std::move(item));
    }
  }

  std::unordered_set<std::string> spellings(const std::string& reference) const {
    const auto all = engine_spellings(reference, engine_.has_short_names());
    return {all.begin(), all.end()};
  }

  // A name among them that we did not give.
  std::optional<std::string> not_ours(const std::vector<std::string>& names,
                                      const std::string& image,
                                      const std::unordered_set<std::string>& given) const {
    const auto own = spellings(image);
    for (const std::string& name : names) {
      const bool ours = given.count(name) != 0 || own.count(name) != 0 || is_run_tag(name);
      if (!ours) return name;
    }
    return std::nullopt;
  }

  // --- State and logs

  void rows() {
    for (const ImageRow& row : rows_) {
      if (row.config == project_.config_path && !is_configured(row.name)) gone_.insert(row.name);
    }
    std::set<std::string> recent;
    for (const BuildRow& build : builds_) {
      if (build.config != project_.config_path || is_configured(build.name)) continue;
      gone_.insert(build.name);
      if (is_recent(end_of(build))) recent.insert(build.name);
    }
    for (const std::string& name : recent) gone_.erase(name);
    for (const std::string& name : gone_) items_.push_back({PruneKind::Row, name, kLeft, 0, ""});
    if (options_.remove) store_.forget(gone_, project_.config_path);
  }

  void logs() {
    std::set<fs::path> wanted;
    for (const std::string& name : configured_) wanted.insert(log_directory(project_, name));
    // (Another configuration may keep its state in the same place.)
    for (const BuildRow& build : builds_) {
      if (build.config != project_.config_path || gone_.count(build.name) == 0)
        wanted.insert(log_directory(project_, build.name));
    }
    std::error_code ignored;
    for (const auto& entry :
         fs::directory_iterator(log_directory(project_, "x").parent_path(), ignored)) {
      if (wanted.count(entry.path()) == 0)
        drop(PruneKind::Logs, entry.path(), "their image left the configuration");
    }
  }

  // --- Caches

  void caches() {
    const auto newest = fs::file_time_type::clock::now() - kCacheAge;
    for (const char* name : {"contexts", "trees", "configs", "registry"}) {
      std::error_code ignored;
      std::vector<fs::path> old;
      for (const auto& entry : fs::directory_iterator(project_.places.cache / name, ignored)) {
        std::error_code error;
        const auto written = entry.last_write_time(error);
        if (!error && written < newest) old.push_back(entry.path());
      }
      for (const fs::path& path : old)
        drop(PruneKind::Cache, path, "it was not written for 30 days");
    }
    for (const fs::path& mirror : unused_mirrors(project_.places.cache, newest)) {
      PruneItem item{PruneKind::Cache, mirror.string(), "it was not used for 30 days",
                     size_of(mirror), ""};
      if (options_.remove) item.left = remove_mirror(mirror, newest);
      items_.push_back(std::move(item));
    }
  }

  void drop(PruneKind kind, const fs::path& path, const std::string& why) {
    PruneItem item{kind, path.string(), why, size_of(path), ""};
    if (options_.remove) {
      std::error_code error;
      fs::remove_all(path, error);
      if (error) item.left = error.message();
    }
    items_.push_back(std::move(item));
  }

  const Project& project_;
  const PruneOptions& options_;
  Store& store_;
  Engine& engine_;
  const std::vector<ImageRow> rows_;
  const std::vector<BuildRow> builds_;
  std::set<std::string> configured_;
  std::set<std::string> gone_;  // whose rows go
  const std::int64_t now_ms_ = now_ms();
  std::vector<PruneItem> items_;
};

}  // namespace

const char* word(PruneKind kind) {
  switch (kind) {
    case PruneKind::Row:
      return "row";
    case PruneKind::Image:
      return "image";
    case PruneKind::Logs:
      return "logs";
    case PruneKind::Cache:
      return "cache";
  }
  return "";
}

std::vector<PruneItem> prune(const Project& project, const PruneOptions& options,
                             Progress& progress) {
  const auto engine = find_engine(wished_engine(project, options.engine), project.places.cache);
  if (!options.remove) {
    Store store = read_store(project);
    return Pruning(project, options, store, *engine).go();
  }
  // (Where there is no state, there is nothing of ours.)
  std::error_code ignored;
  if (!fs::exists(project.state_directory / Store::file_names().front(), ignored)) return {};
  const auto lock = StateLock::acquire(project.state_directory, [&](int process_id) {
    if (options.wait) progress.waiting(project.state_directory, process_id);
    return options.wait;
  });
  if (!lock) {
    if (interrupted() != 0) return {};
    throw Error(Error::Kind::Missing,
                "another run holds the state in " + project.state_directory.string());
  }
  Store store = open_store(project);
  return Pruning(project, options, store, *engine).go();
}

}  // namespace imagewright
