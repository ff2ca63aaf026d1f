// One build as a server orders it from a worker, and what came of it: values, and how they are
// written as JSON (docs/http-api.md, "Workers").
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/build_options.h"
#include "io/engine.h"
#include "run/json.h"

namespace imagewright {

/// A directory of a build, as it is sent.
struct OrderedContext {
  std::string name;        ///< as the Dockerfile writes it; "": the context itself
  std::string digest;      ///< of what counts of it (core/context): `sha256:…`
  std::string pack;        ///< of the file that is sent (io/pack): `sha256:…`
  std::uint64_t size = 0;  ///< its bytes
  bool operator==(const OrderedContext&) const = default;
};

/// Files of secrets and agents are the worker's own, under the same paths.
struct BuildOrder {
  std::string image;  ///< for people
  OrderedContext context;
  std::vector<OrderedContext> named;
  std::string dockerfile;  ///< its bytes
  std::string target;
  std::map<std::string, std::string> args;
  std::map<std::string, std::string> labels;
  BuildOptions options;
  bool insecure = false;                 ///< as BuildRequest
  std::chrono::milliseconds timeout{0};  ///< 0: none
  /// References under which it is to be pushed, each in another repository. None: it is an image of
  /// a directory, which the worker keeps under `made_name` until the job has ended.
  std::vector<std::string> push;
  std::vector<std::string> push_insecurely;  ///< those of them that may be by plain http
  std::string made_name;
  bool operator==(const BuildOrder&) const = default;

  /// Of two orders with one digest, what came of one is what would come of the other. Over all but
  /// the pack and the tags of what is pushed.
  std::string digest() const;
};

Json to_json(const BuildOrder& order);
/// Throws Error(Source) for what is none.
BuildOrder build_order_of(const Json& json);

/// What came of it, as its worker says.
struct OrderOutcome {
  Exit exit;
  std::string image_id;  ///< as the worker's engine knows it
  /// The manifest's digest by the reference under which it was pushed.
  std::map<std::string, std::string> pushed;
  std::string message;  ///< why it was not built, or not pushed; "" where the exit says all
  bool operator==(const OrderOutcome& other) const;
};

/// As its worker tells it, with the length of its log.
Json to_json(const OrderOutcome& outcome, std::uint64_t log_bytes);
/// Throws Error(Usage) for what is none.
std::pair<OrderOutcome, std::uint64_t> told_outcome_of(const Json& json);

}  // namespace imagewright
