// Fuzzes git references: no accepted source has a part that git could take for an option, a program
// or a line, none leaves the checkout, each reads back from its written form; and no login shows in
// what is shown. The input is a `from`, and the material for a URL with a password that is known.
#include "core/source.h"

#include <array>
#include <optional>

#include "check.h"

namespace imagewright::fuzz {
namespace {

constexpr auto kNone = std::string_view::npos;
constexpr std::string_view kPassword = "Sesam7Oeffne";

int hex_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// As git decodes a part of a URL: what is no `%XX` stays.
std::string decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_of(text[i + 1]) >= 0 &&
        hex_of(text[i + 2]) >= 0) {
      result += static_cast<char>(hex_of(text[i + 1]) * 16 + hex_of(text[i + 2]));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::string encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    result += '%';
    result += kDigits[byte / 16];
    result += kDigits[byte % 16];
  }
  return result;
}

bool is_safe(std::string_view part) {
  return !part.starts_with('-') && !has_control(part);
}

// Else it is `user@host:path`, in which the path may be anything.
bool is_url(std::string_view remote) {
  const std::size_t mark = remote.find("://");
  return mark != kNone && mark < remote.find('@');
}

// The parts of a remote, found in another way than core/source does it.
struct Parts {
  std::string_view login;
  std::string_view host;
  std::string_view path;
};

Parts parts_of(std::string_view remote) {
  Parts parts;
  if (!is_url(remote)) {
    const std::size_t at = remote.find('@');
    const std::size_t colon = remote.find(':', at);
    parts.login = remote.substr(0, at);
    parts.host = remote.substr(at + 1, colon - at - 1);
    parts.path = remote.substr(colon + 1);
    return parts;
  }
  const std::string_view rest = remote.substr(remote.find("://") + 3);
  const std::size_t end = std::min(rest.find('/'), rest.size());
  const std::string_view authority = rest.substr(0, end);
  parts.path = rest.substr(end);
  const std::size_t at = authority.rfind('@');
  parts.login = at == kNone ? "" : authority.substr(0, at);
  parts.host = at == kNone ? authority : authority.substr(at + 1);
  return parts;
}

void check_remote(const GitSource& source) {
  const std::string& remote = source.remote;
  FUZZ_CHECK(!remote.empty() && is_safe(remote), remote);
  // `ext::sh -c …`: git looks for `::` behind a name before it looks for anything else.
  const auto in_name = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '-' || c == '.';
  };
  const auto name_end = std::find_if_not(remote.begin(), remote.end(), in_name);
  FUZZ_CHECK(
      name_end == remote.begin() || !std::string_view(name_end, remote.end()).starts_with("::"),
      remote);
  if (source.local) return;
  if (is_url(remote)) {
    std::string scheme = remote.substr(0, remote.find("://"));
    for (char& c : scheme) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    FUZZ_CHECK(scheme == "https" || scheme == "http" || scheme == "ssh" || scheme == "git", remote);
  }
  const Parts parts = parts_of(remote);
  FUZZ_CHECK(is_safe(decoded(parts.login)), remote);
  FUZZ_CHECK(!parts.host.empty() && is_safe(decoded(parts.host)), remote);
  FUZZ_CHECK(is_safe(parts.path), remote);
  if (is_url(remote)) FUZZ_CHECK(is_safe(decoded(parts.path)), remote);
}

void check_ref(std::string_view ref) {
  for (const std::string_view kind : {"refs/heads/", "refs/tags/"}) {
    if (ref.starts_with(kind)) {
      ref.remove_prefix(kind.size());
      break;
    }
  }
  FUZZ_CHECK(is_safe(ref), ref);
  FUZZ_CHECK(ref.find_first_of(" ~^:?*[\\") == kNone, ref);
  FUZZ_CHECK(!contains(ref, "..") && !contains(ref, "@{"), ref);
}

void check_subdir(std::string_view subdir) {
  FUZZ_CHECK(is_safe(subdir), subdir);
  int depth = 0;
  for (const std::string_view name : split(subdir, "/")) {
    if (name == "..") --depth;
    if (!name.empty() && name != "." && name != "..") ++depth;
    FUZZ_CHECK(depth >= 0, subdir);
  }
}

void check_safe(const GitSource& source) {
  check_remote(source);
  check_ref(source.ref);
  check_subdir(source.subdir);
  FUZZ_CHECK(source.checksum.size() <= 64, source.checksum);
  FUZZ_CHECK(std::all_of(source.checksum.begin(), source.checksum.end(),
                         [](char c) { return hex_of(c) >= 0; }),
             source.checksum);
  FUZZ_CHECK(check_git_source(source).has_value(), source.remote);
}

// Neither the login nor a part of a line that moves the cursor is in what people see.
void check_described(const Source& source) {
  const std::string shown = describe(source);
  FUZZ_CHECK(!has_control(shown), shown);
  const auto* git = std::get_if<GitSource>(&source);
  if (git == nullptr || git->local || !is_url(git->remote)) return;
  const Parts parts = parts_of(git->remote);
  if (parts.login.empty() || parts.login == "git" || parts.login == "xxxxx") return;
  FUZZ_CHECK(!contains(shown, "://" + std::string(parts.login) + "@"), git->remote, shown);
}

