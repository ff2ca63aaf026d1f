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
  bool has_short_names() const override { return true; }
  /// By Buildah where there is one with the same store: Podman works out a size for each image it
  /// lists, which takes minutes for some hundred images that share a layer.
  EngineImages images() override;
  Readiness prepare() override;
  std::string reference_to(const std::string& image_id) override { return bare_id(image_id); }
  std::optional<EngineImage> find_image(const std::string& image,
                                        const std::string& platform) override;
  BuildOutcome build(const BuildRequest& request, const OnLine& on_line) override;
  void tag(const std::string& image_id, const std::string& reference) override {
    tag_by(program_, image_id, reference);
  }
  std::set<std::string> used_image_ids() override { return used_images_by(program_); }
  std::string remove_image(const std::string& image_id,
                           const std::vector<std::string>& names) override {
    return remove_image_by(program_, bare_id(image_id), names);
  }
  std::string pull(const std::string& reference, bool insecure) override {
    return pull_by(program_, reference, insecure);
  }
  PushOutcome push(const std::string& image_id, const std::string& reference,
                   bool insecure) override {
    return push_by(program_, cache_, image_id, reference, insecure);
  }

 private:
  // Is there a Buildah with the same store?
  bool shares_buildahs_store() const;

  std::filesystem::path cache_;
  std::string program_;
  BuildahProgram podman_;  // program "": not looked at yet
};

}  // namespace imagewright
