#include "core/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "core/lower_case.h"
#include "core/shown.h"

namespace imagewright {

namespace {

constexpr std::string_view kGitHub = "github.com/";
constexpr auto kNone = std::string_view::npos;

tl::unexpected<ParseError> wrong(std::string message) {
  return tl::make_unexpected(ParseError{std::move(message), 0, 0});
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}
bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), is_control);
}

std::optional<int> hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

// nullopt: a `%` without two hexadecimal digits behind it.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const auto high = hex_value(text[i + 1]);
    const auto low = hex_value(text[i + 2]);
    if (!high || !low) return std::nullopt;
    decoded += static_cast<char>(*high * 16 + *low);
    i += 2;
  }
  return decoded;
}

// As in forms: `+` is a blank.
std::optional<std::string> query_decoded(std::string text) {
  std::replace(text.begin(), text.end(), '+', ' ');
  return percent_decoded(text);
}

std::pair<std::string_view, std::optional<std::string_view>> cut(std::string_view text, char at) {
  const std::size_t found = text.find(at);
  if (found == kNone) return {text, std::nullopt};
  return {text.substr(0, found), text.substr(found + 1)};
}

// What stands before `://`, lower case; "" where there is no scheme.
std::string scheme_of(std::string_view text) {
  const std::size_t end = text.find("://");
  if (end == kNone || end == 0 || !is_letter(text[0])) return "";
  const std::string_view scheme = text.substr(0, end);
  for (const char c : scheme) {
    if (!is_letter(c) && !is_digit(c) && c != '+' && c != '-' && c != '.') return "";
  }
  return lower_case(scheme);
}

bool is_web(std::string_view scheme) {
  return scheme == "https" || scheme == "http";
}
bool is_git_scheme(std::string_view scheme) {
  return is_web(scheme) || scheme == "ssh" || scheme == "git";
}

// `ext::sh -c …` and the like: git would run a program of that name.
bool names_remote_program(std::string_view text) {
  const std::size_t end = text.find("::");
  if (end == kNone || end == 0) return false;
  return std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), [](char c) {
    return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  });
}

constexpr std::string_view kMark = "://";

// `redacted`, with what ends a URL in the text.
std::string redact(std::string_view text, std::string_view ends) {
  std::string safe;
  while (true) {
    const std::size_t mark = text.find(kMark);
    if (mark == kNone) return safe.append(text);
    safe.append(text.substr(0, mark + kMark.size()));
    text.remove_prefix(mark + kMark.size());
    const std::string_view rest = text.substr(0, text.find_first_of(ends));
    std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
    // A password with a bare `/` or `://` in it is no valid URL, but it is still a password: no
    // port is a word, or nothing.
    const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : kNone;
    const std::size_t colon = authority.find(':', bracket == kNone ? 0 : bracket);
    const std::string_view port = colon == kNone ? "0" : authority.substr(colon + 1);
    const bool is_cut = authority.find('@') == kNone &&
                        (port.empty() || !std::all_of(port.begin(), port.end(), is_digit));
    if (is_cut) authority = rest;
    const std::size_t at = authority.rfind('@');
    if (at == kNone) continue;
    safe.append(authority.substr(0, at) == "git" ? "git@" : "xxxxx@");
    text.remove_prefix(at + 1);
  }
}

// For messages about a text that is one URL or none: here a blank does not end it.
std::string redact_whole(std::string_view text) {
  return redact(text, "");
}

// What stands behind a `?` or `#` is left out: it may hold a token.
std::string shown_remote(std::string_view text) {
  const std::string safe = redact_whole(text);
  return shown(std::string_view(safe).substr(0, safe.find_first_of("?#")));
}

struct Remote {
  std::string_view user;  // with the password
  std::string_view host;
  std::string_view port;
  std::string_view path;
};

