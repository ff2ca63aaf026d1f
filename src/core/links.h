// The images that an image is built from, as its Dockerfile and its configuration name them, and a
// Dockerfile in which some of them are named otherwise. Knows nothing of which images there are.
// Pure. Rules: semantics of BuildKit's frontend; core/stages.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/error.h"
#include "core/stages.h"

namespace imagewright {

/// How an image is used by another one. The order is that in which they are told.
enum class LinkKind {
  Base,       ///< FROM
  Copy,       ///< COPY --from
  Mount,      ///< RUN --mount=…,from=
  Syntax,     ///< `# syntax=`: it reads the Dockerfile
  DependsOn,  ///< `depends_on` says so
};

/// "from", "copy", "mount", "syntax", "depends-on": for programs; stable (docs/formats.md).
const char* word(LinkKind kind);

/// One use of an image by what is to be built.
struct Link {
  LinkKind kind = LinkKind::Base;
  std::string written;   ///< as the Dockerfile has it, variables replaced; the context's name
  std::string image;     ///< what it means: as written, or what a context of that name stands for
  std::string platform;  ///< of a base, if FROM says one
  int line = 0;          ///< in the Dockerfile; 0: the configuration says so
  /// What a context of that name is, if it is a directory; as the configuration writes it. Then
  /// there is no `image`.
  std::string directory = {};
  bool operator==(const Link&) const = default;
};

/// As which input an image from elsewhere is known (core/fingerprint): with the platform where FROM
/// says one.
std::string base_name(const Link& link);

/// Which platforms the automatic arguments speak of.
struct Platforms {
  std::string target;  ///< `linux/amd64`
  std::string build;
};

/// What the stages of an image's Dockerfile are asked for.
StageRequest request_for(const ImageConfig& image, const Platforms& platforms);

/// Is it Docker's own frontend, of whatever version (`# syntax=`; "": the engine's)? Only that one
/// is known to read a Dockerfile as core/stages does.
bool is_known_frontend(const std::string& syntax);

/// The image that an additional context is, as a reference or a name of this file; nullopt: it is
/// none.
std::optional<std::string> image_of_context(const std::string& value);
/// The directory that it is, as written; nullopt: it is none.
std::optional<std::string> directory_of_context(const std::string& value);

/// The image that a Dockerfile means by this name: as written, or what a context of that name
/// stands for.
std::string image_meant(const ImageConfig& image, const std::string& written);

/// What `image` is built from by a Dockerfile of this text: what the target reaches, stages of the
/// file itself left out; then `depends_on`. A Dockerfile for another frontend than Docker's
/// (`# syntax=`) is not looked into. Errors are those of the Dockerfile, with their line; an
/// additional context that is neither an image nor a directory; a FROM of one that is a directory.
tl::expected<std::vector<Link>, ParseError> find_links(std::string_view dockerfile,
                                                       const ImageConfig& image,
                                                       const Platforms& platforms);

/// What the target of a Dockerfile without errors stands on in the end, over stages of the file;
/// nullopt: nothing (`scratch`), or that cannot be told.
std::optional<Link> base_of_target(std::string_view dockerfile, const ImageConfig& image,
                                   const Platforms& platforms);

/// References for images, by what is written and the platform (Link).
using References = std::map<std::pair<std::string, std::string>, std::string>;

/// The Dockerfile with other references for images, that of its `# syntax` included: `references`
/// has ones that need no quotes. What it does not have stays as it is; and so do the numbers of
/// lines, unless a flag goes over several. Takes a Dockerfile in which find_links found no error.
std::string with_references(std::string_view dockerfile, const ImageConfig& image,
                            const Platforms& platforms, const References& references);

}  // namespace imagewright
