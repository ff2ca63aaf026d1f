// What of its context a build can read, by its Dockerfile: the rest neither counts nor is sent.
// Knows nothing of disks: where a path leads over symlinks is io/reached_links. Pure. Rules:
// BuildKit's dockerfile2llb; semantics of COPY, ADD and bind mounts in the Dockerfile reference.
// Wherever something is not known for sure, it is the whole context.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/context.h"
#include "core/ignore.h"
#include "core/links.h"

namespace imagewright {

/// What an image brings into a build that stands on it.
struct BaseImage {
  std::vector<std::string> environment;  ///< `NAME=value`
  std::vector<std::string> triggers;     ///< its ONBUILD instructions
  bool operator==(const BaseImage&) const = default;
};

/// Of an image that a FROM names; nullopt: not known.
using BaseImages = std::function<std::optional<BaseImage>(const Link& base)>;

struct Reach {
  /// "": the whole context. Else lines, sorted, each a path behind a `/`, in which `*` and `?`
  /// stand for what they do in a shell; what is below such a path belongs to it. `-`: nothing.
  /// Stored as it is (docs/formats.md).
  std::string text = {};
  std::string why_whole = {};  ///< where it is the whole context; a part of a sentence
  bool for_a_base = false;     ///< and that is for a base that is not known
  /// There are stages that the target does not need, whose instructions are left out of account.
  /// Some engines run them all the same, and they fail without their files.
  bool skips_stages = false;
};

/// Takes a Dockerfile in which find_links found no error. `bases` is asked only where all else
/// allows to leave something out.
Reach find_reach(std::string_view dockerfile, const ImageConfig& image, const Platforms& platforms,
                 const BaseImages& bases);

/// The paths of a Reach's text, without their `/`.
std::vector<std::string> reach_paths(std::string_view text);

/// A path as one of a reach: it matches itself, and what is spelled like it but for characters that
/// patterns take otherwise somewhere.
std::string as_reach_path(std::string_view path);

/// Rules that ignore whatever none of these paths reaches.
IgnoreRules rules_for(const std::set<std::string>& paths);

/// The entries that such rules leave, with the directories above them. `entries` is sorted by path,
/// and so is what it gives.
std::vector<Entry> reached(const std::vector<Entry>& entries, const IgnoreRules& rules);

}  // namespace imagewright
