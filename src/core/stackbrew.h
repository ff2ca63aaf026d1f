// Files of docker's official images, in the stackbrew library format: paragraphs of `Field: value`
// (RFC 2822), the first for all; or, as they once were, lines of `TAG: REPOSITORY@COMMIT
// DIRECTORY`. Text in, images out; what they become in a configuration of ours is not known here.
// Pure. Rules: docker-library's bashbrew, with every value checked as one of a configuration is.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/error.h"
#include "core/source.h"

namespace imagewright {

/// One image: what is the same for some of an entry's architectures, or for all.
struct StackbrewImage {
  std::vector<std::string> tags;         ///< at least one; the first is how it is known
  std::vector<std::string> shared_tags;  ///< also images' for other platforms, or other constraints
  std::vector<std::string> platforms;    ///< `linux/arm64`; at least one
  std::vector<std::string> constraints;  ///< `name` or `!name`
  GitSource source;
  std::string dockerfile;  ///< "": Dockerfile
};

struct StackbrewLibrary {
  std::vector<std::string> maintainers;
  std::vector<StackbrewImage> images;  ///< in the file's order
  /// What is in the file and in none of these, with the line where it stands; that there is none.
  std::vector<std::string> warnings;
};

/// Does the text look like such a file, rather than like a configuration of ours?
bool is_stackbrew(std::string_view text);

/// Errors: what is no field, an entry without tags, repository or commit, a tag that is none or is
/// given twice, a repository, ref, commit or directory that no `from` could have.
tl::expected<StackbrewLibrary, ParseError> parse_stackbrew(std::string_view text);

}  // namespace imagewright
