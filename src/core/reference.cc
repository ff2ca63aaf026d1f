#include "core/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/lower_case.h"
#include "core/shown.h"

namespace imagewright {

namespace {

constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxTag = 128;
constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kOldHub = "index.docker.io";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_alnum(char c) {
  return is_digit(c) || is_lower(c) || is_upper(c);
}
bool is_lower_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}
bool is_address(char c) {
  return is_lower_hex(c) || (c >= 'A' && c <= 'F') || c == ':';
}

template <typename Predicate>
bool all_of(std::string_view text, Predicate predicate) {
  return !text.empty() && std::all_of(text.begin(), text.end(), predicate);
}

// Calls `each` with every part between separators; stops at the first that does not satisfy it.
template <typename Predicate>
bool every_part(std::string_view text, char separator, Predicate each) {
  while (true) {
    const std::size_t end = text.find(separator);
    if (!each(text.substr(0, end))) return false;
    if (end == std::string_view::npos) return true;
    text.remove_prefix(end + 1);
  }
}

bool is_domain_label(std::string_view label) {
  return all_of(label, [](char c) { return is_alnum(c) || c == '-'; }) && label.front() != '-' &&
         label.back() != '-';
}

// A host name, an IPv4 address or a bracketed IPv6 address (without a zone), with or without a
// port.
bool is_domain(std::string_view text) {
  const bool bracketed = !text.empty() && text.front() == '[';
  const std::size_t host_end = bracketed ? text.find(']') : text.find(':');
  if (bracketed && host_end == std::string_view::npos) return false;
  const std::size_t host_size = bracketed ? host_end + 1 : std::min(host_end, text.size());
  const std::string_view host = text.substr(0, host_size);
  const std::string_view port = text.substr(host_size);
  if (!port.empty() && (port.front() != ':' || !all_of(port.substr(1), is_digit))) return false;
  if (bracketed) return all_of(host.substr(1, host.size() - 2), is_address);
  return every_part(host, '.', is_domain_label);
}

bool is_separator(std::string_view text) {
  return text == "." || text == "_" || text == "__" ||
         all_of(text, [](char c) { return c == '-'; });
}

// Lower-case letters and digits, in runs joined by `.`, `_`, `__` or any number of `-`.
bool is_path_component(std::string_view text) {
  const auto in_run = [](char c) { return is_lower(c) || is_digit(c); };
  if (text.empty() || !in_run(text.front()) || !in_run(text.back())) return false;
  auto at = text.begin();
  while (true) {
    const auto run_end = std::find_if_not(at, text.end(), in_run);
    if (run_end == text.end()) return true;
    at = std::find_if(run_end, text.end(), in_run);
    const auto start = static_cast<std::size_t>(run_end - text.begin());
    if (!is_separator(text.substr(start, static_cast<std::size_t>(at - run_end)))) return false;
  }
}

bool is_path(std::string_view text) {
  return every_part(text, '/', is_path_component);
}

bool is_tag(std::string_view text) {
  const auto in_tag = [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; };
  return all_of(text, in_tag) && text.size() <= kMaxTag && text.front() != '.' &&
         text.front() != '-';
}

// Only SHA-256: no registry in use serves images by another, and distribution/reference knows no
// other where the engines compile it in.
bool is_digest(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256:";
  return text.size() == kAlgorithm.size() + 64 && text.starts_with(kAlgorithm) &&
         all_of(text.substr(kAlgorithm.size()), is_lower_hex);
}

// The length of the domain that the grammar sees in a name: 0 where the name is all path.
std::size_t domain_size(std::string_view name) {
  const std::size_t slash = name.find('/');
  const bool has_domain = slash != std::string_view::npos && is_domain(name.substr(0, slash)) &&
                          is_path(name.substr(slash + 1));
  return has_domain ? slash : 0;
}

bool is_name(std::string_view name) {
  return is_path(name) || domain_size(name) > 0;
}

tl::unexpected<ParseError> wrong(std::string message) {
  return tl::make_unexpected(ParseError{std::move(message), 0, 0});
}

}  // namespace

tl::expected<Reference, ParseError> parse_reference(std::string_view text) {
  if (text.empty()) return wrong("an image name is empty");
  Reference reference;
  std::string_view name = text;
  if (const std::size_t at = name.find('@'); at != std::string_view::npos) {
    reference.digest = name.substr(at + 1);
    name = name.substr(0, at);
    if (!is_digest(reference.digest)) {
      return wrong(
          fmt::format("image name {} has a malformed digest: only sha256: and 64 lower-case "
                      "hexadecimal digits is one",
                      shown(text)));
    }
  }
  // A colon before the last slash belongs to a port.
  const std::size_t slash = name.rfind('/');
  const std::size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    reference.tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (!is_tag(reference.tag)) {
      return wrong(
          fmt::format("image name {} has a malformed tag: a tag is up to {} letters, digits, "
                      "'_', '.' and '-', and begins with none of the last two",
                      shown(text), kMaxTag));
    }
  }
  if (!is_name(name)) {
    if (is_name(lower_case(name))) {
      return wrong(fmt::format("image name {} must be lower case before the tag", shown(text)));
    }
    return wrong(fmt::format("image name {} is malformed: it is not [domain/]path[:tag][@digest]",
                             shown(text)));
  }
  if (name.size() > kMaxName) {
    return wrong(
        fmt::format("image name {} is too long: more than {} characters", shown(name), kMaxName));
  }
  reference.repository = name;
  reference.domain = name.substr(0, domain_size(name));
  return reference;
}

std::string normalized(const Reference& reference) {
  std::string_view domain = kHub;
  std::string_view path = reference.repository;
  const std::size_t slash = path.find('/');
  if (slash != std::string_view::npos) {
    // A first component is a host only if nothing but a host can look like it; else it is a user on
    // Docker Hub.
    const std::string_view first = path.substr(0, slash);
    const bool is_host = first == "localhost" ||
                         first.find_first_of(".:") != std::string_view::npos ||
                         std::any_of(first.begin(), first.end(), is_upper);
    if (is_host) {
      domain = first == kOldHub ? kHub : first;
      path.remove_prefix(slash + 1);
    }
  }
  const bool official = domain == kHub && path.find('/') == std::string_view::npos;
  std::string text;
  const auto add = [&](std::string_view separator, std::string_view part) {
    text += separator;
    text += part;
  };
  text.reserve(domain.size() + path.size() + reference.tag.size() + reference.digest.size() +
               std::string_view("/library/:latest@").size());
  add("", domain);
  add(official ? "/library/" : "/", path);
  if (!reference.tag.empty()) add(":", reference.tag);
  if (!reference.digest.empty()) add("@", reference.digest);
  if (reference.tag.empty() && reference.digest.empty()) add(":", "latest");
  return text;
}

}  // namespace imagewright
