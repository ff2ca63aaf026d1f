#include "run/bases.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/reference.h"
#include "io/base_image_json.h"
#include "io/error.h"
#include "io/host_platform.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

// Enough to hide a registry's round trips, and few enough for it.
constexpr std::size_t kMostThreads = 8;

using Kind = RegistryAnswer::Kind;

// By Podman's and Buildah's custom an image that no registry has.
bool is_here_alone(const RegistryName& name) {
  return name.registry == "localhost";
}

std::string value_in(const std::vector<Input>& inputs, const std::string& name) {
  for (const Input& input : inputs) {
    if (input.kind == InputKind::Base && input.name == name) return input.value;
  }
  return "";
}

}  // namespace

Bases::Bases(Outside& outside, Engine& engine, const ImageNames& names, Stored stored, Warn warn)
    : names_(names),
      engine_(engine),
      stored_(std::move(stored)),
      warn_(std::move(warn)),
      host_(host_platform()),
      outside_(outside) {}

Bases::~Bases() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  if (!threads_.empty()) outside_.stop();
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool Bases::is_tracked(const ImageConfig& image, const Link& link) const {
  if (image.track_base == TrackBase::Off || link.kind == LinkKind::DependsOn || link.image.empty())
    return false;
  // (Only BuildKit has another image read the Dockerfile.)
  if (link.kind == LinkKind::Syntax && engine_.has_short_names()) return false;
  if (names_.find(link, image)) return false;
  // What is named by its digest cannot move: the name says all.
  const auto reference = parse_reference(link.image);
  return reference && reference->digest.empty();
}

std::string Bases::platform_of(const ImageConfig& image, const Link& link) const {
  if (link.kind == LinkKind::Syntax) return host_;
  if (!link.platform.empty()) return link.platform;
  return image.options.platforms.empty() ? host_ : image.options.platforms.front();
}

// --- Questions

// nullptr: it is no name that there can be a question about.
Bases::Question* Bases::question(const Link& link, const std::string& platform) {
  const auto reference = parse_reference(link.image);
  if (!reference) return nullptr;
  const Key key(normalized(*reference), platform);
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = questions_.try_emplace(key);
  Question& found = place->second;
  if (!is_new) return &found;
  found.link = link;
  found.platform = platform;
  found.at = registry_name(*reference);
  open_.push_back(&found);
  if (threads_.size() < kMostThreads) threads_.emplace_back([this] { answer_questions(); });
  changed_.notify_all();
  return &found;
}

// Under which names registries are asked for it: the first that there is is it. Empty: none is.
std::vector<std::string> Bases::meanings(const Link& link, const std::string& platform) {
  const auto reference = parse_reference(link.image);
  if (is_here_alone(registry_name(*reference))) return {};
  if (!engine_.has_short_names() || !is_short_name(*reference)) return {link.image};
  // (What the engine has under its own localhost/ comes before what would have to be looked for.)
  if (!outside_.short_names().is_alias(*reference) && find_own("localhost/" + link.image, platform))
    return {};
  return outside_.short_names().meanings(*reference);
}

RegistryAnswer Bases::find(const Question& question, RegistryName& at) {
  if (remembered_ != nullptr) {
    const auto most = ask_anew_ ? Remembered::kJustNow : Remembered::kAnyAge;
    if (const auto known = remembered_->base(question.link.image, question.platform, most)) {
      at = known->at;
      return known->answer;
    }
  }
  const RegistryAnswer answer = ask_registries(question, at);
  if (remembered_ != nullptr)
    remembered_->keep(question.link.image, question.platform, {at, answer}, asking_);
  return answer;
}

RegistryAnswer Bases::ask_registries(const Question& question, RegistryName& at) {
  RegistryAnswer answer{Kind::Missing, {}, "it is the engine's own"};
  for (const std::string& name : meanings(question.link, question.platform)) {
    const auto reference = parse_reference(name);
    if (!reference) continue;
    at = registry_name(*reference);
    answer = outside_.registries().find(at, question.platform);
    if (answer.kind != Kind::Missing && answer.kind != Kind::Refused) break;
  }
  return answer;
}

void Bases::answer_questions() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !open_.empty(); });
    if (stop_) return;
    Question& next = *open_.front();
    open_.pop_front();
    RegistryName at = next.at;
    lock.unlock();
    RegistryAnswer answer{Kind::Unreachable, {}, "interrupted"};
    try {
      if (interrupted() == 0) answer = find(next, at);
    } catch (const std::exception& error) {
      answer = {Kind::Unreachable, {}, error.what()};
    }
    lock.lock();
    next.at = std::move(at);
    next.answer = std::move(answer);
    changed_.notify_all();
  }
}

