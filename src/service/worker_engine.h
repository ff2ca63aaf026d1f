// The engine of one run whose builds a worker carries out: packs contexts, orders the builds, and
// believes of what comes back only what a registry has.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "service/fleet_engine.h"
#include "service/packs.h"
#include "service/queue.h"
#include "service/remote_job.h"

namespace imagewright {

/// What a run on a worker is about.
struct WorkerRun {
  std::int64_t job = 0;
  std::int64_t fence = 0;
  std::string worker;             ///< its name
  std::string engine;             ///< what it builds with, for people
  bool takes_directories = true;  ///< as Readiness
};

class WorkerEngine : public FleetEngine {
 public:
  /// Borrows all but the last two.
  WorkerEngine(const Project& project, KnownManifests& known, Store& store, Packs& packs,
               RemoteJob& orders, FleetPlaces places, WorkerRun run);

  Readiness prepare() override;
  std::string name_for_made() override;
  BuildOutcome build(const BuildRequest& request, const OnLine& on_line) override;

 private:
  OrderedContext packed(const std::string& name, const std::filesystem::path& directory,
                        const std::vector<Entry>& entries,
                        std::vector<std::shared_ptr<const Packs::Pack>>* packs);
  void take_pushed(const BuildRequest& request, const BuildOrder& order, const OrderOutcome& said,
                   BuildOutcome* outcome);

  Packs& packs_;
  RemoteJob& orders_;
  WorkerRun run_;
  std::atomic<int> made_{0};
};

}  // namespace imagewright
