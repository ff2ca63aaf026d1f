#include "io/engine_capabilities.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <tuple>

#include "core/dockerfile.h"
#include "io/host_platform.h"

namespace imagewright {

namespace {

using Json = nlohmann::json;

struct Version {
  int major = 0;
  int minor = 0;
  bool from(int wanted_major, int wanted_minor) const {
    return std::tie(major, minor) >= std::tie(wanted_major, wanted_minor);
  }
};

bool is_digit(char byte) {
  return std::isdigit(static_cast<unsigned char>(byte)) != 0;
}

// Where the first number with a dot behind it begins: "github.com/docker/buildx v0.12.1 …" at the
// 0. npos: nowhere.
std::size_t find_version(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!is_digit(text[i])) continue;
    const std::size_t begin = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    if (i + 1 < text.size() && text[i] == '.' && is_digit(text[i + 1])) return begin;
  }
  return std::string_view::npos;
}

std::string version_text(std::string_view answer) {
  const std::size_t begin = find_version(answer);
  if (begin == std::string_view::npos) return "";
  return std::string(answer.substr(begin, answer.find_first_of(", \n", begin) - begin));
}

// 0.0 where there is none, as in builds of their own ("dev").
Version parse_version(std::string_view answer) {
  Version version;
  const std::string text = version_text(answer);
  if (std::sscanf(text.c_str(), "%d.%d", &version.major, &version.minor) != 2) return {};
  return version;
}

Json parse_object(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_object() ? json : Json::object();
}

std::string text_at(const Json& json, const char* pointer) {
  const Json::json_pointer place(pointer);
  return json.contains(place) && json[place].is_string() ? json[place].get<std::string>() : "";
}

// [["driver-type", "io.containerd.snapshotter.v1"], …]: also from 29 on, where it is what a new
// installation has.
bool has_containerd_store(const Json& info) {
  const auto status = info.find("DriverStatus");
  if (status == info.end() || !status->is_array()) return false;
  const Json wanted = {"driver-type", "io.containerd.snapshotter.v1"};
  return std::find(status->begin(), status->end(), wanted) != status->end();
}

// With the daemon not known, what the CLI can do is decisive.
bool daemon_has_buildkit(const DockerAnswers& answers) {
  if (answers.podman || answers.os == "windows") return false;
  return answers.api.empty() || parse_version(answers.api).from(1, 39);
}

Builder docker_builder(const DockerAnswers& answers) {
  if (!daemon_has_buildkit(answers)) return Builder::Classic;
  if (!answers.buildx.empty()) return Builder::Buildx;
  const Version cli = parse_version(answers.cli);
  // From 23 on the CLI has no builder of its own but the old one.
  return cli.from(18, 0) && !cli.from(23, 0) ? Builder::BuiltInBuildKit : Builder::Classic;
}

// Of Buildah's code by its version, whichever program it is in. Podman 4.3 has 1.28; 4.9 has 1.33;
// 5.0 has 1.35.
EngineCapabilities of_buildah(const std::string& buildah_version) {
  const Version version = parse_version(buildah_version);
  EngineCapabilities engine;
  engine.builder = Builder::Buildah;
  engine.named_contexts = version.from(1, 27);
  // 1.33 and 1.34 have them, too, but not as distributions build them (containers/buildah#5474).
  engine.heredocs = version.from(1, 35);
  engine.maybe_heredocs = version.from(1, 33);
  engine.pull_policies = true;
  engine.takes_ignore_file = true;
  // The next four were seen on 1.28. That a newer one does better could not be established, in its
  // source or its issues: copier.go of 2026 still enters an ignored directory only if it is the
  // beginning of a `!` pattern's text; containers/buildah#5501 (ENV of an ARG), #6609 (mount of a
  // stage) and containers/podman#10340 (labels) are open.
  engine.older_ignore_rules = true;
  engine.mounts_ignored_files = true;
  engine.steps_by_text = true;
  engine.cache_export = version.from(1, 28);
  engine.cache_by_name = true;
  engine.resource_limits = true;
  engine.any_network = true;
  engine.host_gateway = version.from(1, 29);  // 1.28 says that it is no IP address
  engine.more_rights = true;
  return engine;
}

// Rather once too often than once too seldom: the Dockerfile is not parsed.
bool has_mounts(const std::string& dockerfile) {
  return dockerfile.find("--mount") != std::string::npos;
}

bool has_arguments(const std::string& dockerfile) {
  std::istringstream lines(dockerfile);
  for (std::string line; std::getline(lines, line);) {
    // (Letters only: a byte order mark may stand before it.)
    const auto is_letter = [](unsigned char byte) { return std::isalpha(byte) != 0; };
    const auto begin = std::find_if(line.begin(), line.end(), is_letter);
    const auto end = std::find_if_not(begin, line.end(), is_letter);
    std::string word(begin, end);
    for (char& letter : word) letter = static_cast<char>(std::toupper(letter));
    if (word == "ARG") return true;
  }
  return false;
}

}  // namespace

