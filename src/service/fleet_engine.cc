#include "service/fleet_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <thread>

#include "io/error.h"
#include "io/short_names.h"
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
    std::erase_if(until_, [](const auto& one) { return one.second <= Clock::now(); });
    for (const std::string& manifest : manifests) {
      if (until_.contains(manifest)) {
        there.insert(manifest);
      } else {
        to_ask.push_back(manifest);
      }
    }
  }
  std::atomic<std::size_t> next{0};
  std::exception_ptr error;
  const auto ask_all = [&] {
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
  const auto ask = [&] {
    try {
      ask_all();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      error = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < std::min(kAskedAtOnce, to_ask.size()); ++i) threads.emplace_back(ask);
  ask();
  for (std::thread& thread : threads) thread.join();
  if (error) std::rethrow_exception(error);
  return there;
}

void KnownManifests::add(const std::string& manifest) {
  const std::lock_guard lock(mutex_);
  until_[manifest] = Clock::now() + most_age_;
}

std::set<std::string> FleetPlaces::repositories_of(const ImageConfig& image) const {
  std::set<std::string> all;
  const auto add = [&](const std::string& reference) {
    if (const auto parsed = parse_reference(reference)) all.insert(registry_name(*parsed).full());
  };
  const Reference name = *parse_reference(image.name);
  const bool is_published = image.push.value_or(push);
  if (is_published || !is_short_name(name)) add(name.repository);
  if (is_published) {
    for (const std::string& tag : image.tags) {
      // (What is to be filled in is in the tag: `mirror.example.com/app:{date}`.)
      const std::size_t slash = tag.rfind('/');
      if (!tag.starts_with(':'))
        add(tag.substr(0, tag.find(':', slash == std::string::npos ? 0 : slash)));
    }
  }
  if (all.empty() && !registry.empty()) all.insert(registry + '/' + name.repository);
  return all;
}

std::string fleet_registry(const std::string& text) {
  std::string trimmed = text;
  while (trimmed.ends_with('/')) trimmed.pop_back();
  const std::string last = "/x";
  const auto parsed = parse_reference(trimmed + last);
  if (!parsed || is_short_name(*parsed)) {
    throw Error(Error::Kind::Usage, fmt::format("'{}' is no registry, with or without a path; one "
                                                "is localhost:5000 or registry.example.com/builds",
                                                text));
  }
  const std::string full = registry_name(*parsed).full();
  return full.substr(0, full.size() - last.size());
}

FleetEngine::FleetEngine(const Project& project, KnownManifests& known, Store& store,
                         FleetPlaces places)
    : project_(project),
      known_(known),
      places_(std::move(places)),
      registries_(project.places.cache, project.config.insecure_registries) {
  for (const auto& [name, published] : store.all_published()) {
    for (const auto& [stored, row] : published) {
      const std::string repository = kept_repository(stored);
      if (repository.empty()) continue;
      kept_[name].image_id = row.image_id;
      kept_[name].manifests[repository] = row.digest;
    }
  }
}

std::set<std::string> FleetEngine::repositories_of(const std::string& name) const {
  for (const ImageConfig& image : project_.config.images) {
    if (image.name == name) return places_.repositories_of(image);
  }
  return {};
}

void FleetEngine::keep(const std::string& name, const std::string& image_id,
                       std::map<std::string, std::string> manifests) {
  for (const auto& [repository, manifest] : manifests) known_.add(repository + '@' + manifest);
  const std::lock_guard lock(mutex_);
  kept_[name] = {image_id, std::move(manifests)};
}

// An image is there if it is everywhere where it is to be.
EngineImages FleetEngine::images() {
  std::map<std::string, Kept> all;
  {
    const std::lock_guard lock(mutex_);
    all = kept_;
  }
  std::map<std::string, std::set<std::string>> wanted;  // manifests, by the name of the image
  std::set<std::string> gone;
  std::set<std::string> manifests;
  for (const ImageConfig& image : project_.config.images) {
    const auto found = all.find(image.name);
    if (found == all.end()) continue;
    const auto& has = found->second.manifests;
    std::set<std::string> repositories = places_.repositories_of(image);
    // (Who only looks need not know where a server has it kept.)
    if (repositories.empty()) {
      for (const auto& [repository, manifest] : has) repositories.insert(repository);
    }
    for (const std::string& repository : repositories) {
      const auto in = has.find(repository);
      if (in == has.end()) {
        gone.insert(found->second.image_id);
      } else {
        wanted[image.name].insert(repository + '@' + in->second);
      }
    }
    manifests.insert(wanted[image.name].begin(), wanted[image.name].end());
  }
  const std::set<std::string> there = known_.there(registries_, manifests);
  EngineImages images;
  for (const auto& [name, its] : wanted) {
    const std::string& id = all.at(name).image_id;
    if (!std::includes(there.begin(), there.end(), its.begin(), its.end())) gone.insert(id);
    images.ids.insert(id);
  }
  for (const std::string& id : gone) images.ids.erase(id);
  return images;
}

std::optional<std::string> FleetEngine::manifest_in(const std::string& image_id,
                                                    const std::string& repository) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, kept] : kept_) {
    const auto found = kept.manifests.find(repository);
    if (kept.image_id == image_id && found != kept.manifests.end()) return found->second;
  }
  return std::nullopt;
}

std::function<std::unique_ptr<Engine>()> fleet_engine_of(const Project& project, bool push) {
  // (Where there never was a server, nothing has to be opened for that.)
  std::error_code ignored;
  if (project.database.empty() &&
      !std::filesystem::exists(project.state_directory / kQueueFileName, ignored))
    return {};
  if (read_store(project).last_engine() != FleetEngine::kName) return {};
  const auto known = std::make_shared<KnownManifests>(kOneLook);
  return [&project, known, push] {
    Store store = read_store(project);
    return std::make_unique<FleetEngine>(project, *known, store, FleetPlaces{"", push});
  };
}

Readiness FleetEngine::prepare() {
  return {"the fleet's workers", "", true, true};
}

std::string FleetEngine::reference_to(const std::string& image_id) {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, kept] : kept_) {
    if (kept.image_id != image_id || kept.manifests.empty()) continue;
    const auto& [repository, manifest] = *kept.manifests.begin();
    return repository + '@' + manifest;
  }
  throw Error(Error::Kind::Source, "no registry is known to have the image " + image_id);
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
  const auto manifest = manifest_in(image_id, name.full());
  if (!manifest) {
    outcome.message = "it was not built for " + name.full();
    return outcome;
  }
  RegistryName from = name;
  from.tag = *manifest;
  const RegistryAnswer answer = registries_.add_tag(from, name.tag);
  outcome.message = answer.why;
  if (answer.kind == RegistryAnswer::Kind::Found) outcome.digest = from.tag;
  return outcome;
}

}  // namespace imagewright
