// A build that is handed to the server over the same state, and followed until its end, as if it
// had been built here.
#pragma once

#include "run/progress.h"
#include "run/run.h"
#include "service/server_client.h"

namespace imagewright {

/// Has the server look at once and build what is to be built of `options.images` (globs; none:
/// all), with `options.force` whatever the verdict; tells `progress` what happens. An interrupt
/// ends the following, not the builds. Throws as ServerClient, and Error(Usage) for what only a run
/// of one's own can do.
RunSummary build_by_server(const ServerAddress& server, const Project& project,
                           const RunOptions& options, Progress& progress);

}  // namespace imagewright
