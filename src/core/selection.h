// Which images of a file a run is about: those for one platform, where their constraints hold. Pure
// text. Rules: bashbrew's architectures and constraints.
#pragma once

#include <string>
#include <vector>

namespace imagewright {

/// What the user asks for.
struct Selection {
  /// "": as the file says; `native` (the machine's), or a platform.
  std::string platform;
  std::string host = "linux/amd64";  ///< what `native` is
  std::vector<std::string>
      constraints;  ///< that hold: words that mean what the user takes them for
};

/// An image of the file that the run is not about.
struct LeftOut {
  std::string name;
  std::string why;  ///< "it is for linux/arm64, not for linux/amd64"
};

/// Is `platform` one that a selection or a file may name: `native`, or OS/ARCH[/VARIANT]?
bool is_selectable_platform(const std::string& platform);

/// Why an image with these `platforms` and `constraints` is left out; "": it is not. Then, of
/// several platforms the chosen one stays alone, and an image without any gets one that is not the
/// machine's own. A constraint `x` holds if the selection has it, `!x` if it has not. `platform`:
/// the selection's, else the file's; "": all.
std::string why_left_out(const Selection& selection, const std::string& platform,
                         const std::vector<std::string>& constraints,
                         std::vector<std::string>& platforms);

/// Can two images of these platforms never be chosen at once? (Without platforms one is for any.)
bool are_disjoint(const std::vector<std::string>& platforms,
                  const std::vector<std::string>& others);

}  // namespace imagewright
