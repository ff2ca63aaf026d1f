#include "service/worker_engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/image_manifest.h"
#include "io/error.h"
#include "io/host_platform.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

// Names of directories made images are nowhere to be found, so that nothing else can be meant.
constexpr char kMade[] = "made.imagewright.invalid/";

// Does its first component name a registry, by the rule for references?
bool names_registry(const Reference& reference) {
  return reference.domain == "localhost" ||
         reference.domain.find_first_of(".:") != std::string::npos;
}

}  // namespace

WorkerEngine::WorkerEngine(const Project& project, KnownManifests& known, Store& store,
                           Packs& packs, RemoteJob& orders, WorkerRun run)
    : FleetEngine(project, known, store), packs_(packs), orders_(orders), run_(std::move(run)) {}

Readiness WorkerEngine::prepare() {
  return {fmt::format("{} on {}", run_.engine, run_.worker), "", true, run_.takes_directories};
}

std::string WorkerEngine::name_for_made() {
  return fmt::format("{}{}-{}-{}", kMade, run_.job, run_.fence, ++made_);
}

// Where the image is going to be: its name's own repository, if that is in a registry, and all in
// which it is to be published; else, one for images that are published nowhere.
std::vector<std::string> WorkerEngine::repositories_for(const BuildRequest& request) const {
  std::set<std::string> all(request.repositories.begin(), request.repositories.end());
  const Reference name = *parse_reference(request.image);
  if (names_registry(name)) all.insert(registry_name(name).full());
  if (all.empty()) {
    if (run_.registry.empty()) {
      throw Error(Error::Kind::Source,
                  fmt::format("workers keep what they build in a registry: '{}' needs one in its "
                              "name, or 'push: true', or serve with --registry",
                              request.image));
    }
    all.insert(run_.registry + '/' + name.repository);
  }
  return {all.begin(), all.end()};
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
    for (const std::string& repository : repositories_for(request)) {
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
  if (!said->exit.ok() || !said->message.empty()) {
    if (outcome.exit.ok()) outcome.exit.status = 1;
    return outcome;
  }
  if (order.made_name.empty()) {
    take_pushed(request, *said, &outcome);
  } else {
    outcome.image_id = said->image_id;
  }
  return outcome;
}

// A worker's word is not enough: what counts is which image a registry has under the digest.
void WorkerEngine::take_pushed(const BuildRequest& request, const OrderOutcome& said,
                               BuildOutcome* outcome) {
  const std::vector<std::string>& platforms = request.options.platforms;
  const std::string platform = platforms.empty() ? host_platform() : platforms.front();
  std::map<std::string, std::string> kept;
  const auto refuse = [&](const std::string& why) {
    outcome->exit.status = 1;
    outcome->message = why;
  };
  for (const auto& [reference, digest] : said.pushed) {
    const auto parsed = parse_reference(reference);
    if (!parsed || !is_sha256_digest(digest)) return refuse("its worker pushed something else");
    RegistryName name = registry_name(*parsed);
    name.tag = digest;
    const RegistryAnswer answer = registries().find(name, platform);
    if (answer.kind != RegistryAnswer::Kind::Found)
      return refuse(
          fmt::format("what was pushed to {} cannot be found there: {}", name.full(), answer.why));
    if (!outcome->image_id.empty() && outcome->image_id != answer.image.config)
      return refuse("its worker pushed different images");
    outcome->image_id = answer.image.config;
    kept[name.full()] = answer.image.manifest;
  }
  const auto wanted = repositories_for(request);
  const bool has_all = std::all_of(wanted.begin(), wanted.end(),
                                   [&](const std::string& one) { return kept.contains(one); });
  if (!has_all) {
    outcome->image_id.clear();
    return refuse("its worker did not push it to all of its repositories");
  }
  for (const auto& [repository, manifest] : kept) keep(outcome->image_id, repository, manifest);
  outcome->kept = std::move(kept);
}

PushOutcome WorkerEngine::push(const std::string& image_id, const std::string& reference,
                               bool insecure) {
  if (run_.is_held()) return FleetEngine::push(image_id, reference, insecure);
  PushOutcome outcome;
  outcome.message = "the job is not ours any more";
  return outcome;
}

}  // namespace imagewright
