// Buildah, by its program: needs no daemon. Knows nothing of why it builds.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "io/engine.h"
#include "io/engine_capabilities.h"

namespace imagewright {

/// A program of Buildah's build code, ready to build: `buildah` or `podman`.
struct BuildahProgram {
  std::string program;
  EngineCapabilities capabilities;
  std::vector<std::string> isolation;  ///< find_isolation
};

/// Sets the isolation, and what follows from it for what can be done.
void take_isolation(BuildahProgram& program, std::vector<std::string> arguments);

/// Engine::build by `PROGRAM build`: both take the same arguments, and need the same care. Staging
/// is below `cache`. Throws Error(Missing).
BuildOutcome build_by(const BuildahProgram& program, const std::filesystem::path& cache,
                      const BuildRequest& request, const OnLine& on_line);

/// "buildah 1.28.2 --runtime runc".
std::string describe(const std::string& name, const BuildahProgram& program);

/// An id without its algorithm: what both programs take for an image in a Dockerfile.
std::string bare_id(const std::string& image_id);
/// An image as an argument of theirs: by its bare id, or by the reference that it is.
std::string image_argument(const std::string& image);

/// All images by `PROGRAM images`. Throws Error(Missing).
EngineImages listed_images(const std::string& program);

/// Engine's questions and commands of these names, by Buildah or Podman.
std::set<std::string> used_images_by(const std::string& program);
void tag_by(const std::string& program, const std::string& image_id, const std::string& reference);
std::string pull_by(const std::string& program, const std::string& reference, bool insecure);
PushOutcome push_by(const std::string& program, const std::filesystem::path& cache,
                    const std::string& image_id, const std::string& reference, bool insecure);

/// By Buildah. (Podman's own listing leaves the ONBUILD out.)
std::optional<EngineImage> listed_image(const std::string& image, const std::string& platform);

class BuildahEngine : public Engine {
 public:
  explicit BuildahEngine(std::filesystem::path cache) : cache_(std::move(cache)) {}

  std::string name() const override { return "buildah"; }
  bool has_short_names() const override { return true; }
  EngineImages images() override { return listed_images("buildah"); }
  Readiness prepare() override;
  std::string reference_to(const std::string& image_id) override { return bare_id(image_id); }
  std::optional<EngineImage> find_image(const std::string& image,
                                        const std::string& platform) override {
    return listed_image(image, platform);
  }
  BuildOutcome build(const BuildRequest& request, const OnLine& on_line) override;
  void tag(const std::string& image_id, const std::string& reference) override {
    tag_by("buildah", image_id, reference);
  }
  std::set<std::string> used_image_ids() override { return used_images_by("buildah"); }
  std::string remove_image(const std::string& image_id,
                           const std::vector<std::string>& names) override {
    return remove_image_by("buildah", bare_id(image_id), names);
  }
  std::string pull(const std::string& reference, bool insecure) override {
    return pull_by("buildah", reference, insecure);
  }
  PushOutcome push(const std::string& image_id, const std::string& reference,
                   bool insecure) override {
    return push_by("buildah", cache_, image_id, reference, insecure);
  }

 private:
  std::filesystem::path cache_;
  BuildahProgram buildah_;  // program "": not looked at yet
};

}  // namespace imagewright
