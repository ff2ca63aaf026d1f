// Carries out one build as a server ordered it, with the engine of this machine: brings its
// contexts, builds, and pushes what came of it. Knows nothing of jobs, or of when orders come.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/context.h"
#include "io/engine.h"
#include "service/build_order.h"
#include "service/servers.h"
#include "service/service_log.h"

namespace imagewright {

class OrderBuilder {
 public:
  /// Borrows the engine, the servers and the log. `scratch`: a directory for what is brought.
  /// Without a word from a server it waits so long for a context.
  OrderBuilder(Engine& engine, const Servers& servers, std::filesystem::path scratch,
               std::chrono::milliseconds cut_off, const ServiceLog& log)
      : engine_(engine),
        servers_(servers),
        scratch_(std::move(scratch)),
        cut_off_(cut_off),
        log_(log) {}

  /// Several threads may, each its own. `stop`: to become true where it is to end; borrowed.
  /// `is_fetching`: as long as its contexts are not here. Throws Error(Missing) for what is missing
  /// on this machine, Error(Source) for what cannot be built.
  OrderOutcome build(const BuildOrder& order, const std::atomic<bool>& stop,
                     std::atomic<bool>& is_fetching, const OnLine& on_line);

  /// The job of an order has ended: if it made an image of a directory, that is not needed any
  /// more.
  void forget_made(const BuildOrder& order, const OrderOutcome& outcome);

 private:
  BuildRequest request_for(const BuildOrder& order, const std::filesystem::path& directory,
                           const std::atomic<bool>& stop);
  std::vector<Entry> fetch(const OrderedContext& context, const std::filesystem::path& directory,
                           const std::filesystem::path& place, const std::atomic<bool>& stop);
  PushOutcome push(const std::string& image_id, const std::string& reference,
                   const BuildOrder& order, const std::atomic<bool>& stop);
  void forget_last(const std::string& image_id, const std::string& reference);
  void remove(const std::string& image_id, const std::string& name);
  std::string local_name_of(const std::string& made_name);
  std::string with_local_names(std::string dockerfile);

  Engine& engine_;
  const Servers& servers_;
  std::filesystem::path scratch_;
  std::chrono::milliseconds cut_off_;
  const ServiceLog& log_;
  std::mutex mutex_;                                                        // of what follows
  std::map<std::string, std::pair<std::string, std::string>> last_pushed_;  // id, reference, by
                                                                            // repository
  std::map<std::string, std::string> made_names_;  // what the engine calls what a server calls so
};

}  // namespace imagewright
