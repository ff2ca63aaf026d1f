// Image references: `[domain/]path[:tag][@digest]`. Pure text.
// Rules: distribution/reference.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "core/error.h"

namespace imagewright {

struct Reference {
  /// With the domain, as written: `test:5000/repo`.
  std::string repository;
  /// By the grammar alone: `a` of `a/b`; "" where the name has one component. (Whether `a` is a
  /// host or a user's name on Docker Hub is decided by `normalized`.)
  std::string domain;
  std::string tag;     ///< "" where there is none
  std::string digest;  ///< `sha256:…` or ""
};

/// Errors: empty, upper case, a wrong digest, a name over 255 characters, or any other breach of
/// the grammar.
tl::expected<Reference, ParseError> parse_reference(std::string_view text);

/// The reference in full, so that two spellings of one image are equal: `busybox` is
/// `docker.io/library/busybox:latest`, `index.docker.io/x/y` is `docker.io/x/y:latest`. The tag
/// `latest` is added only where there is neither tag nor digest.
std::string normalized(const Reference& reference);

}  // namespace imagewright
