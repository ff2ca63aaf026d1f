#include "run/publish.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "core/digest.h"
#include "core/reference.h"
#include "io/error.h"
#include "io/interrupt.h"
#include "io/registry.h"
#include "io/wall_clock.h"

namespace imagewright {

namespace {

constexpr const char* kLost = "the job is not ours any more";

PushOutcome not_pushed(const std::string& why) {
  PushOutcome outcome;
  outcome.message = why;
  return outcome;
}

// The part of a full ref behind `prefix`; "": it is another kind of ref.
std::string behind(const std::string& ref, std::string_view prefix) {
  return ref.starts_with(prefix) ? ref.substr(prefix.size()) : "";
}

bool any_wants_git(const ImageConfig& image) {
  return std::any_of(image.tags.begin(), image.tags.end(),
                     [](const std::string& tag) { return wants_git(tag); });
}

}  // namespace

std::string describe(const Publication& publication) {
  std::string text;
  const auto add = [&](const char* what, const std::vector<std::string>& references) {
    for (const std::string& reference : references)
      text += fmt::format("{}to be {} {}", text.empty() ? "" : ", ", what, reference);
  };
  add("tagged", publication.to_tag);
  add("pushed", publication.to_push);
  add("pushed as an index", publication.to_index);
  add("kept as", publication.to_keep);
  return text;
}

Publisher::Publisher(const Project& project, const RunOptions& options, Store& store,
                     Outside& outside, Engine& engine, IsNamed is_named)
    : project_(project),
      options_(options),
      store_(store),
      outside_(outside),
      engine_(engine),
      is_named_(std::move(is_named)) {}

const LocalGit& Publisher::git_of(const ImageConfig& image) {
  const auto directory =
      (project_.base / std::get<DirectorySource>(image.source).path).lexically_normal();
  const auto [place, is_new] = git_.try_emplace(directory.string());
  if (is_new) place->second = find_local_git(directory);
  return place->second;
}

// What is known of a build.
struct Publisher::Facts {
  std::string image_id;
  std::int64_t built_ms = 0;
};

// All names that it is to have, or that its index is to have: that one's own first. Without facts,
// those that no build makes others of.
std::vector<std::string> Publisher::references_of(const ImageConfig& image,
                                                  const Observation& observation,
                                                  const Facts& known) {
  const std::string& name = image.index.empty() ? image.name : image.index;
  if (image.tags.empty()) return {name};
  TagFacts facts;
  facts.image_id = known.image_id;
  facts.date =
      fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(known.built_ms / 1000)));
  if (std::holds_alternative<GitSource>(image.source)) {
    facts.commit = observation.origin.commit;
    facts.branch = behind(observation.origin.ref, "refs/heads/");
    facts.tag = behind(observation.origin.ref, "refs/tags/");
  } else if (any_wants_git(image)) {
    const LocalGit& git = git_of(image);
    facts.commit = git.commit;
    facts.branch = git.branch;
    facts.tag = git.tag;
  }
  std::vector<std::string> tags = image.tags;
  if (known.image_id.empty())
    std::erase_if(tags, [](const std::string& tag) { return wants_build(tag); });
  auto all = references_for(name, tags, facts);
  if (!all) throw Error(Error::Kind::Source, all.error().message);
  return *std::move(all);
}

namespace {

// Under which an image of an index is in that one's repository: by the tag that is its own.
std::string part_reference(const ImageConfig& image, const std::string& of_index) {
  const Reference own = *parse_reference(image.name);
  const Reference index = *parse_reference(of_index);
  if (registry_name(own).full() == registry_name(index).full()) return image.name;
  return index.repository + ':' + own.tag;
}

std::string content_of(const std::vector<std::pair<std::string, std::string>>& images) {
  Sha256 hash;
  for (const auto& [manifest, platform] : images) {
    hash.update_field(manifest);
    hash.update_field(platform);
  }
  return "sha256:" + hex(hash.finish());
}

// Those that are what they are to be.
void leave_out_known(std::vector<IndexReference>& all,
                     const std::map<std::string, PublishedRow>& pushed) {
  std::erase_if(all, [&](const IndexReference& one) {
    const auto known = pushed.find(one.reference);
    return known != pushed.end() && known->second.image_id == one.content;
  });
}

}  // namespace

