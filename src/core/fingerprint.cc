#include "core/fingerprint.h"

#include <array>

#include "core/digest.h"

namespace imagewright {

namespace {

constexpr std::array kKinds = {InputKind::Context, InputKind::Dockerfile, InputKind::Target,
                               InputKind::Arg,     InputKind::Label,      InputKind::Option,
                               InputKind::Secret,  InputKind::Parent};

std::string digest_over(const std::vector<Input>& inputs) {
  Sha256 hash;
  hash.update_field("imagewright image");
  hash.update_number(kFingerprintFormat);
  for (const Input& input : inputs) {
    hash.update_field(word(input.kind));
    hash.update_field(input.name);
    hash.update_field(input.digest);
  }
  return hex(hash.finish());
}

}  // namespace

const char* word(InputKind kind) {
  switch (kind) {
    case InputKind::Context:
      return "context";
    case InputKind::Dockerfile:
      return "dockerfile";
    case InputKind::Target:
      return "target";
    case InputKind::Arg:
      return "arg";
    case InputKind::Label:
      return "label";
    case InputKind::Option:
      return "option";
    case InputKind::Secret:
      return "secret";
    case InputKind::Parent:
      return "parent";
  }
  return "";
}

std::optional<InputKind> input_kind(std::string_view text) {
  for (const InputKind kind : kKinds) {
    if (text == word(kind)) return kind;
  }
  return std::nullopt;
}

Manifest make_manifest(const Inputs& inputs) {
  Manifest manifest;
  manifest.inputs.reserve(3 + inputs.args.size() + inputs.labels.size() + inputs.options.size() +
                          inputs.secret_digests.size());
  const auto add = [&](InputKind kind, const std::string& name, const std::string& digest) {
    manifest.inputs.push_back({kind, name, digest});
  };
  add(InputKind::Context, "", inputs.context_digest);
  add(InputKind::Dockerfile, "", inputs.dockerfile_digest);
  if (!inputs.target.empty()) add(InputKind::Target, "", hex(sha256(inputs.target)));
  for (const auto& [name, value] : inputs.args) add(InputKind::Arg, name, hex(sha256(value)));
  for (const auto& [name, value] : inputs.labels) add(InputKind::Label, name, hex(sha256(value)));
  for (const auto& [name, value] : inputs.options) add(InputKind::Option, name, hex(sha256(value)));
  for (const auto& [id, digest] : inputs.secret_digests) add(InputKind::Secret, id, digest);
  manifest.digest = digest_over(manifest.inputs);
  return manifest;
}

Manifest with_parents(Manifest manifest, const std::map<std::string, std::string>& parents) {
  if (parents.empty()) return manifest;
  for (const auto& [name, id] : parents)
    manifest.inputs.push_back({InputKind::Parent, name, hex(sha256(id))});
  manifest.digest = digest_over(manifest.inputs);
  return manifest;
}

}  // namespace imagewright
