// `imagewright serve`: one server that checks, queues and builds, by itself or by its workers,
// alone or with others over one store, and can be asked over HTTP. Puts the parts together; each
// knows how to do its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "run/run.h"
#include "run/watch.h"

namespace imagewright {

struct ServeOptions {
  RunOptions run;  ///< `jobs`: how much is built at once
  WatchTimes times;
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;          ///< 0: any that is free
  std::vector<std::string> hosts;     ///< further names by which requests may call us
  std::filesystem::path certificate;  ///< PEM; "": no TLS
  std::filesystem::path key;
  std::filesystem::path webhook_secret_file;  ///< "": webhooks are refused
  /// What is built is built by workers (service/worker), and images are kept in registries.
  bool fleet = false;
  std::string registry;  ///< as FleetPlaces, as somebody wrote it
  bool json_log = false;
  std::string version;
};

/// Serves until SIGINT or SIGTERM, then lets builds end; a second one ends them, too. SIGHUP: the
/// configuration is read anew. Gives the exit status. Throws Error for what is wrong at the
/// beginning: as `load`, as build_images for what the engine lacks, Error(Missing) if another run
/// or server has the state, or the address is taken.
int serve(const LoadProject& load, const ServeOptions& options);

/// The unix socket by which the server over a project's state is asked on its machine.
std::filesystem::path server_socket(const Project& project);

}  // namespace imagewright
