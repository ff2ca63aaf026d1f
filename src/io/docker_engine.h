// Docker, by its CLI: BuildKit where the CLI and the daemon both can, else the classic builder,
// with a warning.
#pragma once

#include <filesystem>
#include <string>

#include "io/engine.h"

namespace imagewright {

/// A docker CLI and how it can build.
struct DockerCli {
  enum class Builder { BuiltIn, Buildx, Classic };
  std::string program;
  std::string version;  ///< "20.10.24+dfsg1"
  Builder builder = Builder::Classic;
};

/// How a CLI of this version can build: up to 22 BuildKit is built in; from 23 on it needs the
/// buildx plugin.
DockerCli::Builder docker_builder(const std::string& version, bool has_buildx);

class DockerEngine : public Engine {
 public:
  explicit DockerEngine(std::filesystem::path cache) : cache_(std::move(cache)) {}

  std::string name() const override { return "docker"; }
  std::set<std::string> image_ids() override;
  Readiness prepare() override;
  BuildOutcome build(const BuildRequest& request, const OnLine& on_line,
                     const OnTick& on_tick) override;

 private:
  std::filesystem::path cache_;
  DockerCli cli_;  // program "": not looked for yet
};

}  // namespace imagewright
