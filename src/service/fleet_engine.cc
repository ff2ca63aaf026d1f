#include "service/fleet_engine.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "io/error.h"
#include "service/queue.h"

namespace imagewright {

namespace {

constexpr std::size_t kAskedAtOnce = 16;
constexpr std::chrono::minutes kOneLook{1};

}  // namespace

std::set<std::string> KnownManifests::there(Registries& registries,
                                            const std::set<std::string>& manifests) {
  std::set<std::string> there;
  std::vector<std::string> to_ask;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& manifest : manifests) {
      const auto known = until_.find(manifest);
      if (known != until_.end() && known->second > Clock::now()) {
        there.insert(manifest);
      } else {
        to_ask.push_back(manifest);
      }
    }
  }
  std::atomic<std::size_t> next{0};
  const auto ask = [&] {
    for (std::size_t i = next++; i < to_ask.size(); i = next++) {
      const RegistryAnswer answer = registries.has(registry_name(*parse_reference(to_ask[i])));
      const std::lock_guard lock(mutex_);
      if (answer.kind == RegistryAnswer::Kind::Found) until_[to_ask[i]] = Clock::now() + most_age_;
      if (answer.kind == RegistryAnswer::Kind::Missing) {
        until_.erase(to_ask[i]);
      } else {
        there.insert(to_ask[i]);
      }
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < std::min(kAskedAtOnce, to_ask.size()); ++i) threads.emplace_back(ask);
  ask();
  for (std::thread& thread : threads) thread.join();
  return there;
}

void KnownManifests::add(const std::string& manifest) {
  const std::lock_guard lock(mutex_);
  until_[manifest] = Clock::now() + most_age_;
}

FleetEngine::FleetEngine(const Project& project, KnownManifests& known, Store& store)
    : known_(known), registries_(project.places.cache, project.config.insecure_registries) {
  for (const auto& [name, published] : store.all_published()) {
    for (const auto& [stored, row] : published) {
      if (const std::string repository = kept_repository(stored); !repository.empty())
        kept_[row.image_id][repository] = row.digest;
    }
  }
}

void FleetEngine::keep(const std::string& image_id, const std::string& repository,
                       const std::string& manifest) {
  known_.add(repository + '@' + manifest);
  const std::lock_guard lock(mutex_);
  kept_[image_id][repository] = manifest;
}

EngineImages FleetEngine::images() {
  std::map<std::string, Kept> all;
  {
    const std::lock_guard lock(mutex_);
    all = kept_;
  }
  std::set<std::string> manifests;
  for (const auto& [id, kept] : all) {
    for (const auto& [repository, manifest] : kept) manifests.insert(repository + '@' + manifest);
  }
  const std::set<std::string> there = known_.there(registries_, manifests);
  EngineImages images;
  for (const auto& [id, kept] : all) {
    bool in_all = true;
    for (const auto& [repository, manifest] : kept)
      in_all = in_all && there.contains(repository + '@' + manifest);
    if (in_all) images.ids.insert(id);
  }
  return images;
}

std::function<std::unique_ptr<Engine>()> fleet_engine_of(const Project& project) {
  // (Where there never was a server, nothing has to be opened for that.)
  std::error_code ignored;
  if (!std::filesystem::exists(project.state_directory / kQueueFileName, ignored)) return {};
  if (Store::open_read_only(project.state_directory).last_engine() != FleetEngine::kName) return {};
  const auto known = std::make_shared<KnownManifests>(kOneLook);
  return [&project, known] {
    Store store = Store::open_read_only(project.state_directory);
    return std::make_unique<FleetEngine>(project, *known, store);
  };
}

Readiness FleetEngine::prepare() {
  return {"the fleet's workers", "", true, true};
}

std::string FleetEngine::reference_to(const std::string& image_id) {
  const std::lock_guard lock(mutex_);
  const auto found = kept_.find(image_id);
  if (found == kept_.end())
    throw Error(Error::Kind::Source, "no registry is known to have the image " + image_id);
  const auto& [repository, manifest] = *found->second.begin();
  return repository + '@' + manifest;
}

std::optional<EngineImage> FleetEngine::find_image(const std::string& /*image*/,
                                                   const std::string& /*platform*/) {
  return std::nullopt;
}

BuildOutcome FleetEngine::build(const BuildRequest& /*request*/, const OnLine& /*on_line*/) {
  throw std::logic_error("nothing is built without a worker");
}

void FleetEngine::tag(const std::string& /*image_id*/, const std::string& /*reference*/) {}

std::string FleetEngine::remove_image(const std::string& /*image_id*/,
                                      const std::vector<std::string>& /*names*/) {
  return "what registries have stays there";
}

std::string FleetEngine::pull(const std::string& /*reference*/, bool /*insecure*/) {
  return "";
}

PushOutcome FleetEngine::push(const std::string& image_id, const std::string& reference,
                              bool /*insecure*/) {
  PushOutcome outcome;
  const RegistryName name = registry_name(*parse_reference(reference));
  RegistryName from = name;
  {
    const std::lock_guard lock(mutex_);
    const auto found = kept_.find(image_id);
    const auto in = found == kept_.end() ? Kept::const_iterator() : found->second.find(name.full());
    if (found == kept_.end() || in == found->second.end()) {
      outcome.message = "it was not built for " + name.full() + "; build it again";
      return outcome;
    }
    from.tag = in->second;
  }
  const RegistryAnswer answer = registries_.add_tag(from, name.tag);
  outcome.message = answer.why;
  if (answer.kind == RegistryAnswer::Kind::Found) outcome.digest = from.tag;
  return outcome;
}

}  // namespace imagewright
