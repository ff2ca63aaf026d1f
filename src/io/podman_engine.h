// Podman, by its program: Buildah's build code, with a store that Buildah can share. Knows nothing
// of why it builds.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "io/buildah_engine.h"

namespace imagewright {

class PodmanEngine : public Engine {
 public:
  /// `program`: podman's name or path; or that of a `docker` which is podman.
  PodmanEngine(std::filesystem::path cache, std::string program)
      : cache_(std::move(cache)), program_(std::move(program)) {}

  std::string name() const override { return "podman"; }
  /// By Buildah where there is one with the same store: Podman works out a size for each image it
  /// lists, which takes minutes for some hundred images that share a layer.
  std::set<std::string> image_ids() override;
  Readiness prepare() override;
  std::string reference_to(const std::string& image_id) override { return bare_id(image_id); }
  std::optional<EngineImage> find_image(const std::string& image,
                                        const std::string& platform) override;
  BuildOutcome build(const BuildRequest& request, const OnLine& on_line) override;

 private:
  // Is there a Buildah with the same store?
  bool shares_buildahs_store() const;

  std::filesystem::path cache_;
  std::string program_;
  BuildahProgram podman_;  // program "": not looked at yet
};

}  // namespace imagewright
