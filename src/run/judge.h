// Puts together what a verdict needs: the present manifest, the stored success, and whether the
// engine still has its image. The engine is asked once, and only if something is stored.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "core/verdict.h"
#include "io/engine.h"
#include "io/store.h"

namespace imagewright {

class Judge {
 public:
  /// Borrows both.
  Judge(Store& store, Engine& engine, bool force) : store_(store), engine_(engine), force_(force) {}

  /// Throws Error(Missing) if the engine does not answer.
  Verdict decide(const std::string& image, const Manifest& now);

 private:
  bool engine_has(const std::string& image_id);

  Store& store_;
  Engine& engine_;
  bool force_;
  std::optional<std::set<std::string>> image_ids_;
};

}  // namespace imagewright
