// The names of images and their way to a registry: which an image is to have, which are still to be
// set or pushed, and doing it. Builds nothing and decides nothing about builds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/links.h"
#include "core/tags.h"
#include "io/engine.h"
#include "io/local_git.h"
#include "io/store.h"
#include "run/observe.h"

namespace imagewright {

/// What is still to be done for an image that the engine has.
struct Publication {
  std::string name;  ///< the image's in the configuration
  std::string image_id;
  std::vector<std::string> to_tag;   ///< references that it does not have yet
  std::vector<std::string> to_push;  ///< references under which it is not in their registry
  bool empty() const { return to_tag.empty() && to_push.empty(); }
};

/// "to be tagged a:1, to be pushed a:1": for people.
std::string describe(const Publication& publication);

/// One thread at a time, but for `push`.
class Publisher {
 public:
  /// Does an image have this name now?
  using IsNamed = std::function<bool(const std::string& reference, const std::string& image_id)>;

  /// Borrows all of them. `push_all`: what the configuration does not say is to be pushed, is.
  Publisher(const Project& project, Store& store, bool push_all, IsNamed is_named);

  /// For an image with this id that was built at `built_ms`, a moment ago (`fresh`: then it has no
  /// name yet but its own) or earlier. Throws Error(Source) for tags that cannot be made.
  Publication plan(const ImageConfig& image, const Observation& observation,
                   const std::string& image_id, std::int64_t built_ms, bool fresh);

  /// The labels that say where an image is from, where the configuration wants them
  /// (org.opencontainers.image.…). `base`: what its target stands on, if that is no parent;
  /// `inputs` has what it is.
  std::map<std::string, std::string> labels(const ImageConfig& image,
                                            const Observation& observation,
                                            const std::optional<Link>& base,
                                            const std::vector<Input>& inputs,
                                            const std::string& commit_time);

  /// Pushes it, up to four times where that fails, with pauses. Several threads may.
  PushOutcome push(Engine& engine, const std::string& image_id, const std::string& reference) const;

 private:
  const LocalGit& git_of(const ImageConfig& image);

  const Project& project_;
  Store& store_;
  bool push_all_;
  IsNamed is_named_;
  std::map<std::string, LocalGit> git_;  // by directory
};

}  // namespace imagewright
