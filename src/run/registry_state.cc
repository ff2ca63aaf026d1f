#include "run/registry_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "core/config_values.h"
#include "core/json_text.h"
#include "core/reference.h"
#include "core/tags.h"
#include "io/interrupt.h"
#include "io/wall_clock.h"

namespace imagewright {

namespace {

// RFC 3339, to the second; 0: it is none.
std::int64_t milliseconds_of(const std::string& time) {
  std::tm parts{};
  std::istringstream text(time);
  text >> std::get_time(&parts, "%Y-%m-%dT%H:%M:%S");
  if (text.fail()) return 0;
  if (text.peek() == '.') {
    text.get();
    while (std::isdigit(text.peek()) != 0) text.get();
  }
  std::int64_t offset = 0;
  if (const int sign = text.get(); sign == '+' || sign == '-') {
    int hours = 0;
    int minutes = 0;
    char colon = '\0';
    text >> hours >> colon >> minutes;
    offset = (sign == '-' ? -1 : 1) * (hours * 60 + minutes) * 60;
  }
  const std::int64_t seconds = std::int64_t{timegm(&parts)} - offset;
  return seconds < 0 ? 0 : seconds * 1000;
}

bool has_reason(const Verdict& verdict, ReasonKind kind) {
  return std::any_of(verdict.reasons.begin(), verdict.reasons.end(),
                     [kind](const Reason& reason) { return reason.kind == kind; });
}

// Then that is a reason.
bool is_too_old(const ImageConfig& image, const FoundImage& found, Verdict& verdict) {
  if (image.max_age.count() == 0 || now_ms() - found.built_ms <= image.max_age.count())
    return false;
  if (!has_reason(verdict, ReasonKind::TooOld)) {
    verdict.reasons.push_back(
        Reason{ReasonKind::TooOld, InputKind::Context, duration_text(image.max_age)});
  }
  return true;
}

}  // namespace

RegistryState::RegistryState(Outside& outside, Engine& engine, const RunOptions& options, Warn warn)
    : outside_(outside),
      engine_(engine),
      options_(options),
      used_(options.registry_state),
      warn_(std::move(warn)) {
  if (!used_ || engine.prepare().ids_are_configs) return;
  used_ = false;
  warn_(engine_.name() +
        " keeps its images in a store of containerd's, which does not know them as registries do: "
        "'--state registry' is left out");
}

bool RegistryState::may_have(const ImageConfig& image, const Verdict& verdict) const {
  if (!used_ || options_.force || options_.clean || !verdict.build()) return false;
  if (has_reason(verdict, ReasonKind::ParentStale)) return false;
  if (image.push.value_or(options_.push)) return true;
  // (Whoever only reads looks where others push. Podman's and Buildah's localhost is no such
  // place.)
  const auto name = parse_reference(image.name);
  return image.push.value_or(true) && name && !name->domain.empty() && name->domain != "localhost";
}

void RegistryState::warn(const std::string& about, const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (interrupted() == 0 && warned_.insert(about).second) warn_(text);
}

std::optional<FoundImage> RegistryState::find(const ImageConfig& image, const Manifest& manifest,
                                              const std::string& platform, Verdict& verdict) {
  if (!all_bases_are_known(manifest.inputs)) return std::nullopt;
  const std::string found_as =
      fingerprint_reference(image.name, manifest.digest, engine_.name(), platform);
  const RegistryName name = registry_name(*parse_reference(found_as));
  const RegistryAnswer answer = outside_.registries().find(name, platform);
  switch (answer.kind) {
    case RegistryAnswer::Kind::Found: {
      auto found = read(name, answer.image);
      if (!found || is_too_old(image, *found, verdict)) return std::nullopt;
      found->found_as = found_as;
      found->in_engine = engine_.find_image(found->image_id, platform).has_value();
      return found;
    }
    case RegistryAnswer::Kind::Missing:
      break;
    case RegistryAnswer::Kind::Refused:
      warn(name.full(), fmt::format("{} does not say what was built of {} before ({})",
                                    name.registry, name.repository, answer.why));
      break;
    case RegistryAnswer::Kind::Unreachable:
      warn(name.registry,
           fmt::format("{} cannot be asked what was built before ({})", name.registry, answer.why));
      break;
  }
  return std::nullopt;
}

std::vector<std::string> RegistryState::to_be_found_by(const std::vector<Input>& inputs,
                                                       std::vector<std::string> digests) const {
  if (!used_ || !all_bases_are_known(inputs)) return {};
  std::erase(digests, "");
  std::sort(digests.begin(), digests.end());
  digests.erase(std::unique(digests.begin(), digests.end()), digests.end());
  return digests;
}

std::optional<FoundImage> RegistryState::read(const RegistryName& name,
                                              const RegistryImage& image) {
  const std::string config = outside_.registries().config(name, image);
  const auto json = nlohmann::json::parse(config, nullptr, false);
  // (Without a config there is no image, whatever the tag says.)
  if (!json.is_object()) {
    warn(name.full(), fmt::format("{} does not give out the config of what was built of {} before",
                                  name.registry, name.repository));
    return std::nullopt;
  }
  return FoundImage{image.config, name.full() + '@' + image.manifest, "",
                    milliseconds_of(text_of(json, "created"))};
}

}  // namespace imagewright
