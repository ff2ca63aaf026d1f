#include "service/worker_engine.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/image_manifest.h"
#include "io/base_image_json.h"
#include "io/error.h"
#include "io/host_platform.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

// Names of directories made images are nowhere to be found, so that nothing else can be meant.
constexpr char kMade[] = "made.imagewright.invalid/";

}  // namespace

WorkerEngine::WorkerEngine(const Project& project, KnownManifests& known, Store& store,
                           Packs& packs, RemoteJob& orders, FleetPlaces places, WorkerRun run)
    : FleetEngine(project, known, store, std::move(places)),
      packs_(packs),
      orders_(orders),
      run_(std::move(run)) {}

Readiness WorkerEngine::prepare() {
  return {fmt::format("{} on {}", run_.engine, run_.worker), "", true, run_.takes_directories};
}

// The same for who carries the job out again, and none the beginning of another.
std::string WorkerEngine::name_for_made() {
  return fmt::format("{}{}-{}-made", kMade, run_.job, ++made_);
}

OrderedContext WorkerEngine::packed(const std::string& name, const std::filesystem::path& directory,
                                    const std::vector<Entry>& entries,
                                    std::vector<std::shared_ptr<const Packs::Pack>>* packs) {
  const std::string content = "sha256:" + hex(context_digest(entries));
  auto pack = packs_.pack(directory, entries, content);
  OrderedContext context{name, content, pack->digest, pack->size};
  packs->push_back(std::move(pack));
  return context;
}

BuildOutcome WorkerEngine::build(const BuildRequest& request, const OnLine& on_line) {
  BuildOrder order;
  order.image = request.image;
  std::vector<std::shared_ptr<const Packs::Pack>> packs;  // as long as the worker may ask for them
  order.context = packed("", request.context, request.entries(), &packs);
  for (const NamedContext& named : request.named_contexts)
    order.named.push_back(packed(named.name, named.directory, named.entries(), &packs));
  order.dockerfile = request.dockerfile;
  order.target = request.target;
  order.args = request.args;
  order.labels = request.labels;
  order.options = request.options;
  order.insecure = request.insecure;
  order.timeout = request.timeout;
  if (request.tag.starts_with(kMade)) {
    order.made_name = request.tag;
  } else {
    const auto repositories = repositories_of(request.image);
    if (repositories.empty()) {
      throw Error(Error::Kind::Source,
                  fmt::format("workers keep what they build in a registry: '{}' needs one in its "
                              "name, or 'push: true', or serve with --registry",
                              request.image));
    }
    for (const std::string& repository : repositories) {
      order.push.push_back(fmt::format("{}:j{}-l{}", repository, run_.job, run_.fence));
      if (registries().is_insecure(repository.substr(0, repository.find('/'))))
        order.push_insecurely.push_back(order.push.back());
    }
  }
  const auto said = orders_.build(order, on_line, [&] {
    return interrupted() != 0 || (request.stop != nullptr && *request.stop);
  });
  BuildOutcome outcome;
  outcome.is_exact = true;
  if (!said) {
    outcome.exit = {128 + 15, true, false};
    return outcome;
  }
  outcome.exit = said->exit;
  outcome.message = said->message;
  if (std::exchange(outcome.exit.interrupted, false) && outcome.message.empty())
    outcome.message = "its worker ended it";
  if (!outcome.exit.ok() || !outcome.message.empty()) {
    if (outcome.exit.ok()) outcome.exit.status = 1;
    return outcome;
  }
  if (order.made_name.empty()) {
    take_pushed(request, order, *said, &outcome);
  } else {
    outcome.image_id = said->image_id;
  }
  return outcome;
}

// A worker's word is not enough: what counts is which image a registry has under the digest.
void WorkerEngine::take_pushed(const BuildRequest& request, const BuildOrder& order,
                               const OrderOutcome& said, BuildOutcome* outcome) {
  const std::vector<std::string>& platforms = request.options.platforms;
  const std::string platform = platforms.empty() ? host_platform() : platforms.front();
  std::map<std::string, std::string> kept;
  std::string id;
  const auto refuse = [&](const std::string& why) {
    outcome->exit.status = 1;
    outcome->message = why;
  };
  // (By the repository: a worker that had the order from before pushed it under that fence's tag.)
  std::map<std::string, std::string> pushed;
  for (const auto& [reference, digest] : said.pushed) {
    const auto name = parse_reference(reference);
    if (name && is_sha256_digest(digest)) pushed[registry_name(*name).full()] = digest;
  }
  for (const std::string& reference : order.push) {
    RegistryName name = registry_name(*parse_reference(reference));
    const auto digest = pushed.find(name.full());
    if (digest == pushed.end()) return refuse("its worker did not push it to " + name.full());
    name.tag = digest->second;
    // (What a digest stands for may be known; that it is there is not.)
    RegistryAnswer answer = registries().has(name);
    if (answer.kind == RegistryAnswer::Kind::Found) answer = registries().find(name, platform);
    if (answer.kind != RegistryAnswer::Kind::Found)
      return refuse(
          fmt::format("what was pushed to {} cannot be found there: {}", name.full(), answer.why));
    if (!id.empty() && id != answer.image.config)
      return refuse("its worker pushed different images");
    id = answer.image.config;
    const auto config =
        nlohmann::json::parse(registries().config(name, answer.image), nullptr, false);
    if (!config.is_object() || !fits_platform(config, platform))
      return refuse("what its worker built is not for " + platform);
    kept[name.full()] = answer.image.manifest;
  }
  outcome->image_id = id;
  outcome->kept = kept;
  keep(request.image, id, std::move(kept));
}

}  // namespace imagewright