// The parts of `scheme://user@host:port/path`.
Remote split_url(std::string_view url) {
  Remote remote;
  std::string_view authority = url.substr(url.find("://") + 3);
  if (const std::size_t slash = authority.find('/'); slash != kNone) {
    remote.path = authority.substr(slash);
    authority = authority.substr(0, slash);
  }
  if (const std::size_t at = authority.rfind('@'); at != kNone) {
    remote.user = authority.substr(0, at);
    authority.remove_prefix(at + 1);
  }
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : kNone;
  const std::size_t colon = authority.find(':', bracket == kNone ? 0 : bracket);
  remote.host = authority.substr(0, colon);
  if (colon != kNone) remote.port = authority.substr(colon + 1);
  return remote;
}

// The parts of `user@host:path`; nullopt where the text is not of that form.
std::optional<Remote> split_scp(std::string_view text) {
  const auto [user, rest] = cut(text, '@');
  if (!rest) return std::nullopt;
  const auto [host, path] = cut(*rest, ':');
  if (!path || user.empty() || host.empty()) return std::nullopt;
  const auto in_user = [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; };
  const auto in_host = [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '.'; };
  if (!std::all_of(user.begin(), user.end(), in_user)) return std::nullopt;
  if (!std::all_of(host.begin(), host.end(), in_host)) return std::nullopt;
  return Remote{user, host, {}, *path};
}

tl::expected<void, ParseError> check_part(std::string_view what, std::string_view value) {
  if (value.starts_with('-')) {
    return wrong(fmt::format("{} {} begins with '-', which git would take for an option", what,
                             shown(redact_whole(value))));
  }
  if (has_control(value)) return wrong(fmt::format("{} holds a control character", what));
  return {};
}

tl::expected<void, ParseError> check_remote_part(std::string_view what, std::string_view value) {
  // git decodes the parts before it hands them to ssh or to a credential helper.
  const auto decoded = percent_decoded(value);
  if (!decoded) return wrong(fmt::format("{} has a '%' without two hexadecimal digits", what));
  return check_part(what, *decoded);
}

// Of a URL as it is written: a `/`, `?` or `#` in a password ends what comes before the host, and
// what is left of it is no port.
tl::expected<void, ParseError> check_port(std::string_view url) {
  const std::size_t mark = url.find(kMark);
  if (mark == kNone) return {};
  const std::string_view head = url.substr(0, url.find_first_of("/?#", mark + kMark.size()));
  const Remote remote = split_url(head);
  // (`host:/path` may be; but what ends in `@` is a login.)
  const bool is_login =
      remote.user.empty() && head.ends_with(':') && url.find('@', head.size()) != kNone;
  if (!is_login && std::all_of(remote.port.begin(), remote.port.end(), is_digit)) return {};
  return wrong(fmt::format(
      "the git remote {} has a port that is no number (in a password '/' is %2F, '?' is %3F and "
      "'#' is %23)",
      shown_remote(url)));
}

tl::expected<void, ParseError> check_remote(std::string_view text) {
  if (auto whole = check_part("the git remote", text); !whole) return whole;
  const std::string scheme = scheme_of(text);
  const auto scp = scheme.empty() ? split_scp(text) : std::nullopt;
  if (scheme.empty() && !scp) return wrong("the git remote is neither a URL nor user@host:path");
  if (!scheme.empty() && !is_git_scheme(scheme)) {
    return wrong(
        fmt::format("git over {} is not available: use https, http, ssh or git", shown(scheme)));
  }
  // Neither form of a source leaves one: it would be in a login, and end the URL for whoever hides
  // that.
  if (!scp && text.find_first_of("?#") != kNone) {
    return wrong("the git remote holds a '?' or a '#': write them as %3F and %23");
  }
  const Remote remote = scp ? *scp : split_url(text);
  if (remote.host.empty()) {
    return wrong(fmt::format("the git remote {} names no host", shown_remote(text)));
  }
  if (auto port = check_port(scp ? "" : text); !port) return port;
  // A program's message may quote it, and there a blank would end the URL.
  if (remote.user.find(' ') != kNone) {
    return wrong("the git remote's login holds a blank: write it as %20");
  }
  // scp-like paths are never decoded, but a check that decodes them is only stricter.
  auto path = scp ? check_part("the git remote's path", remote.path)
                  : check_remote_part("the git remote's path", remote.path);
  if (!path) return path;
  if (auto host = check_remote_part("the git remote's host", remote.host); !host) return host;
  // Neither part of a login may be shown.
  return check_remote_part("the git remote's login", remote.user).map_error([](const ParseError&) {
    return ParseError{"the git remote's login begins with '-' or holds what no login can", 0, 0};
  });
}

