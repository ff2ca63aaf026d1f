#include "core/verdict.h"

#include <map>

#include "core/digest.h"

namespace imagewright {

namespace {

// What changed or came first, then what is gone.
void explain(const std::vector<ComparedInput>& all, std::vector<Reason>& reasons) {
  const auto add = [&](ReasonKind kind, const ComparedInput& input) {
    reasons.push_back({kind,
                       input.either().kind,
                       input.either().name,
                       {},
                       input.before != nullptr ? input.before->value : "",
                       input.now != nullptr ? input.now->value : ""});
  };
  for (const ComparedInput& input : all) {
    if (input.fate == InputFate::Added) add(ReasonKind::InputAdded, input);
    if (input.fate == InputFate::Changed) add(ReasonKind::InputChanged, input);
  }
  for (const ComparedInput& input : all) {
    if (input.fate == InputFate::Removed) add(ReasonKind::InputRemoved, input);
  }
}

std::string shown_base(const std::string& value) {
  return value.empty() ? "unknown" : short_digest(read_base_value(value).config);
}

}  // namespace

std::vector<ComparedInput> compare(const std::vector<Input>& before,
                                   const std::vector<Input>& now) {
  std::map<std::pair<InputKind, std::string>, ComparedInput> all;
  for (const Input& input : before) all[{input.kind, input.name}].before = &input;
  for (const Input& input : now) all[{input.kind, input.name}].now = &input;
  std::vector<ComparedInput> list;
  for (auto& [key, input] : all) {
    if (input.before == nullptr) {
      input.fate = InputFate::Added;
    } else if (input.now == nullptr) {
      input.fate = InputFate::Removed;
    } else if (input.before->digest != input.now->digest) {
      input.fate = InputFate::Changed;
    }
    list.push_back(input);
  }
  return list;
}

const char* word(InputFate fate) {
  switch (fate) {
    case InputFate::Same:
      return "same";
    case InputFate::Changed:
      return "changed";
    case InputFate::Added:
      return "added";
    case InputFate::Removed:
      return "removed";
  }
  return "";
}

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
      explain(compare(last->inputs, now.inputs), verdict.reasons);
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
