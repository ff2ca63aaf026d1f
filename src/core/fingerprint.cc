#include "core/fingerprint.h"

#include <array>

#include "core/digest.h"

namespace imagewright {

namespace {

constexpr std::array kKinds = {InputKind::Context, InputKind::Dockerfile, InputKind::Target,
                               InputKind::Arg,     InputKind::Label,      InputKind::Option,
                               InputKind::Secret,  InputKind::Parent};

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

std::vector<Input> list_inputs(const Inputs& inputs) {
  std::vector<Input> list;
  list.reserve(3 + inputs.args.size() + inputs.labels.size() + inputs.options.size() +
               inputs.secret_digests.size());
  const auto put = [&](InputKind kind, const std::string& name, const std::string& digest) {
    list.push_back({kind, name, digest});
  };
  put(InputKind::Context, "", inputs.context_digest);
  put(InputKind::Dockerfile, "", inputs.dockerfile_digest);
  if (!inputs.target.empty()) put(InputKind::Target, "", hex(sha256(inputs.target)));
  for (const auto& [name, value] : inputs.args) put(InputKind::Arg, name, hex(sha256(value)));
  for (const auto& [name, value] : inputs.labels) put(InputKind::Label, name, hex(sha256(value)));
  for (const auto& [name, value] : inputs.options) put(InputKind::Option, name, hex(sha256(value)));
  for (const auto& [id, digest] : inputs.secret_digests) put(InputKind::Secret, id, digest);
  return list;
}

Manifest make_manifest(const Inputs& inputs) {
  return make_manifest(list_inputs(inputs), {});
}

Manifest make_manifest(std::vector<Input> inputs,
                       const std::map<std::string, std::string>& parents) {
  Manifest manifest;
  manifest.digest = digest_of(inputs, parents);
  manifest.inputs = std::move(inputs);
  for (const auto& [name, id] : parents)
    manifest.inputs.push_back({InputKind::Parent, name, hex(sha256(id))});
  return manifest;
}

std::string digest_of(const std::vector<Input>& inputs,
                      const std::map<std::string, std::string>& parents) {
  Sha256 hash;
  hash.update_field("imagewright image");
  hash.update_number(kFingerprintFormat);
  const auto add = [&](InputKind kind, const std::string& name, const std::string& digest) {
    hash.update_field(word(kind));
    hash.update_field(name);
    hash.update_field(digest);
  };
  for (const Input& input : inputs) add(input.kind, input.name, input.digest);
  for (const auto& [name, id] : parents) add(InputKind::Parent, name, hex(sha256(id)));
  return hex(hash.finish());
}

}  // namespace imagewright
