// What `.gitmodules` says: where the repositories are that a repository's submodules come from.
// Written by whoever wrote the repository, so nothing in it is believed. Pure. Rules:
// gitmodules(5), and git's own for URLs that are relative to the repository's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "core/error.h"
#include "core/source.h"

namespace imagewright {

struct Submodule {
  std::string url;       ///< as written
  bool is_left = false;  ///< `update = none`: git leaves it empty
};

/// By path, from what `git config -z --get-regexp ^submodule\.` prints of that file.
std::map<std::string, Submodule> parse_submodules(std::string_view settings);

/// Where a submodule of `parent` at this URL comes from: a remote and nothing else. Errors: a URL
/// that no `git` in a configuration could be, a path on this machine, a relative URL that leaves
/// its host. (CVE-2017-1000117, CVE-2018-17456, CVE-2022-39253.)
tl::expected<GitSource, ParseError> submodule_source(const GitSource& parent,
                                                     const std::string& url);

}  // namespace imagewright
