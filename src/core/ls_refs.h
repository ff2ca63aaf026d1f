// Git's protocol, version 2, as far as it tells what refs mean: the question `ls-refs` and its
// answer, in pkt-lines. Pure.
// Rules: git's Documentation/gitprotocol-v2 and gitprotocol-common.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/error.h"

namespace imagewright {

/// One ref of a repository.
struct Ref {
  std::string name;    ///< in full: `refs/heads/x`, `HEAD`
  std::string id;      ///< 40 or 64 lower-case hexadecimal digits; "": HEAD, of no commit yet
  std::string peeled;  ///< what an annotated tag leads to in the end; "": it is none
  std::string target;  ///< of a symbolic ref: the name it stands for; else ""
  bool operator==(const Ref&) const = default;
};

/// The body of a question for these refs (full names), with what they peel to and stand for. For
/// very many names it is one for all branches, tags and HEAD.
std::string ls_refs_question(const std::set<std::string>& names);

/// Of an answer, the refs that are among `names`: what a server sends beside them is left out.
/// Errors: it is not whole, or no such answer at all.
tl::expected<std::vector<Ref>, ParseError> parse_ls_refs(std::string_view answer,
                                                         const std::set<std::string>& names);

}  // namespace imagewright
