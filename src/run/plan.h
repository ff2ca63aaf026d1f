// What a run works on: the images that were asked for and what they stand on, each looked at, and
// who stands on whom. Decides nothing.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "core/graph.h"
#include "run/observe.h"
#include "run/project.h"

namespace imagewright {

/// One image, looked at.
struct PlannedImage {
  const ImageConfig* config = nullptr;  ///< the project's
  Observation observation;
  std::string error;  ///< what is wrong with its source or Dockerfile; then there is no observation
  bool is_taken = false;  ///< as it was built last: it was not looked at (Parents::AsTheyAre)
};

struct Plan {
  std::vector<PlannedImage> images;  ///< in the file's order
  Graph graph;                       ///< over them
};

/// Which of the images are parents of one with these links, by their numbers in the configuration.
/// `names`: of the configuration.
std::vector<Edge> edges_of(const ImageConfig& image, const std::vector<Link>& links,
                           const ImageNames& names);

/// What becomes of the images that others of a plan stand on.
enum class Parents {
  LookedAt,   ///< they are part of the plan like any other, and so is what they stand on
  AsTheyAre,  ///< they are in it, but not looked at
};

/// Looks at the images of these numbers and at all they stand on. What `observer` was told to look
/// ahead at is `selected`. `seen` is called with each one when it was looked at. Borrows the
/// project. Throws Error(Usage) for images that stand on each other. If the run is interrupted,
/// what was not looked at yet has an error.
Plan make_plan(const Project& project, Observer& observer, const ImageNames& names,
               const std::vector<std::size_t>& selected,
               const std::function<void(const PlannedImage& image)>& seen = {},
               Parents parents = Parents::LookedAt);

}  // namespace imagewright
