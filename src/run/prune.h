// What is not needed any more: rows, history and logs of images that left the configuration, images
// of ours that others have taken the place of, caches that nobody has written for long. Finds it,
// and removes it. Touches nothing that somebody else made or uses.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "run/run.h"

namespace imagewright {

struct PruneOptions {
  std::string engine;   ///< "": by the configuration, else the one that answers
  bool remove = false;  ///< else it is only found
  int keep = 1;         ///< so many superseded images of each name stay
  std::chrono::milliseconds grace{std::chrono::hours(24)};  ///< what went out of use later stays
  bool wait = true;                                         ///< wait for a run over the same state
};

enum class PruneKind { Row, Image, Logs, Cache };

/// "row", "image", "logs", "cache": for programs; stable (docs/formats.md).
const char* word(PruneKind kind);

struct PruneItem {
  PruneKind kind = PruneKind::Cache;
  std::string what;         ///< an image's name, an id, a path
  std::string why;          ///< a part of a sentence
  std::uint64_t bytes = 0;  ///< on the disk, as far as it is known
  std::string left;         ///< why it was not removed after all; "": it was, or nothing was to be
};

/// In the order in which they are removed. Throws Error(Missing) for what it needs, Error(Usage)
/// for an unknown engine.
std::vector<PruneItem> prune(const Project& project, const PruneOptions& options,
                             Progress& progress);

}  // namespace imagewright
