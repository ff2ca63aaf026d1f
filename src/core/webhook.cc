#include "core/webhook.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base64.h"
#include "core/digest.h"
#include "core/json_text.h"
#include "core/lower_case.h"
#include "core/take_field.h"

namespace imagewright {

namespace {

using Json = nlohmann::json;
constexpr auto kNone = std::string_view::npos;
constexpr std::string_view kSignedSecret = "whsec_";
constexpr std::size_t kLongestName = 1000;  // of a ref, or a delivery's id

// nullptr: there is no such header.
const std::string* find(const HookHeaders& headers, const std::string& name) {
  const auto found = headers.find(name);
  return found == headers.end() ? nullptr : &found->second;
}

std::string header(const HookHeaders& headers, const std::string& name) {
  const std::string* const value = find(headers, name);
  return value != nullptr ? *value : "";
}

// In constant time, for a given length.
bool is_same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view bytes_of(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// Standard Webhooks: several signatures while a secret is changed for another.
bool is_signed(const HookHeaders& headers, std::string_view signatures, std::string_view body,
               std::string_view secret) {
  const auto key = from_base64(secret.substr(kSignedSecret.size()));
  const std::string* const id = find(headers, "webhook-id");
  const std::string* const timestamp = find(headers, "webhook-timestamp");
  if (!key || key->empty() || id == nullptr || id->empty() || timestamp == nullptr ||
      timestamp->empty())
    return false;
  const std::string content = (*id + "." + *timestamp + ".").append(body);
  const std::string expected = "v1," + base64(bytes_of(hmac_sha256(*key, content)));
  bool found = false;
  while (!signatures.empty()) found |= is_same(take_field(signatures, ' '), expected);
  return found;
}

bool is_gitlab(const HookHeaders& headers, std::string_view body, std::string_view secret) {
  const std::string* const signatures = find(headers, "webhook-signature");
  if (signatures != nullptr && secret.starts_with(kSignedSecret))
    return is_signed(headers, *signatures, body, secret);
  const std::string* const token = find(headers, "x-gitlab-token");
  // As digests, so that not even the secret's length can be measured.
  return token != nullptr && is_same(bytes_of(sha256(*token)), bytes_of(sha256(secret)));
}

// --- The payload

bool is_zero(std::string_view id) {
  return !id.empty() && id.find_first_not_of('0') == kNone;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// Only what is looked at is kept: not the commits, and nothing that is nested deeper.
std::optional<Json> parse(std::string_view text) {
  static const std::set<std::string, std::less<>> wanted = {
      "ref",     "ref_type",   "after",       "sha",       "deleted",
      "project", "repository", "object_kind", "event_name"};
  constexpr int kDeepest = 2;
  const auto keep = [](int depth, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1)
      return wanted.count(parsed.get_ref<const std::string&>()) != 0;
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start)
      return depth < kDeepest;
    return true;
  };
  Json payload = Json::parse(text, keep, false);
  if (!payload.is_object()) return std::nullopt;
  return payload;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (text[i] == '%' && low >= 0) {
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

// The field `payload` of a form.
std::optional<std::string> payload_of_form(std::string_view form) {
  while (!form.empty()) {
    std::string_view value = take_field(form, '&');
    if (take_field(value, '=') != "payload") continue;
    std::string text(value);
    std::replace(text.begin(), text.end(), '+', ' ');
    return percent_decoded(text);
  }
  return std::nullopt;
}

void add_urls(const Json& payload, const char* key, std::vector<std::string>& urls) {
  const auto repository = payload.find(key);
  if (repository == payload.end()) return;
  for (const char* name : {"clone_url", "ssh_url", "git_url", "html_url", "git_http_url",
                           "git_ssh_url", "http_url", "web_url", "homepage", "url"}) {
    std::string url = text_of(*repository, name);
    if (!url.empty() && std::find(urls.begin(), urls.end(), url) == urls.end())
      urls.push_back(std::move(url));
  }
}

std::string delivery_of(HookKind kind, const HookHeaders& headers) {
  const auto names = [&]() -> std::vector<const char*> {
    switch (kind) {
      case HookKind::GitHub:
        return {"x-github-delivery"};
      case HookKind::Gitea:
        return {"x-gitea-delivery"};
      case HookKind::Forgejo:
        return {"x-forgejo-delivery", "x-gitea-delivery"};
      case HookKind::GitLab:
        return {"webhook-id", "idempotency-key", "x-gitlab-event-uuid"};
    }
    return {};
  }();
  for (const char* name : names) {
    const std::string id = header(headers, name);
    if (!id.empty() && id.size() <= kLongestName && !has_control(id))
      return std::string(word(kind)) + " " + id;
  }
  return "";
}

enum class Told { Update, Creation, Deletion, Ping, Other };

Told told_by(HookKind kind, const HookHeaders& headers, const Json& payload) {
  if (kind == HookKind::GitLab) {
    std::string object = text_of(payload, "object_kind");
    if (object.empty()) object = text_of(payload, "event_name");
    const std::string event = header(headers, "x-gitlab-event");
    const bool can_be = event == "Push Hook" || event == "Tag Push Hook" || event == "System Hook";
    return can_be && (object == "push" || object == "tag_push") ? Told::Update : Told::Other;
  }
  const std::string event = header(headers, kind == HookKind::GitHub  ? "x-github-event"
                                            : kind == HookKind::Gitea ? "x-gitea-event"
                                                                      : "x-forgejo-event");
  if (event == "push") return Told::Update;
  if (event == "create") return Told::Creation;
  if (event == "delete") return Told::Deletion;
  if (event == "ping") return Told::Ping;
  return Told::Other;
}

// Of a ref that is told of by its short name.
std::string full_ref(const std::string& ref, const std::string& type) {
  if (ref.empty() || ref.starts_with("refs/")) return ref;
  if (type == "branch") return "refs/heads/" + ref;
  if (type == "tag") return "refs/tags/" + ref;
  return "";
}

// --- Repositories

struct Repository {
  std::string host;
  std::string port;  // "": the scheme's
  std::string path;
  bool operator==(const Repository&) const = default;
};

std::string_view own_port(std::string_view scheme) {
  constexpr std::array<std::array<std::string_view, 2>, 4> kPorts = {
      {{"https", "443"}, {"http", "80"}, {"ssh", "22"}, {"git", "9418"}}};
  for (const auto& [name, port] : kPorts) {
    if (name == scheme) return port;
  }
  return "";
}

// As what is compared; nullopt: it is on no server.
std::optional<Repository> repository_of(std::string_view url) {
  Repository repository;
  std::string scheme;
  std::string_view path;
  const std::size_t mark = url.find("://");
  if (mark != kNone && url.find_first_of(":/@") == mark) {
    scheme = lower_case(url.substr(0, mark));
    if (scheme.starts_with("git+")) scheme.erase(0, 4);
    if (own_port(scheme).empty()) return std::nullopt;
    url.remove_prefix(mark + 3);
    url = url.substr(0, url.find_first_of("?#"));
    const std::size_t slash = std::min(url.find('/'), url.size());
    std::string_view authority = url.substr(0, slash);
    path = url.substr(slash);
    if (const std::size_t at = authority.rfind('@'); at != kNone) authority.remove_prefix(at + 1);
    const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : kNone;
    const std::size_t colon = authority.find(':', bracket == kNone ? 0 : bracket);
    repository.host = lower_case(authority.substr(0, colon));
    if (colon != kNone) repository.port = authority.substr(colon + 1);
    if (repository.port == own_port(scheme)) repository.port.clear();
  } else {
    const std::size_t colon = url.find(':');
    // (`ext::` and the like are programs.)
    if (colon == kNone || url.find('/') < colon || url.substr(colon).starts_with("::"))
      return std::nullopt;
    std::string_view host = url.substr(0, colon);
    path = url.substr(colon + 1);
    if (const std::size_t at = host.rfind('@'); at != kNone) host.remove_prefix(at + 1);
    repository.host = lower_case(host);
  }
  if (repository.host.ends_with('.')) repository.host.pop_back();
  const std::string decoded = lower_case(percent_decoded(path));
  path = decoded;
  while (!path.empty()) {
    const std::string_view segment = take_field(path, '/');
    if (!segment.empty()) repository.path.append("/").append(segment);
  }
  if (repository.path.ends_with(".git")) repository.path.resize(repository.path.size() - 4);
  if (repository.host.empty() || repository.path.empty() || repository.path.ends_with('/'))
    return std::nullopt;
  return repository;
}

}  // namespace

const char* word(HookKind kind) {
  switch (kind) {
    case HookKind::GitHub:
      return "GitHub";
    case HookKind::Gitea:
      return "Gitea";
    case HookKind::Forgejo:
      return "Forgejo";
    case HookKind::GitLab:
      return "GitLab";
  }
  return "";
}

std::optional<HookKind> kind_of(const HookHeaders& headers) {
  if (find(headers, "x-forgejo-event") != nullptr) return HookKind::Forgejo;
  if (find(headers, "x-gitea-event") != nullptr) return HookKind::Gitea;
  if (find(headers, "x-gitlab-event") != nullptr) return HookKind::GitLab;
  if (find(headers, "x-github-event") != nullptr) return HookKind::GitHub;
  return std::nullopt;
}

bool is_authentic(HookKind kind, const HookHeaders& headers, std::string_view body,
                  std::string_view secret) {
  if (secret.empty()) return false;
  if (kind == HookKind::GitLab) return is_gitlab(headers, body, secret);
  const std::string expected = hex(hmac_sha256(secret, body));
  if (kind == HookKind::Forgejo) {
    if (const std::string* const given = find(headers, "x-forgejo-signature"))
      return is_same(*given, expected);
  }
  if (kind != HookKind::GitHub) {
    if (const std::string* const given = find(headers, "x-gitea-signature"))
      return is_same(*given, expected);
  }
  return is_same(header(headers, "x-hub-signature-256"), "sha256=" + expected);
}

tl::expected<Push, std::string> parse_push(HookKind kind, const HookHeaders& headers,
                                           std::string_view body) {
  std::optional<std::string> form;
  if (lower_case(header(headers, "content-type"))
          .starts_with("application/x-www-form-urlencoded")) {
    form = payload_of_form(body);
    if (!form) return tl::make_unexpected("the webhook is a form without a field 'payload'");
    body = *form;
  }
  const auto payload = parse(body);
  if (!payload) return tl::make_unexpected("the webhook's payload is no JSON object");

  Push push;
  push.delivery = delivery_of(kind, headers);
  add_urls(*payload, "repository", push.repositories);
  add_urls(*payload, "project", push.repositories);
  const Told told = told_by(kind, headers, *payload);
  if (told == Told::Ping) push.event = HookEvent::Ping;
  if (told == Told::Ping || told == Told::Other) return push;

  std::string ref = text_of(*payload, "ref");
  if (told != Told::Update) ref = full_ref(ref, text_of(*payload, "ref_type"));
  // (A repository can be created, too.)
  if (told != Told::Update && ref.empty()) return push;
  if (ref.empty() || ref.size() > kLongestName || has_control(ref))
    return tl::make_unexpected("the webhook tells of a push without a ref");
  if (push.repositories.empty())
    return tl::make_unexpected("the webhook tells of a push without a repository's URL");
  push.event = HookEvent::Push;
  push.ref = std::move(ref);
  const std::string commit = text_of(*payload, told == Told::Update ? "after" : "sha");
  const auto deleted = payload->find("deleted");
  push.deleted = told == Told::Deletion || is_zero(commit) ||
                 (deleted != payload->end() && deleted->is_boolean() && deleted->get<bool>());
  if (!push.deleted && is_full_git_id(commit)) push.commit = commit;
  return push;
}

bool is_same_repository(std::string_view a, std::string_view b) {
  const auto first = repository_of(a);
  return first && first == repository_of(b);
}

bool means(const Push& push, const GitSource& source) {
  return !source.local && std::any_of(push.repositories.begin(), push.repositories.end(),
                                      [&](const std::string& url) {
                                        return is_same_repository(url, source.remote);
                                      });
}

}  // namespace imagewright
