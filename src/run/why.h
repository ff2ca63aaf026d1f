// Why an image would be built, or would not: each of its inputs as it was at the last success and
// as it is now. Builds nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/fingerprint.h"
#include "io/git.h"
#include "io/store.h"
#include "run/observe.h"
#include "run/run.h"

namespace imagewright {

struct Explanation {
  ImageStatus status;                    ///< with the files that changed, in its reasons
  std::string engine;                    ///< that would build it
  std::optional<ImageRow> last;          ///< the last success
  std::optional<BuildRow> last_attempt;  ///< whether it succeeded or not
  std::vector<Input> before;             ///< its inputs at the last success
  std::vector<Input> now;                ///< empty: it cannot be looked at
  /// Both, side by side; empty where it is not known what is the same. Borrows from this.
  std::vector<ComparedInput> inputs() const {
    return now.empty() ? std::vector<ComparedInput>() : compare(before, now);
  }
  Origin origin;               ///< now; what it was is in `last`
  GitCommits commits;          ///< that came since
  std::string why_no_commits;  ///< where they cannot be told
};

/// Of the image of this name in the configuration. `options`: its `images` are not looked at.
/// Throws as image_status.
Explanation explain_image(const Project& project, const RunOptions& options,
                          const std::string& image, Progress& progress);

}  // namespace imagewright
