#include "io/short_names.h"

// What is no TOML is reported as such; in builds with assertions the parser would end us first.
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>

#include <unistd.h>

#include <filesystem>
#include <set>
#include <system_error>

#include "io/environment.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

std::string behind_the_repository(const Reference& reference) {
  std::string text;
  if (!reference.tag.empty()) text += ':' + reference.tag;
  if (!reference.digest.empty()) text += '@' + reference.digest;
  return text;
}

}  // namespace

bool is_short_name(const Reference& reference) {
  const std::size_t slash = reference.repository.find('/');
  if (slash == std::string::npos) return true;
  const std::string first = reference.repository.substr(0, slash);
  return first != "localhost" && first.find_first_of(".:") == std::string::npos;
}

void ShortNames::read(const std::string& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return;
  try {
    const toml::table file = toml::parse_file(path);
    if (const auto* list = file["unqualified-search-registries"].as_array()) {
      search_.clear();
      for (const auto& item : *list) {
        if (const auto text = item.value<std::string>()) search_.push_back(*text);
      }
    }
    if (const auto* aliases = file["aliases"].as_table()) {
      for (const auto& [name, value] : *aliases) {
        // (An empty one takes back what an earlier file said.)
        if (const auto text = value.value<std::string>()) aliases_[std::string(name.str())] = *text;
      }
    }
    if (const auto* registries = file["registry"].as_array()) {
      for (const auto& item : *registries) {
        const auto* registry = item.as_table();
        if (registry == nullptr || !(*registry)["insecure"].value_or(false)) continue;
        for (const char* key : {"location", "prefix"}) {
          const std::string name = (*registry)[key].value_or(std::string());
          if (!name.empty()) insecure_.push_back(name.substr(0, name.find('/')));
        }
      }
    }
  } catch (const toml::parse_error&) {
    // The engine says what is wrong with it.
  }
}

ShortNames ShortNames::load() {
  ShortNames names;
  const std::string home = variable("HOME");
  const std::string config = config_home() + "/containers/registries.conf";
  const std::string given = variable("CONTAINERS_REGISTRIES_CONF");
  std::error_code error;
  if (!given.empty()) {
    names.read(given);
  } else if (fs::exists(config, error)) {
    names.read(config);
  } else {
    names.read("/etc/containers/registries.conf");
  }
  for (const std::string& directory :
       {std::string("/etc/containers/registries.conf.d"), config + ".d"}) {
    std::set<std::string> files;
    for (const auto& file : fs::directory_iterator(directory, error)) {
      if (file.path().extension() == ".conf") files.insert(file.path().string());
    }
    for (const std::string& file : files) names.read(file);
  }
  names.read(getuid() == 0 ? "/var/cache/containers/short-name-aliases.conf"
                           : home + "/.cache/containers/short-name-aliases.conf");
  return names;
}

bool ShortNames::is_alias(const Reference& reference) const {
  const auto found = aliases_.find(reference.repository);
  return found != aliases_.end() && !found->second.empty();
}

std::vector<std::string> ShortNames::meanings(const Reference& reference) const {
  const std::string rest = behind_the_repository(reference);
  if (is_alias(reference)) return {aliases_.at(reference.repository) + rest};
  std::vector<std::string> all;
  for (const std::string& registry : search_)
    all.push_back(registry + '/' + reference.repository + rest);
  return all;
}

}  // namespace imagewright
