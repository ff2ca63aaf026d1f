// The engine of a fleet, as a server sees it: its images are in registries, each by its manifest's
// digest, and nowhere else. By itself it can be asked what there is; who builds is added by
// service/worker_engine.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
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

/// Where images of a fleet are to be.
struct FleetPlaces {
  /// For images that are published nowhere and whose names have no registry: `HOST[/PATH]`, as
  /// `fleet_registry` gives it; "": not known, or there is none.
  std::string registry;
  bool push = false;  ///< as RunOptions

  /// In which repositories an image is to be: that of its name, if that names a registry or it is
  /// published; and those of its further names. Empty: it cannot be kept.
  std::set<std::string> repositories_of(const ImageConfig& image) const;
};

/// What somebody writes for such a registry, in full. Throws Error(Usage) for what is none.
std::string fleet_registry(const std::string& text);

/// For one run.
class FleetEngine : public Engine {
 public:
  /// Borrows the first two. `store`: read once, for where images are kept.
  FleetEngine(const Project& project, KnownManifests& known, Store& store, FleetPlaces places);

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
  /// Where the image of this name is to be; empty: it cannot be kept.
  std::set<std::string> repositories_of(const std::string& name) const;
  /// An image that is there since just now, and no other one of that name any more: its manifests
  /// by repository.
  void keep(const std::string& name, const std::string& image_id,
            std::map<std::string, std::string> manifests);

 private:
  struct Kept {
    std::string image_id;
    std::map<std::string, std::string> manifests;  // by repository
  };
  std::optional<std::string> manifest_in(const std::string& image_id,
                                         const std::string& repository) const;

  const Project& project_;
  KnownManifests& known_;
  FleetPlaces places_;
  Registries registries_;
  mutable std::mutex mutex_;          // of what follows
  std::map<std::string, Kept> kept_;  // by the image's name
};

/// What makes the engine by which the images of a project are looked at, where a fleet built them
/// last; empty: they were built elsewhere. Borrows the project. `push`: as RunOptions. Throws as
/// Store::open_read_only.
std::function<std::unique_ptr<Engine>()> fleet_engine_of(const Project& project, bool push);

}  // namespace imagewright
