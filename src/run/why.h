// Why an image would be built, or would not: each of its inputs as it was at the last success and
// as it is now. Builds nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/fingerprint.h"
#include "io/git.h"
#include "io/store.h"
#include "run/run.h"

namespace imagewright {

enum class InputFate { Same, Changed, Added, Removed };

/// "same", "changed", "added", "removed".
const char* word(InputFate fate);

struct ExplainedInput {
  InputFate fate = InputFate::Same;
  InputKind kind = InputKind::Context;
  std::string name;
  // Digests and values (Input); "": there was or is none, or, of a value, it is not known.
  std::string digest_before, digest_now;
  std::string before, now;
};

struct Explanation {
  ImageStatus status;                    ///< with the files that changed, in its reasons
  std::string engine;                    ///< that would build it
  std::optional<ImageRow> last;          ///< the last success
  std::optional<BuildRow> last_attempt;  ///< whether it succeeded or not
  std::vector<ExplainedInput> inputs;    ///< by kind, then name
  // Of a git source.
  std::string commit, tree;    ///< now; those before are in `last`
  GitCommits commits;          ///< that came since
  std::string why_no_commits;  ///< where they cannot be told
};

/// Of the image of this name in the configuration. `options`: its `images` are not looked at.
/// Throws as image_status.
Explanation explain_image(const Project& project, const RunOptions& options,
                          const std::string& image, Progress& progress);

}  // namespace imagewright
