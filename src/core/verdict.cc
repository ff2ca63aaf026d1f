#include "core/verdict.h"

#include <map>

#include "core/digest.h"

namespace imagewright {

namespace {

using Key = std::pair<InputKind, std::string>;

std::map<Key, const Input*> by_key(const std::vector<Input>& inputs) {
  std::map<Key, const Input*> result;
  for (const Input& input : inputs) result[{input.kind, input.name}] = &input;
  return result;
}

void compare(const std::vector<Input>& before, const std::vector<Input>& now,
             std::vector<Reason>& reasons) {
  const auto old_inputs = by_key(before);
  const auto new_inputs = by_key(now);
  for (const auto& [key, input] : new_inputs) {
    const auto old = old_inputs.find(key);
    if (old == old_inputs.end()) {
      reasons.push_back({ReasonKind::InputAdded, key.first, key.second, {}, "", input->value});
    } else if (old->second->digest != input->digest) {
      reasons.push_back(
          {ReasonKind::InputChanged, key.first, key.second, {}, old->second->value, input->value});
    }
  }
  for (const auto& [key, input] : old_inputs) {
    if (new_inputs.count(key) == 0)
      reasons.push_back({ReasonKind::InputRemoved, key.first, key.second, {}, input->value, ""});
  }
}

std::string shown_base(const std::string& value) {
  return value.empty() ? "unknown" : short_digest(read_base_value(value).config);
}

}  // namespace

bool is_up_to_date(const std::string& digest, const LastSuccess& last, bool engine_has_image,
                   bool force) {
  return !force && last.too_old_for.empty() && last.format == kFingerprintFormat && last.verified &&
         last.digest == digest && engine_has_image;
}

Verdict decide(const Manifest& now, const std::optional<LastSuccess>& last, bool engine_has_image,
               const std::string& engine, bool force) {
  Verdict verdict;
  if (last && is_up_to_date(now.digest, *last, engine_has_image, force)) return verdict;
  const auto because = [&](ReasonKind kind, const std::string& name = "") {
    verdict.reasons.push_back({kind, InputKind::Context, name, {}});
  };
  if (force) because(ReasonKind::Forced);
  if (!last) {
    because(ReasonKind::NeverBuilt);
  } else if (last->format == 0) {
    because(ReasonKind::FromOriginal);
  } else if (last->format != kFingerprintFormat) {
    because(ReasonKind::OtherFormat);
  } else {
    if (!last->verified) because(ReasonKind::Unverified);
    if (last->digest != now.digest) {
      const std::size_t before = verdict.reasons.size();
      compare(last->inputs, now.inputs, verdict.reasons);
      // The digest alone decides: if it differs, the image is built, whatever the list says.
      if (verdict.reasons.size() == before) because(ReasonKind::OtherFormat);
    }
    if (!engine_has_image) because(ReasonKind::ImageGone, engine);
    if (!last->too_old_for.empty()) because(ReasonKind::TooOld, last->too_old_for);
  }
  return verdict;
}

void note_stale_parents(Verdict& verdict, const std::vector<std::string>& parents) {
  for (const std::string& parent : parents) {
    std::erase_if(verdict.reasons, [&](const Reason& reason) {
      const bool is_of_input = reason.kind == ReasonKind::InputChanged ||
                               reason.kind == ReasonKind::InputAdded ||
                               reason.kind == ReasonKind::InputRemoved;
      return is_of_input && reason.input == InputKind::Parent && reason.name == parent;
    });
    verdict.reasons.push_back({ReasonKind::ParentStale, InputKind::Parent, parent, {}});
  }
}

const char* word(ReasonKind kind) {
  switch (kind) {
    case ReasonKind::Forced:
      return "forced";
    case ReasonKind::NeverBuilt:
      return "never-built";
    case ReasonKind::FromOriginal:
      return "state-from-the-original";
    case ReasonKind::OtherFormat:
      return "other-format";
    case ReasonKind::Unverified:
      return "unverified";
    case ReasonKind::ImageGone:
      return "image-gone";
    case ReasonKind::TooOld:
      return "too-old";
    case ReasonKind::InputChanged:
      return "input-changed";
    case ReasonKind::InputAdded:
      return "input-added";
    case ReasonKind::InputRemoved:
      return "input-removed";
    case ReasonKind::ParentStale:
      return "parent-stale";
  }
  return "";
}

std::string describe(const Reason& reason) {
  const std::string input = reason.name.empty() ? std::string(word(reason.input))
                                                : word(reason.input) + (" " + reason.name);
  switch (reason.kind) {
    case ReasonKind::Forced:
      return "forced";
    case ReasonKind::NeverBuilt:
      return "never built";
    case ReasonKind::FromOriginal:
      return "state from the original";
    case ReasonKind::OtherFormat:
      return "fingerprinted by another version's rules";
    case ReasonKind::Unverified:
      return "its context changed while it was built";
    case ReasonKind::ImageGone:
      return "image is gone from " + reason.name;
    case ReasonKind::TooOld:
      return "older than its max_age of " + reason.name;
    case ReasonKind::InputChanged:
      if (!reason.changes.empty()) return "content: " + describe(reason.changes);
      if (reason.input == InputKind::Base) {
        return input + " changed: " + shown_base(reason.before) + " is " + shown_base(reason.now) +
               " now";
      }
      return input + " changed";
    case ReasonKind::InputAdded:
      return input + " added";
    case ReasonKind::InputRemoved:
      return input + " removed";
    case ReasonKind::ParentStale:
      return "its parent " + reason.name + " would be built first";
  }
  return "";
}

std::string describe(const std::vector<Reason>& reasons) {
  std::string text;
  for (const Reason& reason : reasons) {
    if (!text.empty()) text += "; ";
    text += describe(reason);
  }
  return text;
}

}  // namespace imagewright
