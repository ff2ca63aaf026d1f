// Puts together what a verdict needs: the present manifest, the stored success, and whether the
// engine still has its image. The engine is asked once, while the inputs are looked at, and only if
// something is stored.
#pragma once

#include <future>
#include <set>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/verdict.h"
#include "io/engine.h"
#include "io/store.h"

namespace imagewright {

class Judge {
 public:
  /// Borrows store and engine. Asks the engine, in a thread of its own, if one of `images` has a
  /// stored success.
  Judge(Store& store, Engine& engine, const std::vector<ImageConfig>& images, bool force);

  /// Throws Error(Missing) if the engine does not answer.
  Verdict decide(const std::string& image, const Manifest& now);

 private:
  bool engine_has(const std::string& image_id);

  Store& store_;
  Engine& engine_;
  bool force_;
  std::shared_future<std::set<std::string>> image_ids_;
};

}  // namespace imagewright
