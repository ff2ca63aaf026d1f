// Where the paths that a build reads of its context lead over symlinks: part by part, and never out
// of the context, as engines follow them. Knows nothing of Dockerfiles.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace imagewright {

/// `paths` (core/reach) of the context in `root`, with every symlink on their way and what it leads
/// to; what is not there is no error. Throws Error(Source) where the way cannot be looked at.
std::set<std::string> with_links_followed(const std::string& root,
                                          const std::vector<std::string>& paths);

}  // namespace imagewright
