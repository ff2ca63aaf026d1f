// What a worker says to its server with each call, as values and as JSON (docs/http-api.md,
// "Workers").
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "run/json.h"

namespace imagewright {

struct WorkerCall {
  struct Hold {
    std::int64_t job = 0;
    std::int64_t fence = 0;
    std::set<std::string> orders;  ///< names of those that it knows
  };

  std::string worker;    ///< its name
  std::string instance;  ///< of this process: another one of that name has another
  std::set<std::string> labels;
  std::string engine;             ///< for people: "buildah 1.28.2"
  std::string version;            ///< of imagewright
  bool takes_directories = true;  ///< as Readiness
  int jobs = 1;                   ///< how much it builds at once
  int room = 0;                   ///< how much more it would take now
  bool draining = false;
  std::chrono::milliseconds wait{0};  ///< how long it waits for an answer
  std::vector<Hold> holds;
};

Json to_json(const WorkerCall& call);
/// Throws Error(Usage) for what is none.
WorkerCall worker_call_of(const Json& json);

}  // namespace imagewright
