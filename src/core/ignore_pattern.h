// One pattern of an ignore file: compiled once, then matched against paths. Knows nothing of files,
// lines or of how patterns follow one another (core/ignore). Rules: moby/patternmatcher, which
// makes a regular expression of a pattern, and Go's filepath.Match, by which it refuses malformed
// ones.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imagewright {

/// One piece of a pattern with wildcards.
struct IgnoreElement {
  enum class Kind {
    Literal,      // these bytes
    Any,          // `?`: one code point that is not `/`
    OneOf,        // `[…]`: one code point; `/` too
    Star,         // `*`: anything without `/`
    Directories,  // `**`: nothing, or anything that ends with `/`; no newline
    Rest,         // a `**` at the end: anything; no newline
  };
  Kind kind = Kind::Literal;
  std::string literal;
  std::vector<std::pair<char32_t, char32_t>> ranges;
  bool negated = false;
  std::size_t number = 0;  // among the stars and directories

  bool contains(char32_t point) const {
    const bool found = std::any_of(ranges.begin(), ranges.end(), [point](const auto& range) {
      return range.first <= point && point <= range.second;
    });
    return found != negated;
  }
};

/// One pattern, ready to be matched.
struct IgnorePattern {
  enum class Kind {
    Exact,      // the path is `start`
    Prefix,     // it begins with it
    Suffix,     // it ends with `end`
    Name,       // it ends with `end` as whole names (`**/a`)
    Flat,       // it ends with `end` and has no `/` (`*.a`)
    Extension,  // it ends with `end` (`**/*.a`)
    Sequence,   // it is what the elements say; `start` and `end` are its literal ends
    Odd,        // nobody knows
  };
  std::string text;  // cleaned, without the `!`
  bool exception = false;
  bool is_below = false;  // it matches not what the rest says, but all that is below that
  Kind kind = Kind::Exact;
  std::string start;
  std::string end;
  std::vector<IgnoreElement> elements;
  std::size_t wildcards = 0;

  /// Does it match this path itself? (A directory above it counts only for `is_below`.) An odd one
  /// does not.
  bool matches(std::string_view path) const;
  /// Could it match anything below this directory? Never wrongly false. An odd one could.
  bool could_match_below(std::string_view directory) const;

  /// Could it match a path that begins, or ends, with this byte? Most fail at one of the two.
  bool admits_start(char first) const;
  bool admits_end(char last) const;

  /// Do older matchers (docker 20.10, Buildah 1.28) match the same paths with it? They make a
  /// regular expression of every pattern, escape only `.` and `$`, and take `**a` for `**/a`.
  /// (Names with a newline aside.)
  bool is_read_alike() const;

 private:
  bool matches_itself(std::string_view path) const;
};

enum class IgnoreCompiled {
  Good,
  Odd,        ///< engines read it differently
  Malformed,  ///< moby's matcher refuses it, or would where it is tried
};

/// Compiles a cleaned pattern (without its `!`) into `pattern`.
IgnoreCompiled compile_ignore_pattern(std::string_view text, IgnorePattern& pattern);

/// The exception for all that is below what a pattern matches. Its text says the same.
IgnorePattern exception_below(IgnorePattern pattern);

/// U+FEFF as it stands at the beginning of some files.
inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace imagewright
