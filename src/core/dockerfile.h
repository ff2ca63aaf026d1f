// A Dockerfile's text as instructions. Knows nothing of what they do, and puts in no variables.
// Pure. Rules: BuildKit's parser; where its versions differ, the newest.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/error.h"

namespace imagewright {

/// `<<NAME` and the lines up to NAME.
struct Heredoc {
  std::string name;
  int descriptor = 0;   ///< of `3<<NAME`
  bool expands = true;  ///< variables in it are replaced: the name has no quotes
  bool chomps = false;  ///< `<<-`: tabs at the beginning of lines do not count
  std::string content;  ///< with its line ends, and those tabs
  bool operator==(const Heredoc&) const = default;
};

/// A part of the file's text: bytes from its beginning, the end not included.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const Span&) const = default;
};

struct Instruction {
  std::string name;  ///< in lower case. What is no instruction is kept, without words.
  int line = 0;      ///< where it begins and where it ends, heredocs included, counted from 1
  int end_line = 0;
  std::vector<std::string> flags;  ///< `--mount=…`, without their quotes
  std::vector<Span> flag_spans;    ///< where each stands, as it is written. (Not of a trigger.)
  Span first_word;                 ///< of FROM: where its image stands
  /// Its arguments, each with its quotes and escapes. RUN, CMD, ENTRYPOINT, SHELL: one, the command
  /// as it stands, or where `is_json` the list's items. ENV and LABEL: name, value and "=" (or ""
  /// of the old form with a blank) for each pair. HEALTHCHECK: its type, then as CMD.
  std::vector<std::string> words;
  bool is_json = false;
  std::vector<Heredoc> heredocs;
  std::vector<Instruction> trigger;  ///< of ONBUILD: the one that it brings
};

struct Dockerfile {
  /// The image that reads the file, as its directive names it; "": the engine's own frontend.
  std::string syntax;
  int syntax_line = 0;  ///< where; 0: it has none
  char escape = '\\';
  std::vector<Instruction> instructions;  ///< at least one
};

/// Errors have a line. They are: no instruction, a bad or repeated directive, a line of more than
/// 65,535 bytes, JSON with other items than strings, ENV or LABEL without a value, a heredoc that
/// does not end.
tl::expected<Dockerfile, ParseError> parse_dockerfile(std::string_view text);

}  // namespace imagewright