// The source as its own written form, where it has one.
std::optional<std::string> written(const GitSource& source) {
  if (!source.checksum.empty() || source.local) return std::nullopt;
  constexpr std::string_view kGitHub = "https://github.com/";
  const bool is_encoded = is_url(source.remote);
  std::string text = source.remote;
  // Without `.git` at its end, only the short form says that it is git.
  if (text.starts_with(kGitHub) && !text.ends_with(".git")) text.erase(0, 8);
  text += '#' + (is_encoded ? encoded(source.ref) : source.ref);
  if (!source.subdir.empty()) text += ':' + (is_encoded ? encoded(source.subdir) : source.subdir);
  return text;
}

void check_reads_back(const GitSource& source) {
  const auto text = written(source);
  if (!text) return;
  const auto again = parse_source(*text);
  FUZZ_CHECK(again.has_value(), *text, again ? "" : again.error().message);
  FUZZ_CHECK(*again == Source(source), *text);
}

void check_from(std::string_view from) {
  const auto source = parse_source(from);
  if (!source) {
    check_message(source.error().message);
    return;
  }
  check_described(*source);
  if (const auto* directory = std::get_if<DirectorySource>(&*source)) {
    FUZZ_CHECK(directory->path == from && !from.empty() && is_safe(from), from);
    return;
  }
  const auto& git = std::get<GitSource>(*source);
  FUZZ_CHECK(!git.local, from);
  check_safe(git);
  check_reads_back(git);
}

void check_map_form(std::string_view remote) {
  const auto source = parse_git_remote(remote);
  if (!source) {
    check_message(source.error().message);
    return;
  }
  FUZZ_CHECK(source->ref.empty() && source->subdir.empty() && source->checksum.empty(), remote);
  check_safe(*source);
  check_described(*source);
  const auto again = parse_git_remote(source->remote);
  FUZZ_CHECK(again && *again == *source, remote, source->remote);
}

// The map form's keys, one by one.
void check_parts(std::string_view from) {
  const auto parts = split(from, "\xff");
  if (parts.size() != 5) return;
  const GitSource source{std::string(parts[1]), std::string(parts[2]), std::string(parts[3]),
                         std::string(parts[4]), !parts[0].empty()};
  if (const auto good = check_git_source(source); !good) {
    check_message(good.error().message);
    return;
  }
  // A local path is made absolute before git sees it, and so is no helper's name.
  if (!source.local) check_safe(source);
  check_ref(source.ref);
  check_subdir(source.subdir);
  check_described(source);
}

void check_redacted(std::string_view line) {
  const std::string shown = redacted(line);
  FUZZ_CHECK(redacted(shown) == shown, line, shown, redacted(shown));
  if (line.find('@') == kNone) FUZZ_CHECK(shown == line, line, shown);
}

// Is it clear where the password ends? Not where it holds an `@` and then a `/` (what is between is
// a host), nor where only digits stand before its `/` (`user:80/…` is a host with its port).
bool is_clear(std::string_view user, std::string_view before, std::string_view after) {
  constexpr std::string_view kEnds = "/?#";
  if (user.find_first_of("/?#@:") != kNone) return false;
  if (user.starts_with('[') && contains(before, "]")) return false;  // a host in brackets
  if (before.find('@') != kNone) {
    return before.find_first_of(kEnds) == kNone && after.find_first_of(kEnds) == kNone;
  }
  const std::size_t end = before.find_first_of(kEnds);
  return end == kNone || end == 0 || before.substr(0, end).find_first_not_of("0123456789") != kNone;
}

// A URL around a password that we know, in whatever else the input says: it is shown nowhere.
void check_password(std::string_view input) {
  const auto parts = split(input, "\xff");
  if (parts.size() != 5) return;
  const std::string_view scheme = parts[0], user = parts[1], before = parts[2], after = parts[3],
                         rest = parts[4];
  if (contains(input, kPassword) || !is_clear(user, before, after)) return;
  if (scheme.find_first_of(":/@") != kNone) return;
  std::string url(scheme);
  url.append("://").append(user).append(":").append(before).append(kPassword).append(after);
  url.append("@").append(rest);
  // In a line of text a blank ends a URL.
  if (url.find_first_of(" \t\r\n") == kNone) {
    const std::string shown = redacted("fatal: '" + url + "' is gone");
    FUZZ_CHECK(!contains(shown, kPassword), url, shown);
  }
  const auto source = parse_source(url);
  if (!source) {
    FUZZ_CHECK(!contains(source.error().message, kPassword), url, source.error().message);
  } else if (std::holds_alternative<GitSource>(*source)) {
    FUZZ_CHECK(!contains(describe(*source), kPassword), url, describe(*source));
  }
  const auto remote = parse_git_remote(url);
  if (!remote) {
    FUZZ_CHECK(!contains(remote.error().message, kPassword), url, remote.error().message);
  } else if (!remote->local) {
    FUZZ_CHECK(!contains(describe(*remote), kPassword), url, describe(*remote));
  }
}

void run(std::string_view input) {
  check_from(input);
  check_map_form(input);
  check_parts(input);
  check_redacted(input);
  check_password(input);
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  imagewright::fuzz::run(imagewright::fuzz::as_text(data, size));
  return 0;
}
