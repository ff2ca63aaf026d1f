// A run's look at its images without a lock and without writing: what would be built, and why.
// Decides as a run does (run/judge).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/engine.h"
#include "io/store.h"
#include "run/bases.h"
#include "run/judge.h"
#include "run/observe.h"
#include "run/outside.h"
#include "run/plan.h"
#include "run/publish.h"
#include "run/registry_state.h"
#include "run/run.h"

namespace imagewright {

/// One image, reviewed.
struct Reviewed {
  ImageStatus status;
  /// Its inputs now, with what it stands on; empty where it could not be looked at.
  std::vector<Input> inputs;
  Origin origin;
  std::string digest = {};  ///< over its inputs; "": it could not be looked at
  /// A registry has it, and no run has recorded that yet.
  bool is_only_found = false;
  std::vector<std::string> parents = {};  ///< what it stands on
  /// Of those, what has to be built or recorded first, or cannot be looked at.
  std::vector<std::string> stale_parents = {};
};

class Review {
 public:
  /// Borrows all of them. Throws as image_status.
  Review(const Project& project, const RunOptions& options, Progress& progress);

  /// All images that were asked for and what they stand on, in the file's order. `keep_inputs`:
  /// with their inputs, for which there is a price where there are many.
  std::vector<Reviewed> look(bool keep_inputs);

  /// Of one that was looked at: what led to its commit. Throws as Observer::commits_since.
  GitCommits commits_since(const std::string& image, const std::string& before);

  Store& store() { return store_; }
  const Engine& engine() const { return *engine_; }

 private:
  void look_at(std::size_t i);
  void judge(std::size_t i, ImageStatus& status);
  std::optional<FoundImage> find_in_registry(std::size_t i, Decision& decision,
                                             const StandsOn& stands_on);
  void judge_publication(std::size_t i, ImageStatus& status, const PublishedImage& image);
  std::optional<ParentImage> find_parent(const Link& link, const ImageConfig& image) const;

  const Project& project_;
  const RunOptions& options_;
  Progress& progress_;
  std::vector<std::size_t> selected_;
  std::unique_ptr<Engine> engine_;
  Store store_;
  Observer observer_;
  std::optional<Judge> judge_;
  std::optional<ImageNames> names_;
  Outside outside_;
  std::optional<Bases> bases_;
  std::optional<RegistryState> registry_state_;
  std::optional<Publisher> publisher_;
  Plan plan_;
  std::vector<Reviewed> all_;
  bool keep_inputs_ = false;
};

}  // namespace imagewright
