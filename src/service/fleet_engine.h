// The engine of a fleet, as a server sees it: its images are in registries, each by its manifest's
// digest, and nowhere else. By itself it can be asked what there is; who builds is added by
// service/worker_engine.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/reference.h"
#include "io/engine.h"
#include "io/registry.h"
#include "io/store.h"
#include "run/project.h"

namespace imagewright {

/// Which manifests registries were found to have, for a while: a server looks often. Any number of
/// threads.
class KnownManifests {
 public:
  explicit KnownManifests(std::chrono::milliseconds most_age) : most_age_(most_age) {}

  /// Of these (`repository@sha256:…`) those that are there, or of which a registry does not say:
  /// what cannot be asked is believed to be as it was.
  std::set<std::string> there(Registries& registries, const std::set<std::string>& manifests);
  /// It was put there just now.
  void add(const std::string& manifest);

 private:
  using Clock = std::chrono::steady_clock;
  std::chrono::milliseconds most_age_;
  std::mutex mutex_;
  std::map<std::string, Clock::time_point> until_;
};

/// For one run.
class FleetEngine : public Engine {
 public:
  /// Borrows the first two. `store`: read once, for where images are kept.
  FleetEngine(const Project& project, KnownManifests& known, Store& store);

  static constexpr char kName[] = "fleet";
  std::string name() const override { return kName; }
  bool keeps_in_registries() const override { return true; }
  EngineImages images() override;
  Readiness prepare() override;
  /// `repository@sha256:…`
  std::string reference_to(const std::string& image_id) override;
  std::optional<EngineImage> find_image(const std::string& image,
                                        const std::string& platform) override;
  BuildOutcome build(const BuildRequest& request, const OnLine& on_line) override;
  void tag(const std::string& image_id, const std::string& reference) override;
  std::set<std::string> used_image_ids() override { return {}; }
  std::string remove_image(const std::string& image_id,
                           const std::vector<std::string>& names) override;
  /// Nothing to be done: who builds on it pulls it himself.
  std::string pull(const std::string& reference, bool insecure) override;
  /// Gives an image in its repository one more tag.
  PushOutcome push(const std::string& image_id, const std::string& reference,
                   bool insecure) override;

 protected:
  Registries& registries() { return registries_; }
  /// An image that is there since just now.
  void keep(const std::string& image_id, const std::string& repository,
            const std::string& manifest);

 private:
  using Kept = std::map<std::string, std::string>;  // manifest by repository

  KnownManifests& known_;
  Registries registries_;
  mutable std::mutex mutex_;          // of what follows
  std::map<std::string, Kept> kept_;  // by image id
};

/// What makes the engine by which the images of a project are looked at, where a fleet built them
/// last; empty: they were built elsewhere. Throws as Store::open_read_only.
std::function<std::unique_ptr<Engine>()> fleet_engine_of(const Project& project);

}  // namespace imagewright
