#include "core/config_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "core/config_values.h"
#include "core/platform.h"
#include "core/shown.h"

namespace imagewright {

namespace {

using Texts = std::vector<std::string>;

std::string quoted(std::string_view key) {
  return fmt::format("'{}'", key);
}

Texts texts(ConfigReader& reader, const YamlEntry& entry) {
  Texts result;
  for (auto& [text, place] : reader.texts(entry)) result.push_back(std::move(text));
  return result;
}

Texts platforms(ConfigReader& reader, const YamlEntry& entry) {
  Texts result;
  for (auto& [text, place] : reader.texts(entry)) {
    if (!is_platform(text)) {
      fail(place, fmt::format("{} is no platform; one is OS/ARCH or OS/ARCH/VARIANT, like "
                              "linux/arm64",
                              shown(text)));
    }
    constexpr std::string_view kMachines[] = {"amd64",   "arm64",   "386",    "arm",    "s390x",
                                              "ppc64le", "riscv64", "x86_64", "aarch64"};
    if (std::find(std::begin(kMachines), std::end(kMachines), text) != std::end(kMachines)) {
      fail(place, fmt::format("{} is no operating system; did you mean linux/{}?", shown(text),
                              parse_platform("linux/" + text).architecture));
    }
    const Platform platform = parse_platform(text);
    const bool is_there = std::any_of(result.begin(), result.end(), [&](const std::string& other) {
      return parse_platform(other) == platform;
    });
    if (is_there) fail(place, fmt::format("the platform {} is given twice", shown(text)));
    result.push_back(std::move(text));
  }
  return result;
}

Secret secret(ConfigReader& reader, const YamlValue& value) {
  static const Keys kKeys{"a secret", {"id", "file", "environment"}, false};
  if (!value.is_map()) {
    fail(value.place,
         "a secret must be a map {id: NAME, file: PATH} or {id: NAME, environment: VARIABLE}; a "
         "name alone has nothing to refer to here");
  }
  Secret secret;
  std::optional<YamlEntry> origin;
  for (const YamlEntry& entry : reader.known_entries(value, kKeys)) {
    std::string text = reader.filled_text(entry);
    if (entry.key == "id") {
      if (!is_plain_word(text)) {
        fail(entry.value.place,
             "a secret's 'id' must be of letters, digits, '.', '_' and '-': it names a file");
      }
      secret.id = std::move(text);
      continue;
    }
    if (origin) ConfigReader::exclude(*origin, entry);
    origin = entry;
    if (entry.key == "environment" && !is_variable_name(text)) {
      fail(entry.value.place,
           "a secret's 'environment' must be the name of a variable: letters, digits and '_'");
    }
    (entry.key == "file" ? secret.file : secret.environment) = std::move(text);
  }
  if (secret.id.empty()) fail(value.place, "a secret has no 'id'");
  if (!origin) {
    fail(value.place, fmt::format("the secret '{}' needs 'file' or 'environment'", secret.id));
  }
  return secret;
}

std::vector<Secret> secrets(ConfigReader& reader, const YamlEntry& entry) {
  std::vector<Secret> result;
  for (const YamlValue& item : reader.yaml.items(entry.value, quoted(entry.key))) {
    Secret read = secret(reader, item);
    const bool twice = std::any_of(result.begin(), result.end(),
                                   [&](const Secret& other) { return other.id == read.id; });
    if (twice) fail(item.place, fmt::format("the secret '{}' is given twice", read.id));
    result.push_back(std::move(read));
  }
  return result;
}

/// `default`, `ID=PATH`, or the same as a map.
Texts ssh(ConfigReader& reader, const YamlEntry& entry) {
  Texts result;
  reader.pairs(entry, [&](std::string id, std::optional<std::string> path, Place place) {
    if (!is_plain_word(id)) {
      fail(place,
           "'ssh' must be a list of ID or ID=PATH, with letters, digits, '.', '_' and '-' in "
           "the id");
    }
    if (path && !path->empty()) {
      id += "=" + *path;
    } else if (id != "default") {
      fail(place,
           fmt::format("'{0}' in 'ssh' needs the path of a socket or key: {0}=PATH; only 'default' "
                       "is the agent's",
                       id));
    }
    result.push_back(std::move(id));
  });
  return result;
}

std::vector<std::pair<std::string, std::string>> extra_hosts(ConfigReader& reader,
                                                             const YamlEntry& entry) {
  std::vector<std::pair<std::string, std::string>> result;
  if (entry.value.is_list()) {
    for (const auto& [text, place] : reader.texts(entry)) {
      result.push_back(ConfigReader::checked(parse_host(text), shown(text), place));
    }
    return result;
  }
  if (!entry.value.is_map()) {
    fail(entry.value.place, "'extra_hosts' must be a map, or a list of HOST=ADDRESS");
  }
  for (const YamlEntry& host : reader.yaml.entries(entry.value, quoted(entry.key))) {
    if (!is_host_name(host.key)) {
      fail(host.place, fmt::format("{} is no name of a host", shown(host.key)));
    }
    const auto add = [&](const std::string& address, Place place) {
      result.emplace_back(host.key,
                          ConfigReader::checked(parse_address(address), shown(host.key), place));
    };
    if (host.value.is_list()) {
      for (const auto& [address, place] : reader.texts(host)) add(address, place);
    } else {
      add(reader.filled_text(host), host.value.place);
    }
  }
  return result;
}

std::int64_t limit(ConfigReader& reader, const YamlEntry& entry) {
  const auto number =
      parse_number(reader.text(entry), -1, std::numeric_limits<std::int64_t>::max());
  if (number) return *number;
  fail(entry.value.place,
       fmt::format("'{}' must be a whole number from -1 (no limit) on", entry.key));
}

Ulimit ulimit(ConfigReader& reader, const YamlEntry& entry) {
  static const Keys kKeys{"an ulimit", {"soft", "hard"}, false};
  if (!entry.value.is_map()) {
    const std::int64_t both = limit(reader, entry);
    return {both, both};
  }
  std::optional<std::int64_t> soft, hard;
  for (const YamlEntry& part : reader.known_entries(entry.value, kKeys)) {
    (part.key == "soft" ? soft : hard) = limit(reader, part);
  }
  if (!soft || !hard) {
    fail(entry.value.place,
         fmt::format("the ulimit '{}' must be a number, or a map of 'soft' and 'hard'", entry.key));
  }
  if (*hard != -1 && (*soft == -1 || *soft > *hard)) {
    fail(entry.value.place,
         fmt::format("the ulimit '{}' has a 'soft' above its 'hard'", entry.key));
  }
  return {*soft, *hard};
}

std::map<std::string, Ulimit> ulimits(ConfigReader& reader, const YamlEntry& entry) {
  static const std::vector<std::string> kNames = {
      "nofile",   "nproc", "memlock", "core",   "cpu",    "data",       "fsize", "locks",
      "msgqueue", "nice",  "rss",     "rtprio", "rttime", "sigpending", "stack"};
  std::map<std::string, Ulimit> result;
  for (const YamlEntry& one : reader.yaml.entries(entry.value, quoted(entry.key))) {
    if (!contains(kNames, one.key)) {
      fail(one.place, fmt::format("unknown ulimit {}{}", shown(one.key), hint(one.key, kNames)));
    }
    result.emplace(one.key, ulimit(reader, one));
  }
  return result;
}

std::string network(ConfigReader& reader, const YamlEntry& entry) {
  std::string text = reader.filled_text(entry);
  const bool one_word = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
  });
  if (!one_word || text.front() == '-') {
    fail(entry.value.place, "'network' must be none, host, default or the name of a network");
  }
  return text;
}

}  // namespace

bool read_option(ConfigReader& reader, const YamlEntry& entry, BuildOptions& options) {
  const std::string_view key = entry.key;
  if (key == "platforms") {
    options.platforms = platforms(reader, entry);
  } else if (key == "secrets") {
    options.secrets = secrets(reader, entry);
  } else if (key == "ssh") {
    options.ssh = ssh(reader, entry);
  } else if (key == "cache_from") {
    options.cache_from = texts(reader, entry);
  } else if (key == "cache_to") {
    options.cache_to = texts(reader, entry);
  } else if (key == "network") {
    options.network = network(reader, entry);
  } else if (key == "extra_hosts") {
    options.extra_hosts = extra_hosts(reader, entry);
  } else if (key == "shm_size") {
    options.shm_size =
        ConfigReader::checked(parse_size(reader.text(entry)), "'shm_size'", entry.value.place);
  } else if (key == "ulimits") {
    options.ulimits = ulimits(reader, entry);
  } else if (key == "no_cache") {
    options.no_cache = reader.flag(entry);
  } else if (key == "pull") {
    options.pull = reader.flag(entry);
  } else if (key == "privileged") {
    options.privileged = reader.flag(entry);
  } else {
    return false;
  }
  return true;
}

}  // namespace imagewright
