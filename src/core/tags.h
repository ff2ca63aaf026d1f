// The names under which an image is published: templates with placeholders, filled in. Pure.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/error.h"

namespace imagewright {

/// What is known of an image when it is published. "": not known.
struct TagFacts {
  std::string commit;    ///< of its source: a full git id
  std::string branch;    ///< as git has it: `feature/x`
  std::string tag;       ///< a git tag of that commit
  std::string date;      ///< when it was built: `2026-03-21`
  std::string image_id;  ///< `sha256:…`
};

/// Checks a template: text that becomes a reference, or `:TAG`, a tag for the image's own name,
/// with
/// `{git.short}`, `{git.branch}`, `{git.tag}`, `{date}` and `{digest.short}` in it. Errors: an
/// unknown placeholder, or what can be no reference whatever it is filled with.
tl::expected<void, ParseError> check_tag(std::string_view tag_template);

/// Does it hold a placeholder? One that does not is the same reference for every build.
bool has_placeholder(std::string_view tag_template);
/// One that wants to know of git?
bool wants_git(std::string_view tag_template);
/// One that another build makes another name of: `{date}`, `{digest.short}`?
bool wants_build(std::string_view tag_template);

/// The references for an image of this name: itself first, then the templates' in their order, no
/// two alike. A template whose git branch or tag is not known is left out. Errors: another fact
/// that is not known, a result that is no reference (what git calls a branch may be none:
/// characters that no tag can have become `-`).
tl::expected<std::vector<std::string>, ParseError> references_for(
    const std::string& name, const std::vector<std::string>& templates, const TagFacts& facts);

/// The same of those templates alone that hold no placeholder.
tl::expected<std::vector<std::string>, ParseError> fixed_references(
    const std::string& name, const std::vector<std::string>& templates);

/// The reference under which the registry of an image of this name keeps what was built from these
/// inputs, so that whoever has the same inputs finds it (docs/formats.md): in its repository, the
/// tag `imagewright-` and 32 hexadecimal digits. `fingerprint`: Manifest::digest. What another
/// engine builds, or is built for another platform, has another one.
std::string fingerprint_reference(const std::string& name, const std::string& fingerprint,
                                  const std::string& engine, const std::string& platform);

}  // namespace imagewright
