// Yaml as bytes and back: reading a long text costs more than a run that has nothing to do.
// Declared in core/yaml.h.
#include <algorithm>
#include <cstring>

#include "core/yaml.h"

namespace imagewright {

namespace {

// To be raised with every change of what is written here.
constexpr std::uint32_t kFormat = 1;
constexpr std::size_t kLeastNodeBytes = 8 * sizeof(std::uint32_t);

void add_number(std::string& bytes, std::size_t number) {
  const auto value = static_cast<std::uint32_t>(number);
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void add_text(std::string& bytes, const std::string& text) {
  add_number(bytes, text.size());
  bytes += text;
}

// Takes values off the front of bytes that may be anything: zeros where there are none left.
class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}

  std::uint32_t number() {
    std::uint32_t value = 0;
    const std::string_view taken = take(sizeof value);
    if (taken.size() == sizeof value) std::memcpy(&value, taken.data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(take(number())); }
  bool good() const { return good_; }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view take(std::size_t size) {
    good_ = good_ && size <= bytes_.size();
    if (!good_) return "";
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::string_view bytes_;
  bool good_ = true;
};

}  // namespace

std::string Yaml::packed() const {
  std::string bytes;
  add_number(bytes, kFormat);
  add_number(bytes, nodes_.size());
  for (const YamlNode& node : nodes_) {
    add_number(bytes, static_cast<std::size_t>(node.kind));
    add_number(bytes, node.plain ? 1 : 0);
    add_number(bytes, static_cast<std::size_t>(node.place.line));
    add_number(bytes, static_cast<std::size_t>(node.place.column));
    add_text(bytes, node.text);
    add_text(bytes, node.tag);
    add_number(bytes, node.target);
    add_number(bytes, node.children.size());
    for (const std::size_t child : node.children) add_number(bytes, child);
  }
  return bytes;
}

std::optional<Yaml> Yaml::unpacked(std::string_view bytes) {
  Yaml yaml;
  Unpacker unpacker(bytes);
  if (unpacker.number() != kFormat) return std::nullopt;
  const std::size_t count = unpacker.number();
  if (count > bytes.size() / kLeastNodeBytes) return std::nullopt;
  yaml.nodes_.reserve(count);
  while (!unpacker.at_end()) {
    YamlNode& node = yaml.nodes_.emplace_back();
    const std::uint32_t kind = unpacker.number();
    if (kind > static_cast<std::uint32_t>(YamlNode::Kind::Alias)) return std::nullopt;
    node.kind = static_cast<YamlNode::Kind>(kind);
    node.plain = unpacker.number() != 0;
    node.place.line = static_cast<int>(unpacker.number());
    node.place.column = static_cast<int>(unpacker.number());
    node.text = unpacker.text();
    node.tag = unpacker.text();
    node.target = unpacker.number();
    const std::uint32_t children = unpacker.number();
    node.children.reserve(std::min<std::size_t>(children, bytes.size() / sizeof children));
    for (std::uint32_t left = children; left > 0 && unpacker.good(); --left) {
      node.children.push_back(unpacker.number());
    }
    if (!unpacker.good()) return std::nullopt;
  }
  if (!unpacker.good() || yaml.nodes_.size() != count) return std::nullopt;
  // As a text makes them: children stand behind what they are in, what is repeated before, so that
  // no way leads in a circle.
  for (std::size_t i = 0; i < yaml.nodes_.size(); ++i) {
    const YamlNode& node = yaml.nodes_[i];
    if (node.kind == YamlNode::Kind::Alias && node.target >= i) return std::nullopt;
    for (const std::size_t child : node.children) {
      if (child <= i || child >= yaml.nodes_.size()) return std::nullopt;
    }
  }
  return yaml;
}

}  // namespace imagewright
