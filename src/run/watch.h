// Runs one after the other, as soon as something changes: a directory, the configuration itself;
// what is elsewhere (git, registries) is asked at intervals. Knows nothing of argv.
#pragma once

#include <chrono>
#include <functional>

#include "run/observe.h"
#include "run/progress.h"
#include "run/project.h"
#include "run/run.h"

namespace imagewright {

struct WatchTimes {
  std::chrono::milliseconds interval{60'000};  ///< between looks when nothing is noticed
  std::chrono::milliseconds quiet{100};        ///< without a change, before one is looked at
};

/// Reads the configuration. Throws Error(Usage).
using LoadProject = std::function<Project()>;

/// Where on this machine what a configuration's images are built from is read, and the
/// configuration itself.
WatchedPaths watched_paths(const Project& project);

/// Builds what changed, and again whenever something changes, until an interrupt, whose signal it
/// gives. Of the later runs those are shown in which something happened. What failed is built again
/// when its inputs have changed. A configuration that cannot be read any more, an engine that is
/// gone: a warning, and what was is kept until it can be read, or is there, again. Throws as
/// build_images and `load` what is wrong at the beginning.
int watch_images(const LoadProject& load, const RunOptions& options, const WatchTimes& times,
                 Progress& progress);

}  // namespace imagewright
