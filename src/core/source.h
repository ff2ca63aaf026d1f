// What `from` means: a directory, or a git repository with ref and subdirectory. Pure text: nothing
// is looked up here, neither on the disk nor on the network. Rules: BuildKit's git context URLs
// and the original's (`git://…` and `github.com/…` are git).
// `github.com/…` is https here.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>

#include "core/error.h"

namespace imagewright {

/// A local directory, as written: relative paths are against the configuration's base directory.
struct DirectorySource {
  std::string path;
  bool operator==(const DirectorySource&) const = default;
};

struct GitSource {
  /// What git is asked for: a URL, an scp-like `user@host:path`, or a local path. As written, with
  /// credentials: show it only through `redacted`.
  std::string remote;
  /// "" is the remote's HEAD. A full `refs/…`, a branch or tag name, or a full commit id.
  std::string ref;
  /// "" is the root. As written; may begin with "/".
  std::string subdir;
  /// "" or (a prefix of) the commit id that `ref` must resolve to.
  std::string checksum;
  /// The remote is a path on this machine (only the map form `git: ../path` can say so).
  bool local = false;
  /// Its submodules' files are part of it, and its large files are those that Git LFS has. (An
  /// image's keys say so, or of submodules the URL.)
  bool submodules = false;
  bool lfs = false;
  /// "", or the full name of a ref in whose history the commit is, for a server that gives no
  /// commit by its id; a `*` at its end means all that begin so. No part of what the source is.
  std::string fetch = {};
  bool operator==(const GitSource&) const = default;
};

using Source = std::variant<DirectorySource, GitSource>;

/// How repositories are asked what their refs mean.
struct GitLimits {
  std::size_t jobs = 16;  ///< connections, and git processes, at once
  std::chrono::seconds connect_time{10};
  std::chrono::seconds idle_time{30};  ///< without an answer
  bool operator==(const GitLimits&) const = default;
};

/// Reads the string form of `from`. Errors (one sentence each): conflicting or unknown query
/// parameters, an https URL that does not name a `.git` repository, a leading `-` or a control
/// character where git could take it for an option, a subdirectory that leaves the checkout.
tl::expected<Source, ParseError> parse_source(std::string_view from);

/// Reads the `git:` of the map form: a URL as above but without `#…` or `?…` and without the need
/// for `.git` at its end, or a path (absolute, or relative to the configuration), which sets
/// `local`.
tl::expected<GitSource, ParseError> parse_git_remote(std::string_view remote);

/// The safety rules for the parts of a GitSource: none may begin with `-` or hold a control
/// character, and the subdirectory may not leave the checkout by `..`. (CVE-2017-1000117,
/// CVE-2018-17456, CVE-2019-13139.) Both parsers above have applied it already; the map form calls
/// it again with its parts.
tl::expected<void, ParseError> check_git_source(const GitSource& source);

/// The same text with `user:password@` or `token@` of every URL in it replaced by `xxxxx@`. A user
/// name alone that is `git` is kept. For everything that is shown, logged or stored; `text` may be
/// a whole line of a program's output.
std::string redacted(std::string_view text);

/// The source in one line for people: the path, or remote#ref:subdir, redacted.
std::string describe(const Source& source);

/// At least one digit, and nothing else, in either case.
bool is_hexadecimal(std::string_view text);

/// 40 or 64 hexadecimal digits.
bool is_full_git_id(std::string_view text);

}  // namespace imagewright
