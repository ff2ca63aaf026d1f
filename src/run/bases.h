// What images bring into builds that stand on them: asked of the engine, once for each.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "core/reach.h"
#include "io/engine.h"

namespace imagewright {

/// May be used by several threads.
class Bases {
 public:
  /// Borrows the engine.
  explicit Bases(Engine& engine) : engine_(engine) {}

  /// As Engine::base_image. `anew`: it may have become another one since it was last asked for.
  std::optional<BaseImage> find(const std::string& image, const std::string& platform, bool anew);

 private:
  Engine& engine_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, BaseImage> known_;
};

}  // namespace imagewright
