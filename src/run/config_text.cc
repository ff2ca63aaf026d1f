#include "run/config_text.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "core/config_values.h"
#include "core/links.h"
#include "core/source.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

std::string joined(const fs::path& base, const std::string& path) {
  return base.empty() ? path : (base / path).lexically_normal().string();
}

Json source_json(const Source& source, const fs::path& base) {
  if (const auto* directory = std::get_if<DirectorySource>(&source)) {
    return {{"dir", joined(base, directory->path)}};
  }
  const auto& git = std::get<GitSource>(source);
  Json json = {{"git", git.local ? joined(base, git.remote) : redacted(git.remote)},
               {"ref", text_or_null(git.ref)},
               {"subdir", text_or_null(git.subdir)},
               {"checksum", text_or_null(git.checksum)}};
  if (!git.fetch.empty()) json["fetch"] = git.fetch;
  return json;
}

Json secrets_json(const std::vector<Secret>& secrets, const fs::path& base) {
  Json list = Json::array();
  for (const Secret& secret : secrets) {
    Json one = {{"id", secret.id}};
    if (!secret.file.empty()) one["file"] = joined(base, secret.file);
    if (!secret.environment.empty()) one["environment"] = secret.environment;
    list.push_back(std::move(one));
  }
  return list;
}

Json ssh_json(const std::vector<std::string>& ssh, const fs::path& base) {
  Json list = Json::array();
  for (const std::string& one : ssh) {
    const std::size_t equals = one.find('=');
    const bool has_path = equals != std::string::npos;
    list.push_back(has_path ? one.substr(0, equals + 1) + joined(base, one.substr(equals + 1))
                            : one);
  }
  return list;
}

Json hosts_json(const BuildOptions& options) {
  Json list = Json::array();
  for (const auto& [host, address] : options.extra_hosts) list.push_back(host + "=" + address);
  return list;
}

Json ulimits_json(const BuildOptions& options) {
  Json map = Json::object();
  for (const auto& [name, limit] : options.ulimits) {
    map[name] = {{"soft", limit.soft}, {"hard", limit.hard}};
  }
  return map;
}

// Keys that have a value only: most images have none of these.
void add_options(Json& image, const BuildOptions& options, const fs::path& base) {
  const auto add = [&](const char* key, Json value) {
    if (!value.empty()) image[key] = std::move(value);
  };
  add("platforms", options.platforms);
  add("secrets", secrets_json(options.secrets, base));
  add("ssh", ssh_json(options.ssh, base));
  add("cache_from", options.cache_from);
  add("cache_to", options.cache_to);
  add("network", text_or_null(options.network));
  add("extra_hosts", hosts_json(options));
  add("ulimits", ulimits_json(options));
  if (options.shm_size != 0) image["shm_size"] = options.shm_size;
  if (options.no_cache) image["no_cache"] = true;
  if (options.pull) image["pull"] = true;
  if (options.privileged) image["privileged"] = true;
}

Json image_json(const ImageConfig& image, const fs::path& base) {
  Json json = {{"name", image.name},
               {"from", source_json(image.source, base)},
               {"dockerfile", text_or_null(image.dockerfile)},
               {"target", text_or_null(image.target)},
               {"args", image.args},
               {"labels", image.labels}};
  if (!image.dockerfile_inline.empty()) json["dockerfile_inline"] = image.dockerfile_inline;
  for (const auto& [name, value] : image.additional_contexts) {
    const auto directory = directory_of_context(value);
    json["additional_contexts"][name] = directory ? joined(base, *directory) : value;
  }
  if (!image.depends_on.empty()) json["depends_on"] = image.depends_on;
  if (image.timeout.count() != 0) json["timeout"] = duration_text(image.timeout);
  if (image.max_age.count() != 0) json["max_age"] = duration_text(image.max_age);
  if (image.retries != 0) json["retries"] = image.retries;
  if (image.weight != 1) json["weight"] = image.weight;
  if (!image.tags.empty()) json["tags"] = image.tags;
  if (image.push) json["push"] = *image.push;
  if (const auto* git = std::get_if<GitSource>(&image.source)) {
    if (git->submodules) json["submodules"] = true;
    if (git->lfs) json["lfs"] = true;
  }
  if (image.oci_labels) json["oci_labels"] = true;
  if (!image.narrow) json["narrow"] = false;
  if (image.track_base != TrackBase::Digest) json["track_base"] = word(image.track_base);
  add_options(json, image.options, base);
  return json;
}

void emit(YAML::Emitter& yaml, const Json& json) {
  const auto left_out = [](const Json& value) {
    return value.is_null() || (value.is_object() && value.empty());
  };
  if (json.is_object()) {
    yaml << YAML::BeginMap;
    for (const auto& [key, value] : json.items()) {
      if (left_out(value)) continue;
      yaml << YAML::Key;
      if (key == "<<") yaml << YAML::DoubleQuoted;  // plain, it would merge
      yaml << key << YAML::Value;
      emit(yaml, value);
    }
    yaml << YAML::EndMap;
  } else if (json.is_array()) {
    const bool is_flat = std::all_of(json.begin(), json.end(),
                                     [](const Json& value) { return value.is_primitive(); });
    if (is_flat) yaml << YAML::Flow;
    yaml << YAML::BeginSeq;
    for (const Json& value : json) emit(yaml, value);
    yaml << YAML::EndSeq;
  } else if (json.is_string()) {
    const auto text = json.get<std::string>();
    // (In a flow sequence not every reader takes it for text.)
    if (text.starts_with(':')) yaml << YAML::DoubleQuoted;
    yaml << text;
  } else {
    yaml << json.dump();
  }
}

}  // namespace

Json config_json(const Config& config, const fs::path& base) {
  Json images = Json::array();
  for (const ImageConfig& image : config.images) images.push_back(image_json(image, base));
  Json builder = {{"engine", text_or_null(config.engine)}};
  if (!config.insecure_registries.empty())
    builder["insecure_registries"] = config.insecure_registries;
  if (config.publish != PublishWhen::Each) builder["publish"] = word(config.publish);
  if (config.git != GitLimits()) {
    builder["git"] = {{"jobs", config.git.jobs},
                      {"connect_timeout", duration_text(config.git.connect_time)},
                      {"idle_timeout", duration_text(config.git.idle_time)}};
  }
  builder["images"] = std::move(images);
  return builder;
}

std::string config_yaml(const Json& builder) {
  YAML::Emitter yaml;
  emit(yaml, Json{{"builder", builder}});
  return std::string(yaml.c_str()) + "\n";
}

}  // namespace imagewright