EngineCapabilities docker_capabilities(const DockerAnswers& answers) {
  const Version api = parse_version(answers.api);
  const Version buildx = parse_version(answers.buildx);
  EngineCapabilities engine;
  engine.version = version_text(answers.cli);
  engine.builder = docker_builder(answers);
  engine.ids_are_manifests = has_containerd_store(parse_object(answers.info));
  engine.tar_holds_dockerfile = true;
  engine.host_gateway = true;
  engine.hosts_without_network = true;
  if (engine.builder == Builder::Classic) {
    engine.resource_limits = true;
    engine.any_network = true;
    return engine;
  }

  const bool by_buildx = engine.builder == Builder::Buildx;
  engine.metadata_file = by_buildx && buildx.from(0, 6);
  // Dockerfile frontend 1.4, which daemons have built in from 23.0 on.
  engine.heredocs = api.from(1, 42);
  engine.named_contexts = by_buildx && buildx.from(0, 8) && api.from(1, 42);
  engine.remembers_names = true;
  engine.secrets_by_id = true;
  engine.cache_export = by_buildx;
  // The CLI before takes both, and BuildKit never hears of them.
  engine.resource_limits = by_buildx && buildx.from(0, 6) && api.from(1, 42);
  engine.takes_ignore_file = true;
  // The program that sends the context applies the rules. 0.8 is the first of which it is known
  // that it has today's matcher (docker/buildx#850).
  engine.older_ignore_rules = !(by_buildx && buildx.from(0, 8));
  return engine;
}

EngineCapabilities buildah_capabilities(const std::string& answer) {
  EngineCapabilities engine = of_buildah(answer);
  engine.version = version_text(answer);
  return engine;
}

EngineCapabilities podman_capabilities(const std::string& info) {
  const Json json = parse_object(info);
  EngineCapabilities engine = of_buildah(text_at(json, "/host/buildahVersion"));
  engine.version = text_at(json, "/version/Version");
  return engine;
}

bool is_podman(std::string_view version_answer) {
  return version_answer.substr(0, version_answer.find(' ')) == "podman";
}

std::string podman_store(const std::string& info) {
  const Json json = parse_object(info);
  const Json::json_pointer remote("/host/serviceIsRemote");
  if (json.contains(remote) && json[remote] == true) return "";
  return text_at(json, "/store/graphRoot");
}

Staging::Context context_for(const EngineCapabilities& engine, const BuildRequest& request) {
  if (!engine.takes_ignore_file) return Staging::Context::ClassicCopy;
  if (engine.older_ignore_rules && request.ignore_has_exceptions) return Staging::Context::Copy;
  if (engine.mounts_ignored_files && has_mounts(request.dockerfile)) return Staging::Context::Copy;
  return Staging::Context::Directory;
}

bool earlier_steps_are_sound(const EngineCapabilities& engine, const BuildRequest& request) {
  return !engine.steps_by_text ||
         (request.args.empty() && request.labels.empty() && !has_mounts(request.dockerfile) &&
          !has_arguments(request.dockerfile) && request.options.secrets.empty() &&
          request.named_contexts.empty() && deciding_options(request.options).empty());
}

std::string cannot_do(const EngineCapabilities& engine, const std::string& name,
                      std::string_view key, std::string_view why) {
  return fmt::format("{} {} cannot do '{}': {}", name, engine.version, key, why);
}

std::string unsupported(const EngineCapabilities& engine, const std::string& name,
                        const BuildOptions& options) {
  const auto cannot = [&](std::string_view key, std::string_view why) {
    return cannot_do(engine, name, key, why);
  };
  const bool classic = engine.builder == Builder::Classic;
  constexpr std::string_view kWantsBuildKit = "the classic builder has none; it takes BuildKit";
  if (classic && !options.secrets.empty()) return cannot("secrets", kWantsBuildKit);
  if (classic && !options.ssh.empty()) return cannot("ssh", kWantsBuildKit);
  const std::string& network = options.network;
  const bool by_name = !network.empty() && network != "default" && network != "host";
  if (by_name && engine.host_network_only) {
    return cannot("network", "with chroot isolation there is the host's alone");
  }
  if (by_name && network != "none" && !engine.any_network) {
    return cannot("network", "BuildKit knows none, host and default");
  }
  if (!options.extra_hosts.empty() && network == "none" && !engine.hosts_without_network) {
    return cannot("extra_hosts", "without a network there is no /etc/hosts; 'network' is none");
  }
  for (const auto& [host, address] : options.extra_hosts) {
    if (address == "host-gateway" && !engine.host_gateway) {
      return cannot("extra_hosts", "it does not know host-gateway; give an address");
    }
  }
  constexpr std::string_view kNoNotice = "its builder takes no notice of it";
  if (options.shm_size != 0 && engine.host_network_only) {
    return cannot("shm_size", "with chroot isolation there is the host's /dev/shm alone");
  }
  if (options.shm_size != 0 && !engine.resource_limits) return cannot("shm_size", kNoNotice);
  if (!options.ulimits.empty() && !engine.resource_limits) return cannot("ulimits", kNoNotice);
  if (options.privileged && !engine.more_rights) {
    return cannot("privileged", "it gives no step more rights than others");
  }
  if (!options.cache_to.empty() && !engine.cache_export) {
    return cannot("cache_to", "it cannot write a cache elsewhere");
  }
  for (const auto* caches : {&options.cache_from, &options.cache_to}) {
    for (const std::string& cache : *caches) {
      if (!engine.cache_by_name || cache.find('=') == std::string::npos) continue;
      return cannot(caches == &options.cache_to ? "cache_to" : "cache_from",
                    "it takes the name of a repository, and no type=…");
    }
  }
  return "";
}