// The manifests of an index's images in the repository of one of its references, with their
// platforms; empty: not all are pushed. `built`: the ids that they must have; nullptr: whichever.
std::vector<std::pair<std::string, std::string>> Publisher::pushed_images(
    const std::string& index, const std::string& reference,
    const std::map<std::string, std::string>* built) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const ImageConfig& image : project_.config.images) {
    if (image.index != index) continue;
    const auto published = store_.published(image.name);
    const auto pushed = published.find(part_reference(image, reference));
    if (pushed == published.end() || pushed->second.digest.empty()) return {};
    if (built != nullptr) {
      const auto id = built->find(image.name);
      if (id == built->end() || id->second != pushed->second.image_id) return {};
    }
    all.emplace_back(pushed->second.digest, image.options.platforms.front());
  }
  return all;
}

// Each with the images that it is to have; empty: not all of them are pushed.
std::vector<IndexReference> Publisher::index_references(
    const ImageConfig& leader, const Observation& observation,
    const std::map<std::string, std::string>* built) {
  const auto own = pushed_images(leader.index, leader.index, built);
  if (own.empty()) return {};
  // It is what the last of them made it, and when.
  Facts facts{content_of(own), 0};
  for (const ImageConfig& image : project_.config.images) {
    if (image.index != leader.index) continue;
    if (const auto row = store_.find(image.name))
      facts.built_ms = std::max(facts.built_ms, row->built_ms);
  }
  std::vector<IndexReference> all;
  for (std::string& reference : references_of(leader, observation, facts)) {
    auto images = pushed_images(leader.index, reference, built);
    if (images.empty()) return {};
    std::string content = content_of(images);
    all.push_back({std::move(reference), std::move(images), std::move(content)});
  }
  return all;
}

std::optional<IndexPublication> Publisher::plan_index(
    const ImageConfig& leader, const Observation& observation,
    const std::map<std::string, std::string>& built) {
  IndexPublication index{leader.name, index_references(leader, observation, &built)};
  if (index.to_push.empty()) return std::nullopt;
  leave_out_known(index.to_push, store_.published(leader.name));
  return index;
}

RegistryAnswer Publisher::push_index(const IndexReference& index) const {
  if (is_lost()) return {RegistryAnswer::Kind::Unreachable, {}, kLost};
  return outside_.registries().put_index(registry_name(*parse_reference(index.reference)),
                                         index.images);
}

Publication Publisher::plan(const ImageConfig& image, const Observation& observation,
                            const PublishedImage& published, const std::string& platform) {
  Publication publication{image.name, published, platform, {}, {}};
  const std::string& image_id = published.id;
  std::vector<std::string> references = {image.name};
  std::vector<std::string> of_index;
  if (image.index.empty()) {
    references = references_of(image, observation, {published.id, published.built_ms});
  } else {
    if (image.leads_index) of_index = references_of(image, observation, {});
    for (const std::string& reference :
         references_of(image, observation, {published.id, published.built_ms})) {
      std::string part = part_reference(image, reference);
      if (std::find(references.begin(), references.end(), part) == references.end())
        references.push_back(std::move(part));
    }
  }
  const bool named = published.fresh && project_.config.publish == PublishWhen::Each;
  const auto name_in_engine = [&](const std::string& reference) {
    const bool has_it =
        published.fresh ? named && reference == image.name : is_named_(reference, image_id);
    if (!has_it && published.in_engine && !engine_.keeps_in_registries())
      publication.to_tag.push_back(reference);
  };
  for (const std::string& reference : references) name_in_engine(reference);
  for (const std::string& reference : of_index) name_in_engine(reference);
  if (!image.push.value_or(options_.push)) return publication;
  const auto all_pushed = store_.published(image.name);
  const auto pushed = [&](const std::string& reference) -> const PublishedRow* {
    // (Others may have moved the names of what a registry had before we did anything.)
    if (!published.in_registry.empty()) return nullptr;
    const auto known = all_pushed.find(reference);
    return known != all_pushed.end() && known->second.image_id == image_id ? &known->second
                                                                           : nullptr;
  };
  for (const std::string& reference : references) {
    if (pushed(reference) == nullptr) publication.to_push.push_back(reference);
  }
  if (image.leads_index) {
    auto all = index_references(image, observation, nullptr);
    if (all.empty()) publication.to_index = of_index;
    leave_out_known(all, all_pushed);
    for (IndexReference& one : all) publication.to_index.push_back(std::move(one.reference));
  }
  if (!published.in_registry.empty()) return publication;
  for (const std::string& fingerprint : published.fingerprints) {
    const std::string keep_as =
        fingerprint_reference(image.name, fingerprint, engine_.name(), platform);
    if (pushed(keep_as) == nullptr) publication.to_keep.push_back(keep_as);
  }
  if (const PublishedRow* own = pushed(image.name)) publication.of_manifest = own->digest;
  return publication;
}

