// The context that the next build of an image would get. Changes nothing.
#pragma once

#include <string>

#include "run/observe.h"
#include "run/project.h"

namespace imagewright {

struct NextContext {
  Observation observation;  ///< with its files
  Reach reach;              ///< what of it counts, and why if it is the whole
};

/// Looks at it. What bases bring is asked of `engine` (its name; "": the one that answers), and of
/// the state for images of the same file; without either they are not known. Throws Error(Source).
NextContext next_context(const Project& project, Observer& observer, const ImageConfig& image,
                         const std::string& engine);

}  // namespace imagewright
