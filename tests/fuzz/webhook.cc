// Fuzzes webhooks: whatever the headers and the body, nothing is authentic but what was signed with
// the secret, and a push that is read has a ref and a repository. The input's first byte says who
// sends it and what; its first line is a header's value, two URLs and a secret; the rest a body.
#include "core/webhook.h"

#include <array>

#include "check.h"
#include "core/digest.h"
#include "core/take_field.h"

namespace imagewright::fuzz {
namespace {

constexpr std::array kEvents = {"push", "create", "delete", "ping", "Push Hook", "System Hook"};
constexpr std::array kTypes = {"application/json", "application/x-www-form-urlencoded"};

HookHeaders headers_of(HookKind kind, const std::string& event, const std::string& type,
                       const std::string& value) {
  HookHeaders headers = {
      {"content-type", type},         {"webhook-id", value},        {"webhook-timestamp", "1"},
      {"x-hub-signature-256", value}, {"x-github-delivery", value}, {"x-gitlab-token", value},
      {"x-gitea-signature", value},   {"webhook-signature", value}, {"x-forgejo-signature", value}};
  const char* const name = kind == HookKind::GitHub    ? "x-github-event"
                           : kind == HookKind::GitLab  ? "x-gitlab-event"
                           : kind == HookKind::Forgejo ? "x-forgejo-event"
                                                       : "x-gitea-event";
  headers[name] = event;
  return headers;
}

void check_authenticity(HookKind kind, HookHeaders headers, std::string_view body,
                        const std::string& secret) {
  FUZZ_CHECK(!is_authentic(kind, headers, body, ""));
  FUZZ_CHECK(!is_authentic(kind, {}, body, secret));
  if (secret.empty()) return;
  const std::string hmac = hex(hmac_sha256(secret, body));
  // Nobody guesses: what is authentic is what the secret's owner would have sent.
  const std::string& value = headers["x-gitea-signature"];
  if (kind == HookKind::GitLab) {
    if (!secret.starts_with("whsec_"))
      FUZZ_CHECK(is_authentic(kind, headers, body, secret) == (value == secret), value, secret);
  } else {
    const std::string expected = (kind == HookKind::GitHub ? "sha256=" : "") + hmac;
    FUZZ_CHECK(is_authentic(kind, headers, body, secret) == (value == expected), value);
    headers["x-forgejo-signature"] = headers["x-gitea-signature"] = hmac;
    headers["x-hub-signature-256"] = "sha256=" + hmac;
    FUZZ_CHECK(is_authentic(kind, headers, body, secret));
    FUZZ_CHECK(!is_authentic(kind, headers, std::string(body) + "x", secret));
  }
}

void check_push(const Push& push) {
  FUZZ_CHECK(!has_control(push.delivery), push.delivery);
  FUZZ_CHECK(push.commit.empty() || is_full_git_id(push.commit), push.commit);
  for (const std::string& url : push.repositories) FUZZ_CHECK(!url.empty());
  if (push.event != HookEvent::Push) {
    FUZZ_CHECK(push.ref.empty() && push.commit.empty() && !push.deleted, push.ref);
    return;
  }
  FUZZ_CHECK(!push.ref.empty() && !has_control(push.ref), push.ref);
  FUZZ_CHECK(!push.repositories.empty());
  FUZZ_CHECK(!push.deleted || push.commit.empty(), push.commit);
}

void check_repositories(const std::string& a, const std::string& b) {
  const bool same = is_same_repository(a, b);
  FUZZ_CHECK(same == is_same_repository(b, a), a, b);
  if (same) FUZZ_CHECK(is_same_repository(a, a) && is_same_repository(b, b), a, b);
  if (!is_same_repository(a, a)) return;
  if (a.find_first_of("?#") == std::string::npos && !a.ends_with("%"))
    FUZZ_CHECK(is_same_repository(a, a + "/"), a);
}

void run(std::string_view text) {
  const auto how = text.empty() ? 0U : static_cast<unsigned char>(text[0]);
  text.remove_prefix(std::min<std::size_t>(1, text.size()));
  const auto kind = static_cast<HookKind>(how % 4);
  std::string_view line = take_field(text, '\n');
  const std::string value(take_field(line, ' '));
  const std::string first(take_field(line, ' '));
  const std::string second(take_field(line, ' '));
  const std::string secret(line);
  const HookHeaders headers =
      headers_of(kind, kEvents.at(how / 4 % kEvents.size()), kTypes.at(how >= 128 ? 1 : 0), value);
  FUZZ_CHECK(kind_of(headers) == kind);
  check_authenticity(kind, headers, text, secret);
  const auto push = parse_push(kind, headers, text);
  if (push) {
    check_push(*push);
  } else {
    check_message(push.error());
  }
  check_repositories(first, second);
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  imagewright::fuzz::run(imagewright::fuzz::as_text(data, size));
  return 0;
}
