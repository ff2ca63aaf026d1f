// The images that an engine has, as its lists say them, and what all engines' programs do with them
// alike. Knows nothing of building.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "io/process.h"

namespace imagewright {

/// All images that an engine has.
struct EngineImages {
  std::unordered_set<std::string> ids;                 ///< `sha256:…`
  std::unordered_map<std::string, std::string> names;  ///< ids by name, as the engine writes it

  /// Is this the name of that image? `localhost`: the engine calls an image without a registry
  /// `localhost/NAME`.
  bool is_named(const std::string& reference, const std::string& image_id, bool localhost) const;
};

/// How an engine writes a reference in its lists: the ways there are. `localhost`: as above.
std::vector<std::string> engine_spellings(const std::string& reference, bool localhost);

/// What a program lists as lines of an id, blanks and a name.
EngineImages read_image_list(const std::string& lines);

struct PushOutcome {
  Exit exit;
  std::string digest;   ///< of the manifest, `sha256:…`; "" unless it was pushed
  std::string message;  ///< what the engine said last
  bool ok() const { return exit.ok() && !digest.empty(); }
};

/// Runs a push, and leaves its digest to be found. Throws as run_command.
PushOutcome run_push(const Command& command);

/// Up to four attempts at a push, with pauses, unless it was interrupted or `stop` says true.
PushOutcome push_patiently(const std::function<PushOutcome()>& attempt,
                           const std::function<bool()>& stop = {});

/// Runs a pull. "": it is there; else why not. Throws as run_command.
std::string run_pull(const Command& command);

/// `PROGRAM rmi`, by the names that the image has, or, where it has none, by its id. "": it is
/// gone; else why not.
std::string remove_image_by(const std::string& program, const std::string& id,
                            const std::vector<std::string>& names);

}  // namespace imagewright
