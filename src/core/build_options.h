// What of a build is only passed on to the engine: it is read from the configuration and handed
// over as it is. Knows nothing of engines, and of which of them can do what.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace imagewright {

/// What a RUN with `--mount=type=secret` may read. Exactly one of `file` and `environment` is set.
struct Secret {
  std::string id;           ///< letters, digits, `.`, `_`, `-`
  std::string file;         ///< as written: relative to the configuration's base directory
  std::string environment;  ///< the name of a variable, which holds the secret
  bool operator==(const Secret&) const = default;
};

/// A limit of the processes in a build; -1: none.
struct Ulimit {
  std::int64_t soft = 0;
  std::int64_t hard = 0;
  bool operator==(const Ulimit&) const = default;
};

/// Empty, 0 and false mean: nothing is asked of the engine.
struct BuildOptions {
  std::vector<std::string> platforms;  ///< `linux/arm64`; no two alike
  std::vector<Secret> secrets;         ///< no two of one id
  std::vector<std::string> ssh;        ///< `ID` or `ID=PATH`; `default` is the agent
  std::vector<std::string> cache_from;
  std::vector<std::string> cache_to;
  std::string network;  ///< `none`, `host`, `default` or what the engine knows by this name
  std::vector<std::pair<std::string, std::string>> extra_hosts;  ///< host, address
  std::int64_t shm_size = 0;                                     ///< bytes
  std::map<std::string, Ulimit> ulimits;                         ///< by name: `nofile`
  bool no_cache = false;
  bool pull = false;
  bool privileged = false;
  bool operator==(const BuildOptions&) const = default;
};

/// What of them decides what an image holds, by key, each as one text: platforms, network,
/// extra_hosts, shm_size, ulimits, privileged, as far as they ask for anything. The contents of
/// secrets decide, too, but are not in here.
std::map<std::string, std::string> deciding_options(const BuildOptions& options);

}  // namespace imagewright