// git-check-ref-format(1): the rest of what no ref may hold is also what makes a refspec or a
// revision expression of a name (`a:refs/heads/b`, `refs/*`, `HEAD~1`).
tl::expected<void, ParseError> check_ref(std::string_view ref) {
  // (`branch: X` and `tag: X` arrive with what makes them full.)
  std::string_view name = ref;
  for (const std::string_view kind : {"refs/heads/", "refs/tags/"}) {
    if (ref.starts_with(kind)) name.remove_prefix(kind.size());
  }
  if (auto part = check_part("the git ref", name); !part) return part;
  if (ref.find_first_of(" ~^:?*[\\") != kNone || ref.find("..") != kNone ||
      ref.find("@{") != kNone) {
    return wrong(
        fmt::format("the git ref {} holds what no branch, tag or commit id can", shown(ref)));
  }
  return {};
}

tl::expected<void, ParseError> check_fetch(std::string_view fetch) {
  if (fetch.empty()) return {};
  if (!fetch.starts_with("refs/")) {
    return wrong(fmt::format(
        "'fetch' must be the full name of a ref, like refs/heads/main, and not {}", shown(fetch)));
  }
  if (fetch.ends_with("/*")) fetch.remove_suffix(2);
  return check_ref(fetch);
}

tl::expected<void, ParseError> check_subdir(std::string_view subdir) {
  if (auto part = check_part("the subdirectory", subdir); !part) return part;
  int depth = 0;
  std::optional<std::string_view> rest = subdir;
  while (rest) {
    std::string_view name;
    std::tie(name, rest) = cut(*rest, '/');
    if (name.empty() || name == ".") continue;
    depth += name == ".." ? -1 : 1;
    if (depth < 0) {
      return wrong(fmt::format("the subdirectory {} leaves the checkout by '..'", shown(subdir)));
    }
  }
  return {};
}

tl::expected<void, ParseError> check_checksum(std::string_view checksum) {
  const bool is_hex = std::all_of(checksum.begin(), checksum.end(),
                                  [](char c) { return hex_value(c).has_value(); });
  if (is_hex && checksum.size() <= 64) return {};
  if (auto part = check_part("the checksum", checksum); !part) return part;
  return wrong(
      fmt::format("the checksum {} is no commit id: only hexadecimal digits are", shown(checksum)));
}

using Query = std::map<std::string, std::string>;

tl::expected<Query, ParseError> parse_query(std::string_view text) {
  Query query;
  std::optional<std::string_view> rest = text;
  while (rest) {
    std::string_view pair;
    std::tie(pair, rest) = cut(*rest, '&');
    if (pair.empty()) continue;
    const auto [key, value] = cut(pair, '=');
    const auto name = query_decoded(std::string(key));
    const auto content = query_decoded(std::string(value.value_or("")));
    if (!name || !content || has_control(*name) || has_control(*content)) {
      return wrong("the query of the git URL is malformed");
    }
    if (!query.emplace(*name, *content).second) {
      return wrong(fmt::format("query \"{}\" has multiple values", excerpt(*name)));
    }
  }
  return query;
}

// A switch of the query: bare, it is on. nullopt: neither on nor off.
std::optional<bool> switch_value(std::string_view value) {
  constexpr std::array<std::string_view, 7> kOn = {"", "1", "t", "T", "true", "True", "TRUE"};
  constexpr std::array<std::string_view, 6> kOff = {"0", "f", "F", "false", "False", "FALSE"};
  if (std::find(kOn.begin(), kOn.end(), value) != kOn.end()) return true;
  if (std::find(kOff.begin(), kOff.end(), value) != kOff.end()) return false;
  return std::nullopt;
}

