#include "core/submodules.h"

#include <fmt/format.h>

#include "core/shown.h"
#include "core/take_field.h"

namespace imagewright {

namespace {

tl::unexpected<ParseError> wrong(std::string message) {
  return tl::unexpected(ParseError{std::move(message)});
}

// Where the path of a URL or of `user@host:path` begins.
std::size_t path_of(std::string_view remote) {
  const std::size_t scheme = remote.find("://");
  if (scheme == std::string_view::npos) return remote.find(':') + 1;
  const std::size_t slash = remote.find('/', scheme + 3);
  return slash == std::string_view::npos ? remote.size() : slash + 1;
}

// "../other.git" against https://host/team/app.git is https://host/team/other.git.
tl::expected<std::string, ParseError> resolved(std::string remote, std::string_view url) {
  while (remote.ends_with('/')) remote.pop_back();
  const std::size_t path = path_of(remote);
  while (true) {
    if (url.starts_with("./")) {
      url.remove_prefix(2);
    } else if (url.starts_with("../")) {
      url.remove_prefix(3);
      if (remote.size() <= path) return wrong("the URL leaves its host");
      const std::size_t slash = remote.rfind('/');
      remote.resize(slash == std::string::npos || slash < path ? path : slash);
      while (remote.size() > path && remote.ends_with('/')) remote.pop_back();
    } else {
      break;
    }
  }
  if (url.find("..") != std::string_view::npos) return wrong("the URL leaves its host");
  while (url.ends_with('/')) url.remove_suffix(1);
  const bool wants_slash = !remote.ends_with('/') && !remote.ends_with(':');
  return remote + (wants_slash ? "/" : "") + std::string(url);
}

}  // namespace

std::map<std::string, Submodule> parse_submodules(std::string_view settings) {
  struct Named {
    std::string path;
    Submodule submodule;
  };
  constexpr std::string_view kSection = "submodule.";
  std::map<std::string, Named, std::less<>> by_name;
  while (!settings.empty()) {
    std::string_view value = take_field(settings, '\0');
    std::string_view key = take_field(value, '\n');
    const std::size_t dot = key.rfind('.');
    if (!key.starts_with(kSection) || dot < kSection.size()) continue;
    Named& named = by_name[std::string(key.substr(kSection.size(), dot - kSection.size()))];
    const std::string_view variable = key.substr(dot + 1);
    if (variable == "path") named.path = value;
    if (variable == "url") named.submodule.url = value;
    if (variable == "update") named.submodule.is_left = value == "none";
  }
  std::map<std::string, Submodule> by_path;
  for (auto& [name, named] : by_name) {
    while (named.path.ends_with('/')) named.path.pop_back();
    if (!named.path.empty()) by_path.emplace(std::move(named.path), std::move(named.submodule));
  }
  return by_path;
}

tl::expected<GitSource, ParseError> submodule_source(const GitSource& parent,
                                                     const std::string& url) {
  std::string full = url;
  if (url.starts_with("./") || url.starts_with("../")) {
    if (parent.local)
      return wrong("it is at a path on this machine, which only a configuration may name");
    auto found = resolved(parent.remote, url);
    if (!found) return wrong(found.error().message);
    full = *std::move(found);
  }
  auto source = parse_git_remote(full);
  if (!source) {
    std::string message = redacted(source.error().message);
    constexpr std::string_view kKey = "'git'";
    if (message.starts_with(kKey)) message.replace(0, kKey.size(), "its URL");
    return wrong(std::move(message));
  }
  if (source->local)
    return wrong("it is at a path on this machine, which only a configuration may name");
  return source;
}

}  // namespace imagewright
