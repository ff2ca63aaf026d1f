// YAML text as values with their places: aliases, merge keys and bounds are dealt with here. Knows
// nothing of what the values are for. Pure. Bounds: whatever the text, reading takes time in
// proportion to it, and no more than kMaxYamlValues values can be reached from it, however often
// aliases repeat them. What nobody asks for is not walked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace imagewright {

/// Nobody nests or repeats this much by hand. The first protects the stack, the others time and
/// memory.
inline constexpr std::size_t kMaxYamlDepth = 64;
inline constexpr std::size_t kMaxYamlValues = 100'000;
inline constexpr std::size_t kMaxYamlBytes = std::size_t{8} << 20;
/// As many times kMaxYamlValues may be asked for where a value is read again and again.
inline constexpr std::size_t kMaxYamlRepeats = 10;

/// Counted from 1, the column in characters; 0: no such place.
struct Place {
  int line = 0;
  int column = 0;
};

/// Thrown while a text is read, and caught by the parser that reads it (core/config): an error has
/// to pass through yaml-cpp's callbacks, and through readers that would do nothing else but hand it
/// on.
struct YamlError {
  ParseError error;
};

[[noreturn]] void fail(Place place, std::string message);

struct YamlNode {
  enum class Kind : std::uint8_t { Null, Text, List, Map, Alias };
  Kind kind = Kind::Null;
  bool plain = false;  ///< a text without quotes
  Place place;
  std::string text;  ///< as written (`1.10` is "1.10"), but without quotes and escapes
  std::string tag;   ///< only one that is not YAML's own: `!x`
  std::vector<std::size_t> children;  ///< a map's alternate: key, value
  std::size_t target = 0;             ///< an alias's
};

/// A value where it is used: of an alias, the alias's place and its target's content. Lives as long
/// as the Yaml that gave it.
struct YamlValue {
  const YamlNode* node = nullptr;
  Place place;

  bool is_null() const { return node->kind == YamlNode::Kind::Null; }
  bool is_text() const { return node->kind == YamlNode::Kind::Text; }
  bool is_list() const { return node->kind == YamlNode::Kind::List; }
  bool is_map() const { return node->kind == YamlNode::Kind::Map; }
};

struct YamlEntry {
  std::string_view key;
  Place place;  ///< the key's
  YamlValue value;
};

/// One document. Everything throws YamlError. `what` is what a value is called in a message.
class Yaml {
 public:
  /// Refuses what is not UTF-8, not YAML, more than one document, or nested too deep.
  explicit Yaml(std::string_view text);

  /// All of it as bytes, in this machine's byte order.
  std::string packed() const;
  /// The same again. nullopt: `packed` did not make these bytes. Does not throw.
  static std::optional<Yaml> unpacked(std::string_view bytes);

  /// Is there nothing but blanks and comments?
  bool empty() const { return nodes_.empty(); }
  YamlValue root() { return value(0); }

  /// From now on, values are asked for that were asked for before (kMaxYamlRepeats).
  void allow_repeats() { max_values_ = kMaxYamlValues * kMaxYamlRepeats; }

  const std::string& text(const YamlValue& value, std::string_view what);
  /// The value of a map's entry, which is called by its key.
  const std::string& text(const YamlEntry& entry);
  std::vector<YamlValue> items(const YamlValue& list, std::string_view what);
  /// A map's entries, with those that `<<` brings: the map's own win, then the earlier of the
  /// merged ones. A key given twice is an error.
  std::vector<YamlEntry> entries(const YamlValue& map, std::string_view what);
  /// The same as they stand: `<<` is a key like any other, and keys that are not text are left out.
  std::vector<YamlEntry> unmerged_entries(const YamlValue& map, std::string_view what);

 private:
  Yaml() = default;
  class Builder;
  struct Merge;

  YamlValue value(std::size_t index);
  void count(const YamlValue& value, std::size_t bytes);
  void merge(const YamlValue& map, Merge& result, std::size_t depth);

  std::vector<YamlNode> nodes_;  ///< they name each other by index; 0 is the root
  std::size_t values_ = 0;       ///< how many were asked for
  std::size_t bytes_ = 0;        ///< in the texts that were read
  std::size_t max_values_ = kMaxYamlValues;
};

}  // namespace imagewright