tl::expected<void, ParseError> apply_switch(GitSource& source, const std::string& name,
                                            std::string_view value) {
  const auto on = switch_value(value);
  if (!on)
    return wrong(
        fmt::format("invalid {} value \"{}\": true or false is expected", name, excerpt(value)));
  // How a commit is fetched is our own business; what a checkout holds is not.
  if (*on && name == "submodules") source.submodules = true;
  if (*on && name == "keep-git-dir") {
    return wrong(fmt::format("{} is not available: leave it out of the git URL", name));
  }
  return {};
}

// Sets a part that may have been named before, if both mean the same.
tl::expected<void, ParseError> agree(std::string_view what, std::string& part, std::string value) {
  if (!part.empty() && part != value) {
    return wrong(
        fmt::format("{} conflicts: \"{}\" vs \"{}\"", what, excerpt(part), excerpt(value)));
  }
  part = std::move(value);
  return {};
}

tl::expected<void, ParseError> apply_parameter(GitSource& source, const std::string& name,
                                               const std::string& value) {
  const auto full = [&value](std::string_view prefix) {
    return value.starts_with(prefix) ? value : fmt::format("{}{}", prefix, value);
  };
  if (name == "fetch-by-commit" || name == "keep-git-dir" || name == "submodules") {
    return apply_switch(source, name, value);
  }
  if (value.empty()) return wrong(fmt::format("query \"{}\" has no value", name));
  if (name == "ref") return agree("ref", source.ref, value);
  if (name == "tag") return agree("ref", source.ref, full("refs/tags/"));
  if (name == "branch") return agree("ref", source.ref, full("refs/heads/"));
  if (name == "subdir") return agree("subdir", source.subdir, value);
  if (name == "checksum" || name == "commit") return agree("checksum", source.checksum, value);
  // Times of files are no part of what we compare or send, so both of BuildKit's values are as
  // good.
  if (value == "checkout" || value == "commit") return {};
  return wrong(
      fmt::format("invalid mtime value \"{}\": checkout or commit is expected", excerpt(value)));
}

// In the order in which they are applied: it decides which of two conflicts is told.
constexpr std::array<std::string_view, 10> kParameters = {
    "ref",    "tag",   "branch",          "subdir",       "checksum",
    "commit", "mtime", "fetch-by-commit", "keep-git-dir", "submodules"};

tl::expected<void, ParseError> apply_query(GitSource& source, std::string_view text) {
  auto query = parse_query(text);
  if (!query) return tl::make_unexpected(query.error());
  const bool has_tag = query->count("tag") > 0;
  for (const std::string_view name : kParameters) {
    const auto parameter = query->extract(std::string(name));
    if (parameter.empty()) continue;
    if (name == "branch" && has_tag) return wrong("branch conflicts with tag in the git URL");
    auto applied = apply_parameter(source, parameter.key(), parameter.mapped());
    if (!applied) return applied;
  }
  if (query->empty()) return {};
  return wrong(fmt::format("unexpected query \"{}\" in the git URL: known are {}",
                           excerpt(query->begin()->first), fmt::join(kParameters, ", ")));
}

// Takes `#ref:subdir` and `?query` off a git URL or an scp-like remote. (Only URLs are
// percent-encoded.)
tl::expected<GitSource, ParseError> split_source(std::string_view text, bool is_url) {
  const auto [before, fragment] = cut(text, '#');
  const auto [remote, query] = cut(before, '?');
  GitSource source;
  source.remote = remote;
  const auto decoded =
      is_url ? percent_decoded(fragment.value_or("")) : std::string(fragment.value_or(""));
  if (!decoded) return wrong("the git ref has a '%' without two hexadecimal digits");
  const auto [ref, subdir] = cut(*decoded, ':');
  source.ref = ref;
  source.subdir = subdir.value_or("");
  if (query) {
    if (auto applied = apply_query(source, *query); !applied) {
      return tl::make_unexpected(applied.error());
    }
  }
  if (auto safe = check_git_source(source); !safe) return tl::make_unexpected(safe.error());
  return source;
}

// git has no transport named `HTTPS`.
std::string with_lower_scheme(std::string_view url, const std::string& scheme) {
  return scheme + std::string(url.substr(scheme.size()));
}

