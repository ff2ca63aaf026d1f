#include "run/watch.h"

#include <fmt/format.h>

#include <string>

#include "io/error.h"
#include "io/interrupt.h"
#include "io/watch.h"
#include "run/news_only.h"
#include "run/observe.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;

// Where not all can be watched.
constexpr milliseconds kBlindInterval{2'000};

}  // namespace

WatchedPaths watched_paths(const Project& project) {
  WatchedPaths all;
  const Observer observer(project, Observer::Look::Links);
  for (const ImageConfig& image : project.config.images) observer.add_watched(image, all);
  all.files.push_back(project.config_path);
  return all;
}

int watch_images(const LoadProject& load, const RunOptions& options, const WatchTimes& times,
                 Progress& progress) {
  Project project = load();
  Watch watch({project.places.cache, project.places.logs, project.places.sockets},
              Store::file_names());
  NewsOnly news(progress);
  RunOptions now = options;
  const auto watch_now = [&] {
    const WatchedPaths paths = watched_paths(project);
    watch.set(paths.trees, paths.files);
  };
  watch_now();
  bool is_first = true;
  while (true) {
    news.begin(is_first);
    try {
      const RunSummary summary = build_images(project, now, news);
      if (summary.signal != 0) return summary.signal;
    } catch (const Error& error) {
      if (interrupted() != 0) return interrupted();
      if (is_first) throw;
      news.warning(error.what());
    }
    is_first = false;
    now.retry = false;
    now.clean = false;
    now.force = false;
    if (!watch.problem().empty()) {
      news.warning(
          fmt::format("{}; all is looked at every {}", watch.problem(), describe(kBlindInterval)));
    }
    const milliseconds most =
        watch.problem().empty() ? times.interval : std::min(times.interval, kBlindInterval);
    if (watch.wait(most, times.quiet) == Watch::Event::Interrupted) return interrupted();
    try {
      project = load();
    } catch (const Error& error) {
      news.warning(std::string(error.what()) + "; what was read before is kept");
    }
    watch_now();
  }
}

}  // namespace imagewright
