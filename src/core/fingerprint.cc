#include "core/fingerprint.h"

#include <algorithm>

#include <array>

#include "core/digest.h"

namespace imagewright {

namespace {

constexpr std::array kKinds = {InputKind::Context, InputKind::Dockerfile, InputKind::Target,
                               InputKind::Arg,     InputKind::Label,      InputKind::Option,
                               InputKind::Secret,  InputKind::Base,       InputKind::Parent};

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
    case InputKind::Base:
      return "base";
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
  const auto put_text = [&](InputKind kind, const std::string& name, const std::string& text) {
    list.push_back({kind, name, hex(sha256(text)), text});
  };
  put(InputKind::Context, "", inputs.context_digest);
  put(InputKind::Dockerfile, "", inputs.dockerfile_digest);
  if (!inputs.target.empty()) put_text(InputKind::Target, "", inputs.target);
  for (const auto& [name, value] : inputs.args) put_text(InputKind::Arg, name, value);
  for (const auto& [name, value] : inputs.labels) put_text(InputKind::Label, name, value);
  for (const auto& [name, value] : inputs.options) put_text(InputKind::Option, name, value);
  for (const auto& [id, digest] : inputs.secret_digests) put(InputKind::Secret, id, digest);
  return list;
}

Manifest make_manifest(const Inputs& inputs) {
  return make_manifest(list_inputs(inputs), {});
}

Input base_input(const std::string& name, const std::string& config, const std::string& manifest) {
  Input input{InputKind::Base, name, hex(sha256(config)), config};
  if (!manifest.empty()) input.value += ' ' + manifest;
  return input;
}

BaseValue read_base_value(const std::string& value) {
  const std::size_t blank = value.find(' ');
  if (blank == std::string::npos) return {value, ""};
  return {value.substr(0, blank), value.substr(blank + 1)};
}

Manifest make_manifest(std::vector<Input> inputs, const Ground& ground) {
  Manifest manifest;
  manifest.digest = digest_of(inputs, ground);
  manifest.inputs = std::move(inputs);
  manifest.inputs.insert(manifest.inputs.end(), ground.bases.begin(), ground.bases.end());
  for (const auto& [name, id] : ground.parents)
    manifest.inputs.push_back({InputKind::Parent, name, hex(sha256(id)), id});
  return manifest;
}

std::string digest_of(const std::vector<Input>& inputs, const Ground& ground) {
  Sha256 hash;
  hash.update_field("imagewright image");
  hash.update_number(kFingerprintFormat);
  const auto add = [&](InputKind kind, const std::string& name, const std::string& digest) {
    hash.update_field(word(kind));
    hash.update_field(name);
    hash.update_field(digest);
  };
  for (const Input& input : inputs) add(input.kind, input.name, input.digest);
  for (const Input& base : ground.bases) add(base.kind, base.name, base.digest);
  for (const auto& [name, id] : ground.parents) add(InputKind::Parent, name, hex(sha256(id)));
  return hex(hash.finish());
}

bool all_bases_are_known(const std::vector<Input>& inputs) {
  return std::none_of(inputs.begin(), inputs.end(), [](const Input& input) {
    return input.kind == InputKind::Base && read_base_value(input.value).config.empty();
  });
}

}  // namespace imagewright