std::optional<ParseError> refused_form(std::string_view text, std::string_view what) {
  if (text.empty()) return ParseError{fmt::format("{} is empty", what), 0, 0};
  if (has_control(text)) return ParseError{fmt::format("{} holds a control character", what), 0, 0};
  if (text.front() == '-') {
    return ParseError{fmt::format("{} begins with '-': write {} for a path", what,
                                  shown("./" + redact_whole(text))),
                      0, 0};
  }
  if (names_remote_program(text)) {
    return ParseError{
        fmt::format("{} {} would have git run a program: use a URL with https, ssh or git", what,
                    shown(text.substr(0, text.find("::") + 2))),
        0, 0};
  }
  const std::string scheme = scheme_of(text);
  if (scheme.empty() || is_git_scheme(scheme)) return std::nullopt;
  const std::string_view hint = scheme == "file"
                                    ? "for a local repository write its path under the key 'git'"
                                    : "git URLs begin with https, http, ssh or git";
  return ParseError{
      fmt::format("{} has the scheme {}, which is not available: {}", what, shown(scheme), hint), 0,
      0};
}

}  // namespace

tl::expected<Source, ParseError> parse_source(std::string_view from) {
  if (auto refused = refused_form(from, "'from'")) return tl::make_unexpected(*refused);
  const bool short_form = from.starts_with(kGitHub);
  const std::string scheme = short_form ? "https" : scheme_of(from);
  if (scheme.empty() && !split_scp(from)) return DirectorySource{std::string(from)};
  if (scheme.empty()) return split_source(from, false);
  const std::string url =
      short_form ? fmt::format("https://{}", from) : with_lower_scheme(from, scheme);
  if (auto port = check_port(url); !port) return tl::make_unexpected(port.error());
  const std::string_view remote = std::string_view(url).substr(0, url.find_first_of("?#"));
  if (!short_form && is_web(scheme) && !split_url(remote).path.ends_with(".git")) {
    return wrong(
        fmt::format("{} names no git repository: add '.git' to the repository's name "
                    "(remote tarballs are not supported)",
                    shown_remote(url)));
  }
  return split_source(url, true);
}

tl::expected<GitSource, ParseError> parse_git_remote(std::string_view remote) {
  if (auto refused = refused_form(remote, "'git'")) return tl::make_unexpected(*refused);
  const std::string scheme = scheme_of(remote);
  GitSource source;
  source.remote = remote;
  if (remote.starts_with(kGitHub)) source.remote = fmt::format("https://{}", remote);
  if (!scheme.empty()) source.remote = with_lower_scheme(remote, scheme);
  source.local = source.remote == remote && scheme.empty() && !split_scp(remote);
  if (!source.local && remote.find_first_of("?#") != kNone) {
    return wrong(
        fmt::format("'git' takes a plain URL, without '{}': write ref and subdir as keys of "
                    "their own",
                    remote[remote.find_first_of("?#")]));
  }
  if (auto safe = check_git_source(source); !safe) return tl::make_unexpected(safe.error());
  return source;
}

tl::expected<void, ParseError> check_git_source(const GitSource& source) {
  if (source.remote.empty()) return wrong("the git remote is empty");
  auto remote = source.local ? check_part("the git repository's path", source.remote)
                             : check_remote(source.remote);
  if (!remote) return remote;
  if (auto ref = check_ref(source.ref); !ref) return ref;
  if (auto fetch = check_fetch(source.fetch); !fetch) return fetch;
  if (auto subdir = check_subdir(source.subdir); !subdir) return subdir;
  return check_checksum(source.checksum);
}

std::string redacted(std::string_view text) {
  // Quotes may be part of a password, so only a blank ends a URL.
  return redact(text, " \t\r\n");
}

std::string describe(const Source& source) {
  if (const auto* directory = std::get_if<DirectorySource>(&source)) return directory->path;
  const auto& git = std::get<GitSource>(source);
  std::string text = git.remote;
  if (!git.ref.empty() || !git.subdir.empty()) text += "#" + git.ref;
  if (!git.subdir.empty()) text += ":" + git.subdir;
  return redacted(text);
}

bool is_hexadecimal(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdefABCDEF") == kNone;
}

bool is_full_git_id(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) && is_hexadecimal(text);
}

}  // namespace imagewright
