#include "run/publish.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "core/reference.h"
#include "io/backoff.h"
#include "io/error.h"
#include "io/interrupt.h"
#include "io/registry.h"

namespace imagewright {

namespace {

constexpr int kMostAttempts = 4;
constexpr std::chrono::milliseconds kFirstPause{250};

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
  return text;
}

Publisher::Publisher(const Project& project, Store& store, bool push_all, IsNamed is_named)
    : project_(project), store_(store), push_all_(push_all), is_named_(std::move(is_named)) {}

const LocalGit& Publisher::git_of(const ImageConfig& image) {
  const auto directory =
      (project_.base / std::get<DirectorySource>(image.source).path).lexically_normal();
  const auto [place, is_new] = git_.try_emplace(directory.string());
  if (is_new) place->second = find_local_git(directory);
  return place->second;
}

Publication Publisher::plan(const ImageConfig& image, const Observation& observation,
                            const std::string& image_id, std::int64_t built_ms, bool fresh) {
  Publication publication{image.name, image_id, {}, {}};
  std::vector<std::string> references = {image.name};
  if (!image.tags.empty()) {
    TagFacts facts;
    facts.image_id = image_id;
    facts.date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(built_ms / 1000)));
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
    auto all = references_for(image.name, image.tags, facts);
    if (!all) throw Error(Error::Kind::Source, all.error().message);
    references = *std::move(all);
  }
  const bool named = fresh && project_.config.publish == PublishWhen::Each;
  for (const std::string& reference : references) {
    const bool has_it = fresh ? named && reference == image.name : is_named_(reference, image_id);
    if (!has_it) publication.to_tag.push_back(reference);
  }
  if (!image.push.value_or(push_all_)) return publication;
  const auto pushed = store_.published(image.name);
  for (const std::string& reference : references) {
    const auto known = pushed.find(reference);
    if (known == pushed.end() || known->second.image_id != image_id)
      publication.to_push.push_back(reference);
  }
  return publication;
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

PushOutcome Publisher::push(Engine& engine, const std::string& image_id,
                            const std::string& reference) const {
  const RegistryName name = registry_name(*parse_reference(reference));
  const bool insecure = is_insecure_registry(name.registry, project_.config.insecure_registries);
  for (int attempt = 0;; ++attempt) {
    PushOutcome outcome = engine.push(image_id, reference, insecure);
    if (outcome.ok() || outcome.exit.interrupted || attempt + 1 == kMostAttempts) return outcome;
    wait_patiently(backoff(kFirstPause, attempt));
    if (interrupted() != 0) return outcome;
  }
}

}  // namespace imagewright
