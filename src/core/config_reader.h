// What reading any map of the configuration takes: known and unknown keys, texts with their
// variables, lists, pairs. Knows nothing of what the keys are for. Everything throws YamlError,
// with the place.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/variables.h"
#include "core/yaml.h"

namespace imagewright {

/// The keys of one kind of map.
struct Keys {
  std::string where;
  std::vector<std::string> known;
  bool extensible = true;  ///< `x-…` is free
};

/// A key of a map or list of pairs; nullopt: it has no value.
using OnPair = std::function<void(std::string key, std::optional<std::string> value, Place place)>;

class ConfigReader {
 public:
  /// Borrows both. `lookup` is asked for variables while `variables` is true.
  ConfigReader(Yaml& yaml, VariableLookup lookup) : yaml(yaml), lookup_(std::move(lookup)) {}

  /// The entries of a map that mean something. Others are refused, with a suggestion.
  std::vector<YamlEntry> known_entries(const YamlValue& map, const Keys& keys);

  /// A value's text, with its variables expanded.
  std::string text(const YamlEntry& entry);
  std::string text(const YamlValue& value, std::string_view what);
  /// `true` or `false`.
  bool flag(const YamlEntry& entry);
  /// A text; an empty one is refused.
  std::string filled_text(const YamlEntry& entry);
  std::string filled_text(const YamlValue& value, std::string_view what);

  /// A list of filled texts, each with the place where it stands.
  std::vector<std::pair<std::string, Place>> texts(const YamlEntry& entry);

  /// Each of `{KEY: VALUE}` or `[KEY=VALUE]`, with or without the values; for nothing, none.
  void pairs(const YamlEntry& entry, const OnPair& on_pair);

  /// "'timeout' must be …" at the value's place, if it is an error.
  template <typename T>
  static T checked(tl::expected<T, ParseError> result, std::string_view what, Place place) {
    if (!result) fail(place, std::string(what) + " " + std::move(result.error().message));
    return *std::move(result);
  }

  [[noreturn]] static void exclude(const YamlEntry& first, const YamlEntry& second);

  Yaml& yaml;
  bool variables = false;  ///< is there anything behind a `$`?

 private:
  std::string expanded(const std::string& text, Place place);

  VariableLookup lookup_;
  std::size_t expanded_bytes_ = 0;
};

bool contains(const std::vector<std::string>& words, std::string_view word);

/// "; did you mean 'X'?" or "; known are X, Y".
std::string hint(std::string_view word, const std::vector<std::string>& known);

}  // namespace imagewright
