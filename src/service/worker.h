// `imagewright worker`: builds for a server, which it calls over HTTP (docs/http-api.md,
// "Workers"), with the engine of its own machine. Decides nothing: it is told each build, and tells
// what came of it.
#pragma once

#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "io/places.h"
#include "service/server_client.h"

namespace imagewright {

struct WorkerOptions {
  std::vector<ServerAddress> servers;  ///< of one fleet; at least one
  std::string name;                    ///< "": this machine's
  std::set<std::string> labels;        ///< beside those that say its engine and its platform
  std::string engine;                  ///< "": the one that answers
  int jobs = 1;                        ///< how much it builds at once
  Places places;
  std::string version;
  bool json_log = false;
  /// Without a word from a server, it goes on for so long with what it builds.
  std::chrono::milliseconds cut_off{600'000};
};

/// Works until SIGINT or SIGTERM: then ends what it builds and takes no more; a second one hands
/// back what has not ended. Gives the exit status. Throws Error(Missing) where there is no engine,
/// Error(Usage) where the server refuses it from the first, or another process has its name since.
int work(const WorkerOptions& options);

}  // namespace imagewright