const Bases::Question& Bases::ask(const Link& link, const std::string& platform) {
  Question* const asked = question(link, platform);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return asked->answer.has_value(); });
  return *asked;
}

void Bases::want(const ImageConfig& image, const std::vector<Link>& links) {
  if (image.track_base != TrackBase::Digest) return;
  for (const Link& link : links) {
    if (is_tracked(image, link)) question(link, platform_of(image, link));
  }
}

bool Bases::are_known(const ImageConfig& image, const std::vector<Link>& links) {
  if (image.track_base != TrackBase::Digest) return true;
  return std::all_of(links.begin(), links.end(), [&](const Link& link) {
    if (!is_tracked(image, link)) return true;
    const Question* const asked = question(link, platform_of(image, link));
    const std::lock_guard lock(mutex_);
    return asked == nullptr || asked->answer.has_value();
  });
}

// --- Answers

std::optional<EngineImage> Bases::find_own(const std::string& image, const std::string& platform) {
  const Key key(image, platform);
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = own_.find(key); known != own_.end()) return known->second;
  }
  auto found = engine_.find_image(image, platform);
  const std::lock_guard lock(mutex_);
  return own_.insert_or_assign(key, std::move(found)).first->second;
}

Input Bases::own(const Link& link, const std::string& name, const std::string& platform) {
  // (One of that name for another platform is another image.)
  const auto found = find_own(link.image, platform);
  return base_input(name, found && found->fits ? found->id : "", "");
}

void Bases::warn(const std::string& about, const std::string& text) {
  if (interrupted() == 0 && warned_.insert(about).second) warn_(text);
}

Input Bases::resolve(const ImageConfig& image, const Link& link) {
  const std::string name = base_name(link);
  const std::string platform = platform_of(image, link);
  if (image.track_base == TrackBase::Local) {
    Input input = own(link, name, platform);
    if (!input.value.empty()) return input;
    throw Error(
        Error::Kind::Source,
        fmt::format("{} has no image {} for {}, and with 'track_base: local' none is pulled",
                    engine_.name(), link.image, platform));
  }
  const Question& question = ask(link, platform);
  const RegistryAnswer& answer = *question.answer;
  const RegistryName& at = question.at;
  if (answer.kind == Kind::Found)
    return base_input(name, answer.image.config, at.full() + '@' + answer.image.manifest);

  const std::string before = stored_(image.name, name);
  const auto [config, manifest] = read_base_value(before);
  const bool was_the_registrys = !manifest.empty();
  if (answer.kind == Kind::Missing) {
    Input input = own(link, name, platform);
    if (!was_the_registrys) return input;
    if (!input.value.empty()) {
      warn(name, fmt::format("{} has no {} any more ({}); {}'s own image of that name is taken",
                             at.registry, link.image, answer.why, engine_.name()));
      return input;
    }
    warn(name, fmt::format("{} has no {} any more ({}); what stands on it is left as it is",
                           at.registry, link.image, answer.why));
    return base_input(name, config, manifest);
  }
  const bool refused = answer.kind == Kind::Refused;
  if (was_the_registrys) {
    warn(refused ? name : at.registry,
         refused
             ? fmt::format("{} does not say what {} is ({}); what stands on it is left as it is",
                           at.registry, link.image, answer.why)
             : fmt::format("{} cannot be asked ({}); what stands on its images is left as it is",
                           at.registry, answer.why));
    return base_input(name, config, manifest);
  }
  Input input = own(link, name, platform);
  if (refused && before.empty() && !input.value.empty()) {
    warn(name, fmt::format("{} does not say what {} is ({}); {}'s own image of that name is taken",
                           at.registry, link.image, answer.why, engine_.name()));
  }
  if (!refused && before.empty()) {
    warn(at.registry, input.value.empty()
                          ? fmt::format("{} cannot be asked ({}), and {} has no image {}",
                                        at.registry, answer.why, engine_.name(), link.image)
                          : fmt::format("{} cannot be asked ({}); {}'s own images are taken",
                                        at.registry, answer.why, engine_.name()));
  }
  return input;
}

std::vector<Input> Bases::inputs(const ImageConfig& image, const std::vector<Link>& links) {
  std::vector<Input> inputs;
  for (const Link& link : links) {
    if (!is_tracked(image, link)) continue;
    const std::string name = base_name(link);
    const auto place = std::lower_bound(
        inputs.begin(), inputs.end(), name,
        [](const Input& one, const std::string& other) { return one.name < other; });
    if (place == inputs.end() || place->name != name) inputs.insert(place, resolve(image, link));
  }
  return inputs;
}

