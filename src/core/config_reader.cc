#include "core/config_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>

#include "core/config_values.h"
#include "core/shown.h"
#include "core/suggest.h"

namespace imagewright {

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string hint(std::string_view word, const std::vector<std::string>& known) {
  std::string near = did_you_mean(word, known);
  return near.empty() ? fmt::format("; known are {}", fmt::join(known, ", ")) : near;
}

namespace {

[[noreturn]] void refuse(const YamlEntry& entry, const Keys& keys) {
  fail(entry.place, fmt::format("unknown key {} in {}{}", shown(entry.key), keys.where,
                                hint(entry.key, keys.known)));
}

struct Pair {
  std::string key;
  std::optional<std::string> value;
};

Pair split(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, std::nullopt};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void check_key(std::string_view key, std::string_view where, Place place) {
  // The engines take KEY=VALUE: another `=` would move the border.
  if (key.empty() || key.find('=') != std::string::npos) {
    fail(place, fmt::format("a key in '{}' cannot be empty or hold '='", where));
  }
}

}  // namespace

std::vector<YamlEntry> ConfigReader::known_entries(const YamlValue& map, const Keys& keys) {
  std::vector<YamlEntry> known;
  for (const YamlEntry& entry : yaml.entries(map, keys.where)) {
    if (contains(keys.known, entry.key)) {
      known.push_back(entry);
    } else if (!keys.extensible || entry.key.substr(0, 2) != "x-") {
      refuse(entry, keys);
    }
  }
  return known;
}

std::string ConfigReader::expanded(const std::string& text, Place place) {
  if (!variables || text.find('$') == std::string::npos) return text;
  auto result = expand_variables(text, lookup_, kMaxYamlBytes - expanded_bytes_);
  if (!result) fail(place, std::move(result.error().message));
  // Of an environment's value nobody has looked at the characters.
  if (result->find('\0') != std::string::npos) fail(place, "a text cannot hold a NUL character");
  expanded_bytes_ += result->size();
  return *std::move(result);
}

std::string ConfigReader::text(const YamlEntry& entry) {
  return expanded(yaml.text(entry), entry.value.place);
}

std::string ConfigReader::text(const YamlValue& value, std::string_view what) {
  return expanded(yaml.text(value, what), value.place);
}

bool ConfigReader::flag(const YamlEntry& entry) {
  return checked(parse_flag(text(entry)), fmt::format("'{}'", entry.key), entry.value.place);
}

std::string ConfigReader::filled_text(const YamlEntry& entry) {
  std::string result;
  if (!entry.value.is_null()) result = text(entry);
  if (result.empty()) fail(entry.value.place, fmt::format("'{}' is empty", entry.key));
  return result;
}

std::string ConfigReader::filled_text(const YamlValue& value, std::string_view what) {
  std::string result;
  if (!value.is_null()) result = text(value, what);
  if (result.empty()) fail(value.place, fmt::format("{} is empty", what));
  return result;
}

std::vector<std::pair<std::string, Place>> ConfigReader::texts(const YamlEntry& entry) {
  std::vector<std::pair<std::string, Place>> result;
  const std::string what = fmt::format("an item of '{}'", entry.key);
  for (const YamlValue& item : yaml.items(entry.value, shown(entry.key))) {
    result.emplace_back(filled_text(item, what), item.place);
  }
  return result;
}

void ConfigReader::pairs(const YamlEntry& entry, const OnPair& on_pair) {
  if (entry.value.is_map()) {
    for (const YamlEntry& pair : yaml.entries(entry.value, shown(entry.key))) {
      std::optional<std::string> given;
      if (!pair.value.is_null()) given = text(pair);
      check_key(pair.key, entry.key, pair.place);
      on_pair(std::string(pair.key), std::move(given), pair.place);
    }
  } else if (entry.value.is_list()) {
    std::unordered_set<std::string> seen;
    for (const YamlValue& item : yaml.items(entry.value, shown(entry.key))) {
      Pair pair = split(text(item, fmt::format("an item of '{}'", entry.key)));
      if (!seen.insert(pair.key).second) {
        fail(item.place, fmt::format("the key {} is given twice", shown(pair.key)));
      }
      check_key(pair.key, entry.key, item.place);
      on_pair(std::move(pair.key), std::move(pair.value), item.place);
    }
  } else if (!entry.value.is_null()) {
    fail(entry.value.place, fmt::format("'{}' must be a map, or a list of KEY=VALUE", entry.key));
  }
}

void ConfigReader::exclude(const YamlEntry& first, const YamlEntry& second) {
  fail(second.place, fmt::format("'{}' cannot stand beside '{}'", second.key, first.key));
}

}  // namespace imagewright
