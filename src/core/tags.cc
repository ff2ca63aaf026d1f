#include "core/tags.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "core/digest.h"
#include "core/fingerprint.h"
#include "core/reference.h"
#include "core/shown.h"
#include "core/suggest.h"

namespace imagewright {

namespace {

const std::vector<std::string>& placeholders() {
  static const std::vector<std::string> all = {"git.short", "git.branch", "git.tag", "date",
                                               "digest.short"};
  return all;
}

// As a part of a tag.
std::string as_tag(std::string text) {
  for (char& c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '.') c = '-';
  }
  return text;
}

// nullopt: there is no such placeholder.
std::optional<std::string> value_of(std::string_view name, const TagFacts& facts) {
  if (name == "git.short") return short_digest(facts.commit);
  if (name == "git.branch") return as_tag(facts.branch);
  if (name == "git.tag") return as_tag(facts.tag);
  if (name == "date") return facts.date;
  if (name == "digest.short") return short_digest(facts.image_id);
  return std::nullopt;
}

struct Filled {
  std::string text;
  std::string missing;  // the placeholder of which nothing is known; "": none
};

tl::expected<Filled, ParseError> fill(std::string_view tag_template, const TagFacts& facts) {
  Filled filled;
  while (!tag_template.empty()) {
    const std::size_t open = tag_template.find('{');
    filled.text += tag_template.substr(0, open);
    if (open == std::string_view::npos) break;
    tag_template.remove_prefix(open + 1);
    const std::size_t close = tag_template.find('}');
    const std::string name(tag_template.substr(0, close));
    const auto value = value_of(name, facts);
    if (close == std::string_view::npos || !value) {
      return tl::unexpected(
          ParseError{fmt::format("there is no {} to be filled in{}", shown('{' + name + '}'),
                                 did_you_mean(name, placeholders()))});
    }
    if (value->empty() && filled.missing.empty()) filled.missing = name;
    filled.text += *value;
    tag_template.remove_prefix(close + 1);
  }
  return filled;
}

tl::expected<std::string, ParseError> reference_of(const std::string& text,
                                                   const std::string& name) {
  std::string reference = text;
  if (text.starts_with(':')) {
    const auto own = parse_reference(name);
    reference = (own ? own->repository : name) + text;
  }
  const auto parsed = parse_reference(reference);
  if (!parsed) return tl::unexpected(parsed.error());
  if (!parsed->digest.empty())
    return tl::unexpected(
        ParseError{"a tag cannot have a digest: an image has one once it is built"});
  return reference;
}

}  // namespace

bool has_placeholder(std::string_view tag_template) {
  return tag_template.find('{') != std::string_view::npos;
}

bool wants_git(std::string_view tag_template) {
  return tag_template.find("{git.") != std::string_view::npos;
}

bool wants_build(std::string_view tag_template) {
  return tag_template.find("{date}") != std::string_view::npos ||
         tag_template.find("{digest.short}") != std::string_view::npos;
}

tl::expected<void, ParseError> check_tag(std::string_view tag_template) {
  const TagFacts anything{"0123456789abcdef", "x", "x", "2026-03-21", "sha256:0123456789abcdef"};
  const auto filled = fill(tag_template, anything);
  if (!filled) return tl::unexpected(filled.error());
  const auto reference = reference_of(filled->text, "x");
  if (!reference) return tl::unexpected(reference.error());
  return {};
}

tl::expected<std::vector<std::string>, ParseError> references_for(
    const std::string& name, const std::vector<std::string>& templates, const TagFacts& facts) {
  std::vector<std::string> references = {name};
  std::vector<std::string> full = {normalized(*parse_reference(name))};
  for (const std::string& tag_template : templates) {
    const auto filled = fill(tag_template, facts);
    if (!filled) return tl::unexpected(filled.error());
    if (filled->missing == "git.branch" || filled->missing == "git.tag") continue;
    if (!filled->missing.empty()) {
      return tl::unexpected(ParseError{
          fmt::format("the tag {} cannot be made: {} is not known, as its source is not in git",
                      shown(tag_template), shown('{' + filled->missing + '}'))});
    }
    const auto reference = reference_of(filled->text, name);
    if (!reference) return tl::unexpected(reference.error());
    const std::string its = normalized(*parse_reference(*reference));
    if (std::find(full.begin(), full.end(), its) != full.end()) continue;
    full.push_back(its);
    references.push_back(*reference);
  }
  return references;
}

tl::expected<std::vector<std::string>, ParseError> fixed_references(
    const std::string& name, const std::vector<std::string>& templates) {
  std::vector<std::string> fixed;
  for (const std::string& tag : templates) {
    if (!has_placeholder(tag)) fixed.push_back(tag);
  }
  return references_for(name, fixed, {});
}

std::string fingerprint_reference(const std::string& name, const std::string& fingerprint,
                                  const std::string& engine, const std::string& platform) {
  const std::string all =
      fmt::format("{} {}\n{}\n{}\n", kFingerprintFormat, fingerprint, engine, platform);
  const auto own = parse_reference(name);
  return (own ? own->repository : name) + ":imagewright-" + hex(sha256(all)).substr(0, 32);
}

}  // namespace imagewright
