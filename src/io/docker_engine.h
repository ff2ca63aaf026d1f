// Docker, by its CLI: BuildKit where the CLI and the daemon both can, else the classic builder,
// with a warning.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "io/docker_run_tags.h"
#include "io/engine.h"
#include "io/engine_capabilities.h"

namespace imagewright {

/// A program of the name `docker`.
struct DockerCli {
  std::string path;    ///< "": there is none
  std::string answer;  ///< to --version; "": it says no version that is known here
  std::string buildx;  ///< to `buildx version`; "": it has no such plugin
  bool is_podman = false;
};

/// The `docker` on PATH to use: the first that can build with BuildKit, else the first of Docker,
/// else one that is Podman, else any. Each is asked once, and its answers remembered in `cache`.
DockerCli find_docker_cli(const std::filesystem::path& cache);

class DockerEngine : public Engine {
 public:
  /// `cli`: a docker that is Docker.
  DockerEngine(std::filesystem::path cache, DockerCli cli)
      : cache_(std::move(cache)), cli_(std::move(cli)) {}

  std::string name() const override { return "docker"; }
  EngineImages images() override;
  Readiness prepare() override;
  std::string reference_to(const std::string& image_id) override;
  std::string name_for_made() override;
  std::optional<EngineImage> find_image(const std::string& image,
                                        const std::string& platform) override;
  BuildOutcome build(const BuildRequest& request, const OnLine& on_line) override;
  void tag(const std::string& image_id, const std::string& reference) override;
  std::set<std::string> used_image_ids() override;
  std::string remove_image(const std::string& image_id,
                           const std::vector<std::string>& names) override {
    return remove_image_by(cli_.path, image_id, names);
  }
  // (Whether by plain http is the daemon's own setting.)
  std::string pull(const std::string& reference, bool /*insecure*/) override {
    return run_pull({.argv = {cli_.path, "pull", reference}});
  }
  PushOutcome push(const std::string& image_id, const std::string& reference,
                   bool insecure) override;

 private:
  std::filesystem::path cache_;
  DockerCli cli_;
  EngineCapabilities capabilities_;
  bool prepared_ = false;
  std::optional<DockerRunTags> tags_;  // once one is needed
};

}  // namespace imagewright
