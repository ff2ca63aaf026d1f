// `.dockerignore`: which paths of a context are left out. Knows nothing of directories on disk: it
// is told paths and answers. Rules: moby/patternmatcher, its top-down form
// (MatchesUsingParentResults), and its ignorefile reader. Each directory's result per pattern feeds
// its children.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/error.h"

namespace imagewright {

/// The parsed rules of one ignore file. Immutable and cheap to share between threads.
class IgnoreRules {
 public:
  /// Which patterns matched a directory: what its children need to know. Default constructed: the
  /// root's. For up to 64 patterns it allocates nothing.
  struct Matched {
    bool is_known = false;
    std::uint64_t first = 0;          // a bit a pattern
    std::vector<std::uint64_t> more;  // from the 65th on
  };

  /// No rule: nothing is ignored.
  IgnoreRules();
  ~IgnoreRules();
  IgnoreRules(const IgnoreRules&);
  IgnoreRules& operator=(const IgnoreRules&);
  IgnoreRules(IgnoreRules&&) noexcept;
  IgnoreRules& operator=(IgnoreRules&&) noexcept;

  /// Reads the text of an ignore file. Errors (with the line): a lone `!`, a line over 64 KiB, a
  /// malformed pattern (`[`, `[x-]`).
  static tl::expected<IgnoreRules, ParseError> parse(std::string_view text);

  /// Is `path` ignored? `path` is relative, `/`-separated, without a leading or trailing `/`.
  /// `parent` is what `match` gave for its directory (default constructed for the entries of the
  /// root). `matched`, if not null, receives what the entries below `path` need. For `path` in
  /// `a/b/c` form only: the caller walks top-down.
  bool match(std::string_view path, const Matched& parent, Matched* matched) const;

  /// Can an ignored directory be left unread? Not if a `!` pattern could match something below it.
  bool can_prune(std::string_view directory) const;

  bool empty() const;

  /// Do older engines read them otherwise? Docker 20.10 and Buildah 1.28 take many `!` rules
  /// otherwise, and some patterns: regular expressions of all but `.` and `$` where there should be
  /// a text (`a+b`, `f(x)`), and `**a` for `**/a`. What they are to build from must be a copy of
  /// what counts.
  bool has_exceptions() const;

  /// The patterns as they are taken, one a line, cleaned: a current engine that reads them comes to
  /// the same answers (names with a newline aside, where a pattern is odd). Older ones do where
  /// `has_exceptions` is false.
  std::string text() const;

  /// Patterns that are taken otherwise than they may be meant, such that more is included, because
  /// one among them is odd: engines read it differently (one sentence each).
  const std::vector<std::string>& warnings() const;

 private:
  struct Rules;
  std::shared_ptr<const Rules> rules_;
};

/// Does one pattern alone ignore one path, itself or by a directory above it? An error is a
/// malformed pattern: what Go's filepath.Match refuses, as far as moby's matcher asks it, and what
/// its regular expression cannot hold. An odd pattern ignores nothing.
tl::expected<bool, ParseError> glob_match(std::string_view pattern, std::string_view path);

}  // namespace imagewright