std::map<std::string, PublishedRow> Publisher::leave_out_what_is_there(
    Publication& publication) const {
  std::map<std::string, PublishedRow> there;
  if (publication.image.in_registry.empty()) return there;
  std::erase_if(publication.to_push, [&](const std::string& reference) {
    const RegistryAnswer answer = outside_.registries().find(
        registry_name(*parse_reference(reference)), publication.platform);
    if (answer.kind != RegistryAnswer::Kind::Found || answer.image.config != publication.image.id)
      return false;
    there[reference] = {publication.image.id, answer.image.manifest, now_ms()};
    return true;
  });
  return there;
}

std::map<std::string, std::string> Publisher::labels(const ImageConfig& image,
                                                     const Observation& observation,
                                                     const std::optional<Link>& base,
                                                     const std::vector<Input>& inputs,
                                                     const std::string& commit_time) {
  std::map<std::string, std::string> labels;
  if (!image.oci_labels) return labels;
  const auto put = [&](const std::string& name, const std::string& value) {
    if (!value.empty()) labels["org.opencontainers.image." + name] = value;
  };
  if (const auto* git = std::get_if<GitSource>(&image.source)) {
    put("source", git->local ? "" : redacted(git->remote));
    put("revision", observation.origin.commit);
    put("created", commit_time);
  } else {
    const LocalGit& local = git_of(image);
    put("source", local.url);
    put("revision", local.commit);
    put("created", local.time);
  }
  if (!base) return labels;
  const auto reference = parse_reference(base->image);
  put("base.name", reference ? normalized(*reference) : base->image);
  for (const Input& input : inputs) {
    if (input.kind != InputKind::Base || input.name != base_name(*base)) continue;
    const std::string manifest = read_base_value(input.value).manifest;
    if (const std::size_t at = manifest.find('@'); at != std::string::npos)
      put("base.digest", manifest.substr(at + 1));
  }
  return labels;
}

bool Publisher::is_insecure(const std::string& registry) const {
  return is_insecure_registry(registry, project_.config.insecure_registries);
}

std::string Publisher::bring(const std::string& in_registry) const {
  {
    const std::lock_guard lock(mutex_);
    if (brought_.count(in_registry) != 0) return "";
  }
  const RegistryName from = registry_name(*parse_reference(in_registry));
  std::string why = engine_.pull(in_registry, is_insecure(from.registry));
  const std::lock_guard lock(mutex_);
  if (why.empty()) brought_.insert(in_registry);
  return why;
}

// To the engine, under this name. "": it is there.
std::string Publisher::bring_as(const Publication& publication,
                                const std::string& reference) const {
  if (std::string why = bring(publication.image.in_registry); !why.empty()) return why;
  try {
    engine_.tag(publication.image.id, reference);
    return "";
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::Source) throw;
    return error.what();
  }
}

RegistryAnswer Publisher::keep(const std::string& reference, const std::string& manifest) const {
  RegistryName name = registry_name(*parse_reference(reference));
  const std::string tag = std::exchange(name.tag, manifest);
  return outside_.registries().add_tag(name, tag);
}

PushOutcome Publisher::push(const Publication& publication, const std::string& reference) const {
  const RegistryName name = registry_name(*parse_reference(reference));
  const bool insecure = is_insecure(name.registry);
  if (!publication.image.in_engine) {
    const RegistryName from = registry_name(*parse_reference(publication.image.in_registry));
    if (from.full() == name.full()) {
      if (is_lost()) return not_pushed(kLost);
      const RegistryAnswer answer = outside_.registries().add_tag(from, name.tag);
      PushOutcome outcome;
      outcome.message = answer.why;
      if (answer.kind == RegistryAnswer::Kind::Found) outcome.digest = from.tag;
      return outcome;
    }
  }
  bool is_there = publication.image.in_engine;
  return push_patiently([&] {
    if (is_lost()) return not_pushed(kLost);
    PushOutcome outcome;
    if (!is_there) outcome.message = bring_as(publication, reference);
    is_there = outcome.message.empty();
    if (is_there) outcome = engine_.push(publication.image.id, reference, insecure);
    return outcome;
  });
}

}  // namespace imagewright
