#include "io/registry_credentials.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "core/json_text.h"
#include "io/environment.h"
#include "io/error.h"
#include "io/process.h"

namespace imagewright {

namespace {

using Json = nlohmann::json;

constexpr std::chrono::seconds kHelperPatience{30};
// The key that Docker Hub has had since before there were others.
constexpr const char* kHubKey = "https://index.docker.io/v1/";

const Json* object_at(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_object() ? &*found : nullptr;
}

Json read_json(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return nullptr;
  return Json::parse(std::string((std::istreambuf_iterator<char>(file)), {}), nullptr, false);
}

// nullopt: it is not base64.
std::optional<std::string> decoded(std::string_view text) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned bits = 0;
  int have = 0;
  while (text.ends_with('=') || text.ends_with('\n')) text.remove_suffix(1);
  for (const char c : text) {
    const std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6 | static_cast<unsigned>(value)) & 0xffffff;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    bytes += static_cast<char>(bits >> have & 0xff);
  }
  return bytes;
}

// How people and programs write a registry as a key: with a scheme, a path, or neither.
std::string host_of_key(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  }
  return std::string(key.substr(0, key.find('/')));
}

std::optional<RegistryCredentials> of_entry(const Json& entry) {
  RegistryCredentials found;
  found.identity_token = text_of(entry, "identitytoken");
  found.user = text_of(entry, "username");
  found.password = text_of(entry, "password");
  if (const auto pair = decoded(text_of(entry, "auth")); pair && !pair->empty()) {
    const std::size_t colon = pair->find(':');
    if (colon == std::string::npos) return std::nullopt;
    found.user = pair->substr(0, colon);
    found.password = pair->substr(colon + 1);
    // (Docker pads some with nulls.)
    found.password.erase(found.password.find_last_not_of('\0') + 1);
  }
  if (found.identity_token.empty() && found.user.empty()) return std::nullopt;
  return found;
}

std::optional<RegistryCredentials> ask_helper(const std::string& helper, const std::string& key) {
  try {
    Command command;
    command.argv = {"docker-credential-" + helper, "get"};
    command.timeout = kHelperPatience;
    const Output output = capture(command, key);
    if (!output.exit.ok()) return std::nullopt;
    const Json answer = Json::parse(output.out, nullptr, false);
    const std::string user = text_of(answer, "Username");
    const std::string secret = text_of(answer, "Secret");
    if (secret.empty()) return std::nullopt;
    if (user == "<token>") return RegistryCredentials{"", "", secret};
    return RegistryCredentials{user, secret, ""};
  } catch (const Error&) {
    return std::nullopt;  // it is not installed
  }
}

std::optional<RegistryCredentials> find_in(const Json& file, const std::string& registry,
                                           const std::string& repository) {
  const bool hub = registry == "docker.io";
  const std::string key = hub ? kHubKey : registry;
  if (const Json* helpers = object_at(file, "credHelpers")) {
    for (const std::string& name : {key, registry}) {
      const std::string helper = text_of(*helpers, name.c_str());
      if (helper.empty()) continue;
      if (auto found = ask_helper(helper, name)) return found;
    }
  }
  if (const std::string helper = text_of(file, "credsStore"); !helper.empty()) {
    if (auto found = ask_helper(helper, key)) return found;
  }
  const Json* auths = object_at(file, "auths");
  if (auths == nullptr) return std::nullopt;
  // The longest part of the path first.
  for (std::string name = registry + '/' + repository; name.size() > registry.size();
       name.erase(name.rfind('/'))) {
    if (const Json* entry = object_at(*auths, name.c_str())) {
      if (auto found = of_entry(*entry)) return found;
    }
  }
  for (const std::string& name : {key, registry}) {
    if (const Json* entry = object_at(*auths, name.c_str())) {
      if (auto found = of_entry(*entry)) return found;
    }
  }
  for (const auto& [name, entry] : auths->items()) {
    const std::string host = host_of_key(name);
    const bool plain = name.find("://") != std::string::npos || name.find('/') == std::string::npos;
    if (plain && (host == registry || (hub && host == "index.docker.io"))) {
      if (auto found = of_entry(entry)) return found;
    }
  }
  return std::nullopt;
}

std::vector<std::string> files() {
  std::vector<std::string> all;
  const std::string home = variable("HOME");
  const std::string own = variable("DOCKER_CONFIG");
  if (!own.empty() || !home.empty())
    all.push_back((own.empty() ? home + "/.docker" : own) + "/config.json");
  if (const std::string file = variable("REGISTRY_AUTH_FILE"); !file.empty()) all.push_back(file);
  if (const std::string runtime = variable("XDG_RUNTIME_DIR"); !runtime.empty())
    all.push_back(runtime + "/containers/auth.json");
  all.push_back(fmt::format("/run/containers/{}/auth.json", getuid()));
  if (const std::string config = config_home(); !config.empty())
    all.push_back(config + "/containers/auth.json");
  return all;
}

}  // namespace

std::optional<RegistryCredentials> find_credentials(const std::string& registry,
                                                    const std::string& repository) {
  for (const std::string& path : files()) {
    if (auto found = find_in(read_json(path), registry, repository)) return found;
  }
  return std::nullopt;
}

}  // namespace imagewright
