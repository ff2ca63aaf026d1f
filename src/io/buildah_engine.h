// Buildah, by its program: needs no daemon. Knows nothing of why it builds.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/engine.h"

namespace imagewright {

class BuildahEngine : public Engine {
 public:
  explicit BuildahEngine(std::filesystem::path cache) : cache_(std::move(cache)) {}

  std::string name() const override { return "buildah"; }
  std::set<std::string> image_ids() override;
  Readiness prepare() override;
  BuildOutcome build(const BuildRequest& request, const OnLine& on_line,
                     const OnTick& on_tick) override;

 private:
  std::filesystem::path cache_;
  std::string version_;
  bool prepared_ = false;
  std::vector<std::string> isolation_;  // the arguments under which a RUN works here
};

}  // namespace imagewright