Pins Bases::pins(const ImageConfig& image, const std::vector<Link>& links,
                 const std::vector<Input>& inputs, const FindParent& parents) {
  Pins pins;
  // By plain http all of a build is pulled, or nothing: so all of it must be allowed to.
  bool any_insecure = false;
  bool any_secure = false;
  const auto pulls_from = [&](const std::string& registry) {
    (outside_.registries().is_insecure(registry) ? any_insecure : any_secure) = true;
  };
  for (const Link& link : links) {
    if (const auto parent = parents(link)) {
      const std::string reference = engine_.reference_to(parent->id);
      if (engine_.keeps_in_registries()) pulls_from(reference.substr(0, reference.find('/')));
      pins.references[{link.written, link.platform}] = reference;
      continue;
    }
    if (!is_tracked(image, link)) {
      const auto reference = parse_reference(link.image);
      if (link.kind != LinkKind::DependsOn && reference && !names_.find(link, image))
        pulls_from(registry_name(*reference).registry);
      continue;
    }
    const auto [config, manifest] = read_base_value(value_in(inputs, base_name(link)));
    if (config.empty()) continue;
    // (A frontend is read by the daemon's BuildKit, which takes no image of docker's own store.)
    std::string reference;
    // (And a name that is there for another platform it looks for elsewhere.)
    const auto found = find_own(config, platform_of(image, link));
    if (link.kind != LinkKind::Syntax && found && found->fits) {
      try {
        reference = engine_.reference_to(config);
      } catch (const Error& error) {
        if (error.kind() != Error::Kind::Source) throw;  // it went a moment ago
      }
    }
    if (reference.empty() && !manifest.empty()) {
      reference = manifest;
      pulls_from(manifest.substr(0, manifest.find('/')));
    }
    if (!reference.empty()) pins.references[{link.written, link.platform}] = reference;
  }
  pins.insecure = any_insecure && !any_secure;
  return pins;
}

std::optional<BaseImage> Bases::brings(const ImageConfig& image, const Link& base,
                                       const std::vector<Input>& inputs, bool unknown_until_built) {
  const std::string platform = platform_of(image, base);
  const auto [config, manifest] = read_base_value(value_in(inputs, base_name(base)));
  const auto named = parse_reference(base.image);
  if (config.empty() && named && !named->digest.empty() && image.track_base == TrackBase::Digest) {
    if (const auto found = find_own(base.image, platform); found && found->brings)
      return found->brings;
    try {
      const RegistryName name = registry_name(*named);
      const RegistryAnswer answer = outside_.registries().find(name, platform);
      if (answer.kind == Kind::Found) return brought(name, answer.image, platform);
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::Missing) throw;  // there is no libcurl
    }
  }
  if (config.empty()) {
    if (unknown_until_built) return std::nullopt;
    const auto found = engine_.find_image(base.image, platform);
    return found ? found->brings : std::nullopt;
  }
  if (const auto found = find_own(config, platform); found && found->brings) return found->brings;
  return brought(manifest, config, platform);
}

std::optional<BaseImage> Bases::parent_brings(const ImageConfig& image, const Link& link,
                                              const ParentImage& parent) {
  const std::string platform = platform_of(image, link);
  if (const auto found = find_own(parent.id, platform); found && found->brings)
    return found->brings;
  return brought(parent.in_registry, parent.id, platform);
}

// By the reference with the manifest's digest.
std::optional<BaseImage> Bases::brought(const std::string& manifest, const std::string& config,
                                        const std::string& platform) {
  const auto reference = parse_reference(manifest);
  if (!reference || reference->digest.empty()) return std::nullopt;
  return brought(registry_name(*reference), {config, reference->digest}, platform);
}

std::optional<BaseImage> Bases::brought(const RegistryName& name, const RegistryImage& image,
                                        const std::string& platform) {
  const std::string config = outside_.registries().config(name, image);
  auto found = base_image_of(nlohmann::json::parse(config, nullptr, false), platform);
  // (Whether Podman and Buildah heed an ONBUILD depends on the manifest's format.)
  if (found && !found->triggers.empty() && engine_.has_short_names()) return std::nullopt;
  return found;
}

void Bases::built(const ImageConfig& image, const std::vector<Link>& links) {
  const std::lock_guard lock(mutex_);
  for (const Link& link : links) {
    const auto known = own_.find({link.image, platform_of(image, link)});
    if (known != own_.end() && !known->second) own_.erase(known);
  }
}

}  // namespace imagewright
