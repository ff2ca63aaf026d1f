// What an engine can do, worked out from its own answers, and what follows from it for a build.
// Runs no program: values in, values out (and of this machine, its platform).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/staging.h"

namespace imagewright {

/// Who builds, and how its program is called.
enum class Builder {
  BuiltInBuildKit,  ///< BuildKit, by a docker CLI before 23
  Buildx,           ///< BuildKit, by the docker CLI's plugin
  Classic,          ///< docker's old builder
  Buildah,          ///< Buildah's code, in `buildah` and in `podman`
};

/// One engine, as it answered. Where an answer cannot be read, the careful value stands.
struct EngineCapabilities {
  std::string version;  ///< "20.10.24+dfsg1", for people
  Builder builder = Builder::Classic;

  /// The store knows an image by the digest of its manifest or index, not of its configuration
  /// (docker's containerd image store). What --iidfile says is then not always its id: buildx
  /// writes the configuration's digest where there are no attestations (docker/buildx#3952).
  bool ids_are_manifests = false;
  bool metadata_file = false;   ///< --metadata-file tells the image's digests
  bool named_contexts = false;  ///< --build-context
  bool heredocs = false;        ///< without a `# syntax` line, which wants the network
  bool maybe_heredocs = false;  ///< it depends on how it was built
  bool pull_policies = false;   ///< --pull takes always, missing or never; else it is only a yes
  /// Of a context that comes as a tar on stdin: the Dockerfile is one in it (else `-f` is a path
  /// outside).
  bool tar_holds_dockerfile = false;

  /// BuildKit: remembers a context by its directory's name, and compares size, mode and time.
  bool remembers_names = false;
  /// It reads `<Dockerfile>.dockerignore`, or can be told of an ignore file.
  bool takes_ignore_file = false;
  /// Takes some `!` rules otherwise than BuildKit does now (IgnoreRules::has_exceptions).
  bool older_ignore_rules = true;
  /// A RUN --mount of the context shows also what the ignore file leaves out.
  bool mounts_ignored_files = false;
  /// Takes a step from an earlier build if its text is the same, whatever an argument, a label or a
  /// mounted directory was then.
  bool steps_by_text = false;
  /// Takes a step from an earlier build if its secrets have the same ids, whatever they hold.
  bool secrets_by_id = false;

  bool cache_export = false;           ///< --cache-to
  bool cache_by_name = false;          ///< a cache is a repository's name, and nothing else
  bool resource_limits = false;        ///< --ulimit and --shm-size, and more than in its help
  bool any_network = false;            ///< besides none and host
  bool host_gateway = false;           ///< as an address of --add-host
  bool hosts_without_network = false;  ///< --add-host does something beside --network none
  bool more_rights = false;            ///< steps can be given all rights
  bool host_network_only = false;      ///< and no /dev/shm of its own: chroot isolation
};

/// What docker answers.
struct DockerAnswers {
  std::string cli;      ///< to `docker --version`
  std::string buildx;   ///< to `docker buildx version`; "": there is no such plugin
  std::string api;      ///< the daemon's Api-Version: "1.41"; "": not known
  std::string os;       ///< the daemon's Ostype
  bool podman = false;  ///< what answers at the daemon's address is Podman's service
  std::string info;     ///< the daemon's `/info`, JSON; "": not asked
};

/// `docker`, as it can build together with its daemon. From API 1.39 on a daemon has BuildKit,
/// except on Windows (its Builder-Version says only what it would do unasked), and Podman's service
/// never (containers/podman#17836).
EngineCapabilities docker_capabilities(const DockerAnswers& answers);

/// `answer`: what `buildah --version` says.
EngineCapabilities buildah_capabilities(const std::string& answer);

/// `info`: what `podman info --format json` says.
EngineCapabilities podman_capabilities(const std::string& info);

/// Is this what Podman says to `--version`? (Also of a `docker` that is the package podman-docker.)
bool is_podman(std::string_view version_answer);

/// Where Podman keeps its images, by `podman info --format json`; "": on another machine, or not
/// told.
std::string podman_store(const std::string& info);

/// "buildah 1.28.2 cannot do 'network': …", with why.
std::string cannot_do(const EngineCapabilities& engine, const std::string& name,
                      std::string_view key, std::string_view why);

/// What of the options the engine cannot do: "buildah 1.28.2 cannot do 'network': …", the first of
/// them; "": it can do all. `name` is the engine's.
std::string unsupported(const EngineCapabilities& engine, const std::string& name,
                        const BuildOptions& options);

/// The same of the Dockerfile: "buildah 1.28.2 cannot do heredocs (Dockerfile:8)"; "": as far as is
/// known here, it can do all.
std::string unsupported_instruction(const EngineCapabilities& engine, const std::string& name,
                                    const std::string& dockerfile);
/// Of both.
std::string unsupported_of(const EngineCapabilities& engine, const std::string& name,
                           const BuildRequest& request);

/// The options as arguments of the engine's program. Of a secret there is where it is to be had,
/// never what it is.
std::vector<std::string> option_arguments(const EngineCapabilities& engine,
                                          const BuildRequest& request, const Staging& staging);

/// How the context must be handed over for the image to hold exactly what was counted.
Staging::Context context_for(const EngineCapabilities& engine, const BuildRequest& request);

/// Can steps of earlier builds be taken without old content coming along?
bool earlier_steps_are_sound(const EngineCapabilities& engine, const BuildRequest& request);

/// The built image's id in the engine's store, from what the engine wrote of it; "": it wrote
/// nothing that is one.
std::string built_image_id(const EngineCapabilities& engine, const Staging& staging);

}  // namespace imagewright