std::string unsupported_instruction(const EngineCapabilities& engine, const std::string& name,
                                    const std::string& dockerfile) {
  if (engine.heredocs || engine.maybe_heredocs || engine.version.empty()) return "";
  if (dockerfile.find("<<") == std::string::npos) return "";
  const auto file = parse_dockerfile(dockerfile);
  const bool has_frontends =
      engine.builder == Builder::BuiltInBuildKit || engine.builder == Builder::Buildx;
  if (!file || (has_frontends && !file->syntax.empty())) return "";
  for (const Instruction& instruction : file->instructions) {
    if (instruction.heredocs.empty()) continue;
    return fmt::format(
        "{} {} cannot do heredocs (Dockerfile:{}){}", name, engine.version, instruction.line,
        has_frontends ? "; with a first line '# syntax=docker/dockerfile:1' it can" : "");
  }
  return "";
}

std::string unsupported_of(const EngineCapabilities& engine, const std::string& name,
                           const BuildRequest& request) {
  std::string problem = unsupported(engine, name, request.options);
  if (problem.empty()) problem = unsupported_instruction(engine, name, request.dockerfile);
  return problem;
}

std::vector<std::string> option_arguments(const EngineCapabilities& engine,
                                          const BuildRequest& request, const Staging& staging) {
  const BuildOptions& options = request.options;
  std::vector<std::string> argv;
  const auto add = [&](const char* name, std::string value) {
    argv.emplace_back(name);
    argv.push_back(std::move(value));
  };
  for (std::string platform : options.platforms) {
    // An operating system alone: Buildah's code does not fill in the rest, as BuildKit does.
    if (engine.builder == Builder::Buildah && platform.find('/') == std::string::npos)
      platform += host_platform().substr(host_platform().find('/'));
    add("--platform", platform);
  }
  for (std::size_t i = 0; i < options.secrets.size(); ++i) {
    const Secret& secret = options.secrets[i];
    add("--secret", "id=" + secret.id +
                        (secret.file.empty() ? ",env=" + secret.environment
                                             : ",src=" + staging.secret_file(i).string()));
  }
  for (const std::string& ssh : options.ssh) add("--ssh", ssh);
  // What is asked for by `default` is what they do unasked; podman and buildah know no such name.
  if (!options.network.empty() && options.network != "default") add("--network", options.network);
  for (const auto& [host, address] : options.extra_hosts) add("--add-host", host + ":" + address);
  if (options.shm_size != 0) add("--shm-size", std::to_string(options.shm_size));
  for (const auto& [name, limit] : options.ulimits) {
    add("--ulimit", fmt::format("{}={}:{}", name, limit.soft, limit.hard));
  }
  if (options.privileged) {
    for (const char* argument :
         {"--cap-add=all", "--security-opt=seccomp=unconfined", "--security-opt=label=disable"}) {
      argv.emplace_back(argument);
    }
  }
  if (options.no_cache || (engine.secrets_by_id && !options.secrets.empty())) {
    argv.emplace_back("--no-cache");
  }
  if (options.pull) argv.emplace_back(engine.pull_policies ? "--pull=always" : "--pull");
  // (Without steps of earlier builds there is nothing to take from a cache or to put there.)
  if (engine.steps_by_text && !earlier_steps_are_sound(engine, request)) return argv;
  for (const std::string& cache : options.cache_from) add("--cache-from", cache);
  for (const std::string& cache : options.cache_to) add("--cache-to", cache);
  return argv;
}

std::string built_image_id(const EngineCapabilities& engine, const Staging& staging) {
  if (engine.ids_are_manifests && engine.metadata_file) {
    if (std::string digest = staging.image_digest(); !digest.empty()) return digest;
  }
  return staging.image_id();
}

}  // namespace imagewright
