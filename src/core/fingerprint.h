// The manifest of one image: its named inputs, each with a digest, and one digest over all. The
// list that explains and the digest that decides come from the same values. Knows nothing of where
// inputs come from.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imagewright {

/// The version of the rules by which digests are made. A stored digest of another version says
/// nothing.
inline constexpr int kFingerprintFormat = 1;

enum class InputKind { Context, Dockerfile, Target, Arg, Label, Option, Secret, Base, Parent };

/// "context", "dockerfile", "target", "arg", "label", "option", "secret", "base", "parent": how a
/// kind is stored.
const char* word(InputKind kind);
std::optional<InputKind> input_kind(std::string_view word);

struct Input {
  InputKind kind = InputKind::Context;
  /// An arg's, label's or option's key, a secret's id, a base's reference, a parent's name; else
  /// "".
  std::string name;
  std::string digest;  ///< SHA-256, of a secret HMAC-SHA-256, hexadecimal; it alone decides
  /// What it was, for people: a text as configured, a base's config digest (base_input), a parent's
  /// id. "" where only the digest is known.
  std::string value = {};
  bool operator==(const Input&) const = default;
};

struct Manifest {
  std::vector<Input> inputs;  ///< by kind, then name
  std::string digest;         ///< over all inputs; SHA-256, hexadecimal
};

/// All that decides what one image holds.
struct Inputs {
  std::string context_digest;     ///< of core/context, hexadecimal
  std::string dockerfile_digest;  ///< SHA-256 of its bytes, hexadecimal
  std::string target;
  std::map<std::string, std::string> args;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> options = {};         ///< deciding_options
  std::map<std::string, std::string> secret_digests = {};  ///< by id: keyed, hexadecimal
};

/// As a manifest lists them.
std::vector<Input> list_inputs(const Inputs& inputs);

Manifest make_manifest(const Inputs& inputs);

/// An image from elsewhere that an image is built from. `name`: as the Dockerfile means it, with
/// the platform where FROM says one. `config`: its config's digest (`sha256:…`); "": not known.
/// `manifest`: where a registry gave it, the reference with its manifest's digest; else "".
Input base_input(const std::string& name, const std::string& config, const std::string& manifest);

/// What such an input's value says: the config's digest, and the reference. "" where it says
/// nothing.
struct BaseValue {
  std::string config;
  std::string manifest;
};
BaseValue read_base_value(const std::string& value);

/// Is it known of all images from elsewhere among them what they are? Else the same inputs may be
/// others elsewhere.
bool all_bases_are_known(const std::vector<Input>& inputs);

/// What an image stands on.
struct Ground {
  std::vector<Input> bases;                    ///< base_input, by name
  std::map<std::string, std::string> parents;  ///< images of the configuration and their ids
};

/// Of inputs as `list_inputs` gives them and of what the image stands on.
Manifest make_manifest(std::vector<Input> inputs, const Ground& ground);

/// The digest of that manifest, for less.
std::string digest_of(const std::vector<Input>& inputs, const Ground& ground);

}  // namespace imagewright
