#include "core/webhook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/digest.h"
#include "webhook_payloads.h"

namespace imagewright {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

HookHeaders github(const std::string& event, std::string_view hmac) {
  return {{"user-agent", "GitHub-Hookshot/044aadd"},
          {"content-type", "application/json"},
          {"x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"},
          {"x-github-event", event},
          {"x-github-hook-id", "292430182"},
          {"x-github-hook-installation-target-id", "79929171"},
          {"x-github-hook-installation-target-type", "repository"},
          {"x-hub-signature", "sha1=0000000000000000000000000000000000000000"},
          {"x-hub-signature-256", "sha256=" + std::string(hmac)}};
}

HookHeaders gitea(const std::string& event, std::string_view hmac) {
  HookHeaders headers = {{"content-type", "application/json"},
                         {"x-hub-signature", "sha1=0000000000000000000000000000000000000000"},
                         {"x-hub-signature-256", "sha256=" + std::string(hmac)}};
  for (const std::string service : {"gitea", "gogs", "github"}) {
    headers["x-" + service + "-event"] = event;
    headers["x-" + service + "-event-type"] = event;
    headers["x-" + service + "-delivery"] = "f6266f16-1bf3-46a5-9ea4-602e06ead473";
    if (service != "github") headers["x-" + service + "-signature"] = hmac;
  }
  return headers;
}

HookHeaders forgejo(const std::string& event, std::string_view hmac) {
  HookHeaders headers = gitea(event, hmac);
  headers["x-forgejo-event"] = event;
  headers["x-forgejo-event-type"] = event;
  headers["x-forgejo-delivery"] = headers["x-gitea-delivery"];
  headers["x-forgejo-signature"] = hmac;
  return headers;
}

HookHeaders gitlab(const std::string& event) {
  return {{"user-agent", "GitLab/17.11.0"},
          {"content-type", "application/json"},
          {"idempotency-key", "3fd9b2f0-0000-4000-8000-000000000001"},
          {"x-gitlab-event", event},
          {"x-gitlab-webhook-uuid", "3fd9b2f0-0000-4000-8000-000000000002"},
          {"x-gitlab-instance", "https://gitlab.example.com"},
          {"x-gitlab-event-uuid", "3fd9b2f0-0000-4000-8000-000000000003"}};
}

HookHeaders with(HookHeaders headers, const std::string& name, std::string_view value) {
  headers[name] = value;
  return headers;
}

HookHeaders signed_by(std::string_view signature, const std::string& event) {
  HookHeaders headers = gitlab(event);
  headers["webhook-id"] = "msg-1";
  headers["webhook-timestamp"] = "1716000000";
  headers["webhook-signature"] = signature;
  return headers;
}

Push parsed(HookKind kind, const HookHeaders& headers, std::string_view body) {
  const auto push = parse_push(kind, headers, body);
  EXPECT_TRUE(push.has_value()) << push.error();
  return push.value_or(Push());
}

std::string error_of(HookKind kind, const HookHeaders& headers, std::string_view body) {
  const auto push = parse_push(kind, headers, body);
  return push ? "" : push.error();
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// --- Who sends it

TEST(Webhook, KindsAreKnownByTheirHeaders) {
  EXPECT_EQ(kind_of(github("push", "")), HookKind::GitHub);
  EXPECT_EQ(kind_of(gitea("push", "")), HookKind::Gitea);
  EXPECT_EQ(kind_of(forgejo("push", "")), HookKind::Forgejo);
  EXPECT_EQ(kind_of(gitlab("Push Hook")), HookKind::GitLab);
  EXPECT_EQ(kind_of({}), std::nullopt);
  EXPECT_EQ(kind_of({{"x-hub-signature-256", "sha256=00"}}), std::nullopt);
}

// --- Whether it is authentic

TEST(Webhook, GitHubsDocumentedExampleIsAuthentic) {
  constexpr auto kHmac = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  const HookHeaders headers = github("push", kHmac);
  EXPECT_TRUE(is_authentic(HookKind::GitHub, headers, "Hello, World!", kSecret));
  EXPECT_FALSE(is_authentic(HookKind::GitHub, headers, "Hello, World", kSecret));
  EXPECT_FALSE(is_authentic(HookKind::GitHub, headers, "Hello, World!\n", kSecret));
  EXPECT_FALSE(is_authentic(HookKind::GitHub, headers, "Hello, World!", "another secret"));
}

TEST(Webhook, PayloadsOfAllServicesAreAuthentic) {
  const auto holds = [](HookKind kind, const HookHeaders& headers, std::string_view body) {
    return is_authentic(kind, headers, body, kSecret) &&
           !is_authentic(kind, headers, body, "another secret") &&
           !is_authentic(kind, headers, std::string(body) + " ", kSecret);
  };
  EXPECT_TRUE(holds(HookKind::GitHub, github("push", kGitHubPushHmac), kGitHubPush));
  EXPECT_TRUE(holds(HookKind::GitHub, github("create", kGitHubCreateHmac), kGitHubCreate));
  EXPECT_TRUE(holds(HookKind::GitHub, github("ping", kGitHubPingHmac), kGitHubPing));
  EXPECT_TRUE(holds(HookKind::Gitea, gitea("push", kGiteaPushHmac), kGiteaPush));
  EXPECT_TRUE(holds(HookKind::Forgejo, forgejo("delete", kForgejoDeleteHmac), kForgejoDelete));
}

TEST(Webhook, ASignatureThatIsNotTheOneIsNone) {
  const std::string hmac(kGitHubPushHmac);
  std::string off = hmac;
  off.back() = off.back() == '0' ? '1' : '0';
  const auto holds = [](std::string_view signature) {
    return is_authentic(HookKind::GitHub,
                        with(github("push", ""), "x-hub-signature-256", signature), kGitHubPush,
                        kSecret);
  };
  EXPECT_TRUE(holds("sha256=" + hmac));
  for (const std::string& signature :
       {std::string(), std::string("sha256="), hmac, "sha1=" + hmac, "sha512=" + hmac,
        "SHA256=" + hmac, "sha256=" + upper(hmac), "sha256=" + off, "sha256=" + hmac.substr(0, 63),
        "sha256=" + hmac + "0", " sha256=" + hmac, "sha256=" + std::string(64, '0'),
        "sha256=" + hmac + std::string(1, '\0')}) {
    EXPECT_FALSE(holds(signature)) << signature;
  }
  // Every bit counts.
  for (std::size_t i = 0; i < hmac.size(); ++i) {
    std::string other = hmac;
    other[i] = static_cast<char>(other[i] ^ 1);
    EXPECT_FALSE(holds("sha256=" + other));
  }
  HookHeaders headers = github("push", hmac);
  headers.erase("x-hub-signature-256");
  EXPECT_FALSE(is_authentic(HookKind::GitHub, headers, kGitHubPush, kSecret));
  // That of SHA-1 does not count, whatever it is.
  headers["x-hub-signature"] = "sha1=" + hmac;
  EXPECT_FALSE(is_authentic(HookKind::GitHub, headers, kGitHubPush, kSecret));
}

TEST(Webhook, WithoutASecretNothingIsAuthentic) {
  const std::string hmac = hex(hmac_sha256("", kGitHubPush));
  EXPECT_FALSE(is_authentic(HookKind::GitHub, github("push", hmac), kGitHubPush, ""));
  EXPECT_FALSE(is_authentic(HookKind::Gitea, gitea("push", hmac), kGitHubPush, ""));
  EXPECT_FALSE(is_authentic(HookKind::Forgejo, forgejo("push", hmac), kGitHubPush, ""));
  EXPECT_FALSE(is_authentic(HookKind::GitLab, with(gitlab("Push Hook"), "x-gitlab-token", ""),
                            kGitLabPush, ""));
}

TEST(Webhook, OfSeveralSignaturesTheServicesOwnCounts) {
  const std::string_view hmac = kGiteaPushHmac;
  const auto holds = [](HookKind kind, const HookHeaders& headers) {
    return is_authentic(kind, headers, kGiteaPush, kSecret);
  };
  for (const std::string_view other : {std::string_view(), std::string_view("00")}) {
    EXPECT_FALSE(holds(HookKind::Gitea, with(gitea("push", hmac), "x-gitea-signature", other)));
    EXPECT_FALSE(
        holds(HookKind::Forgejo, with(forgejo("push", hmac), "x-forgejo-signature", other)));
  }
  EXPECT_TRUE(holds(HookKind::Gitea, with(gitea("push", hmac), "x-hub-signature-256", "")));
  HookHeaders headers = forgejo("push", hmac);
  headers.erase("x-forgejo-signature");
  EXPECT_TRUE(holds(HookKind::Forgejo, headers));
  headers.erase("x-gitea-signature");
  EXPECT_TRUE(holds(HookKind::Forgejo, headers));
  EXPECT_TRUE(holds(HookKind::Gitea, headers));
  headers.erase("x-hub-signature-256");
  EXPECT_FALSE(holds(HookKind::Forgejo, headers));
  EXPECT_FALSE(holds(HookKind::Gitea,
                     with(gitea("push", hmac), "x-gitea-signature", upper(std::string(hmac)))));
}

TEST(Webhook, GitLabSendsTheSecretItself) {
  const auto holds = [](std::string_view token, std::string_view secret) {
    return is_authentic(HookKind::GitLab, with(gitlab("Push Hook"), "x-gitlab-token", token),
                        kGitLabPush, secret);
  };
  EXPECT_TRUE(holds("a token", "a token"));
  EXPECT_FALSE(holds("a tokeN", "a token"));
  EXPECT_FALSE(holds("a toke", "a token"));
  EXPECT_FALSE(holds("a token ", "a token"));
  EXPECT_FALSE(holds("", "a token"));
  EXPECT_FALSE(is_authentic(HookKind::GitLab, gitlab("Push Hook"), kGitLabPush, "a token"));
  // Others' signatures are none of GitLab's.
  const std::string hmac = hex(hmac_sha256("a token", kGitLabPush));
  EXPECT_FALSE(is_authentic(HookKind::GitLab,
                            with(gitlab("Push Hook"), "x-hub-signature-256", "sha256=" + hmac),
                            kGitLabPush, "a token"));
}

TEST(Webhook, GitLabSignsWithASigningToken) {
  const auto holds = [](const HookHeaders& headers, std::string_view body = kGitLabPush,
                        std::string_view secret = kSignedSecret) {
    return is_authentic(HookKind::GitLab, headers, body, secret);
  };
  const std::string good(kGitLabPushSignature);
  const HookHeaders headers = signed_by(good, "Push Hook");
  EXPECT_TRUE(holds(headers));
  EXPECT_TRUE(holds(signed_by(kGitLabTagSignature, "Tag Push Hook"), kGitLabTag));
  EXPECT_FALSE(holds(headers, kGitLabTag));
  EXPECT_FALSE(holds(headers, kGitLabPush, "whsec_AAAA"));
  // While one secret is changed for another.
  EXPECT_TRUE(holds(signed_by("v1,AAAA " + good, "Push Hook")));
  EXPECT_TRUE(holds(signed_by(good + " v1a,AAAA", "Push Hook")));
  std::string off = good;
  off[10] = off[10] == 'A' ? 'B' : 'A';
  for (const std::string& signature :
       {std::string(), std::string("v1,"), off, good.substr(3), "v2," + good.substr(3), good + "=",
        good.substr(0, good.size() - 1), "v1 " + good.substr(3)}) {
    EXPECT_FALSE(holds(signed_by(signature, "Push Hook"))) << signature;
  }
  EXPECT_FALSE(holds(with(headers, "webhook-id", "msg-2")));
  EXPECT_FALSE(holds(with(headers, "webhook-id", "")));
  EXPECT_FALSE(holds(with(headers, "webhook-timestamp", "1716000001")));
  EXPECT_FALSE(holds(with(headers, "webhook-timestamp", "")));
  for (const char* name : {"webhook-id", "webhook-timestamp", "webhook-signature"}) {
    HookHeaders without = headers;
    without.erase(name);
    EXPECT_FALSE(holds(without)) << name;
  }
  // A signature that does not hold is not made up for by a token, and a secret must be one.
  EXPECT_FALSE(holds(with(signed_by(off, "Push Hook"), "x-gitlab-token", kSignedSecret)));
  for (const char* secret :
       {"whsec_", "whsec_=", "whsec_====", "whsec_    ", "whsec_!!!!", "whsec_AAA", "whsec_A=AA"}) {
    EXPECT_FALSE(holds(headers, kGitLabPush, secret)) << secret;
  }
  // Signed by a token that is not ours, with the one that is.
  EXPECT_TRUE(holds(with(headers, "x-gitlab-token", "plain"), kGitLabPush, "plain"));
}

// --- What it says

TEST(Webhook, APushOfGitHub) {
  const Push push = parsed(HookKind::GitHub, github("push", ""), kGitHubPush);
  EXPECT_EQ(push.event, HookEvent::Push);
  EXPECT_EQ(push.ref, "refs/heads/main");
  EXPECT_EQ(push.commit, kAfter);
  EXPECT_FALSE(push.deleted);
  EXPECT_EQ(push.delivery, "GitHub 72d3162e-cc78-11e3-81ab-4c9367dc0958");
  EXPECT_THAT(
      push.repositories,
      UnorderedElementsAre("https://github.com/example/app.git", "git@github.com:example/app.git",
                           "git://github.com/example/app.git", "https://github.com/example/app"));
}

TEST(Webhook, APushOfGitHubAsAForm) {
  std::string form = "other=1&payload=";
  for (const char c : kGitHubPush) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      form += c;
    } else if (c == ' ') {
      form += '+';
    } else {
      const auto byte = static_cast<unsigned char>(c);
      form += {'%', kDigits[byte / 16], kDigits[byte % 16]};
    }
  }
  const HookHeaders headers = with(github("push", hex(hmac_sha256(kSecret, form))), "content-type",
                                   "application/x-www-form-urlencoded");
  EXPECT_TRUE(is_authentic(HookKind::GitHub, headers, form, kSecret));
  const Push push = parsed(HookKind::GitHub, headers, form);
  EXPECT_EQ(push.ref, "refs/heads/main");
  EXPECT_EQ(push.repositories.size(), 4U);
  EXPECT_THAT(error_of(HookKind::GitHub, headers, "a=b"), HasSubstr("payload"));
  EXPECT_THAT(error_of(HookKind::GitHub, headers, "payload=%7B"), HasSubstr("JSON"));
}

TEST(Webhook, ATagIsCreated) {
  const Push push = parsed(HookKind::GitHub, github("create", ""), kGitHubCreate);
  EXPECT_EQ(push.event, HookEvent::Push);
  EXPECT_EQ(push.ref, "refs/tags/v1.0");
  EXPECT_EQ(push.commit, "");
  EXPECT_FALSE(push.deleted);
}

TEST(Webhook, APing) {
  const Push push = parsed(HookKind::GitHub, github("ping", ""), kGitHubPing);
  EXPECT_EQ(push.event, HookEvent::Ping);
  EXPECT_EQ(push.ref, "");
  EXPECT_THAT(push.repositories, testing::Contains("https://github.com/example/app.git"));
  // Of an organization: of no repository.
  EXPECT_EQ(parsed(HookKind::GitHub, github("ping", ""), "{}").event, HookEvent::Ping);
}

TEST(Webhook, APushOfGitea) {
  const Push push = parsed(HookKind::Gitea, gitea("push", ""), kGiteaPush);
  EXPECT_EQ(push.event, HookEvent::Push);
  EXPECT_EQ(push.ref, "refs/heads/develop");
  EXPECT_EQ(push.commit, kAfter);
  EXPECT_EQ(push.delivery, "Gitea f6266f16-1bf3-46a5-9ea4-602e06ead473");
  EXPECT_THAT(push.repositories, testing::Contains("ssh://git@git.example.com:2222/Team/App.git"));
  EXPECT_THAT(push.repositories, testing::Contains("https://git.example.com/Team/App.git"));
}

TEST(Webhook, ABranchIsDeleted) {
  const Push push = parsed(HookKind::Forgejo, forgejo("delete", ""), kForgejoDelete);
  EXPECT_EQ(push.event, HookEvent::Push);
  EXPECT_EQ(push.ref, "refs/heads/feature");
  EXPECT_TRUE(push.deleted);
  EXPECT_EQ(push.commit, "");
  EXPECT_EQ(push.delivery, "Forgejo f6266f16-1bf3-46a5-9ea4-602e06ead473");
  const std::string repository = R"("repository": {"clone_url": "https://example.com/a"})";
  const Push told = parsed(HookKind::GitHub, github("push", ""),
                           R"({"ref": "refs/heads/x", "deleted": true, "after": ")" +
                               std::string(kAfter) + "\", " + repository + "}");
  EXPECT_TRUE(told.deleted);
  EXPECT_EQ(told.commit, "");
  const Push zeros = parsed(
      HookKind::Gitea, gitea("push", ""),
      R"({"ref": "refs/heads/x", "after": ")" + std::string(40, '0') + "\", " + repository + "}");
  EXPECT_TRUE(zeros.deleted);
}

TEST(Webhook, APushOfGitLab) {
  const Push push = parsed(HookKind::GitLab, gitlab("Push Hook"), kGitLabPush);
  EXPECT_EQ(push.event, HookEvent::Push);
  EXPECT_EQ(push.ref, "refs/heads/main");
  EXPECT_EQ(push.commit, kAfter);
  EXPECT_EQ(push.delivery, "GitLab 3fd9b2f0-0000-4000-8000-000000000001");
  EXPECT_THAT(push.repositories,
              UnorderedElementsAre("https://gitlab.example.com/group/sub/app.git",
                                   "git@gitlab.example.com:group/sub/app.git",
                                   "https://gitlab.example.com/group/sub/app"));
  const Push tag = parsed(HookKind::GitLab, signed_by("", "Tag Push Hook"), kGitLabTag);
  EXPECT_EQ(tag.event, HookEvent::Push);
  EXPECT_EQ(tag.ref, "refs/tags/v1.0");
  EXPECT_EQ(tag.delivery, "GitLab msg-1");
  EXPECT_EQ(parsed(HookKind::GitLab, gitlab("System Hook"), kGitLabPush).event, HookEvent::Push);
  HookHeaders older = gitlab("Push Hook");
  older.erase("idempotency-key");
  EXPECT_EQ(parsed(HookKind::GitLab, older, kGitLabPush).delivery,
            "GitLab 3fd9b2f0-0000-4000-8000-000000000003");
}

TEST(Webhook, OtherEventsSayNothingOfAPush) {
  for (const char* event : {"issues", "pull_request", "release", "", "Push", "push "}) {
    EXPECT_EQ(parsed(HookKind::GitHub, github(event, ""), kGitHubPush).event, HookEvent::Other);
    EXPECT_EQ(parsed(HookKind::Gitea, gitea(event, ""), kGiteaPush).event, HookEvent::Other);
  }
  EXPECT_EQ(parsed(HookKind::GitLab, gitlab("Merge Request Hook"), kGitLabPush).event,
            HookEvent::Other);
  EXPECT_EQ(
      parsed(HookKind::GitLab, gitlab("System Hook"), R"({"event_name": "user_create"})").event,
      HookEvent::Other);
  EXPECT_EQ(parsed(HookKind::GitHub, github("create", ""), R"({"ref_type": "repository"})").event,
            HookEvent::Other);
}

TEST(Webhook, WhatCannotBeReadIsAnError) {
  const auto error = [](std::string_view body) {
    return error_of(HookKind::GitHub, github("push", ""), body);
  };
  const std::string repository = R"("repository": {"clone_url": "https://example.com/a"})";
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"), std::string("1"),
        std::string("\"text\""), std::string("{} {}"), std::string("{\"ref\": \"\xff\"}"),
        "{\"ref\": \"refs/heads/x\", " + repository, std::string(kGitHubPush.substr(0, 900))}) {
    EXPECT_THAT(error(body), HasSubstr("no JSON object")) << body;
  }
  for (const std::string& body :
       {"{" + repository + "}", "{\"ref\": 1, " + repository + "}",
        "{\"ref\": \"\", " + repository + "}", "{\"ref\": [\"x\"], " + repository + "}",
        "{\"ref\": \"a\\nb\", " + repository + "}",
        "{\"ref\": \"" + std::string(2000, 'x') + "\", " + repository + "}"}) {
    EXPECT_THAT(error(body), HasSubstr("without a ref")) << body;
  }
  for (const char* rest :
       {"", ", \"repository\": \"x\"", ", \"repository\": []", ", \"repository\": null",
        ", \"repository\": {\"clone_url\": 1, \"ssh_url\": {\"x\": \"y\"}}",
        ", \"repository\": {\"clone_url\": \"\"}"}) {
    EXPECT_THAT(error("{\"ref\": \"refs/heads/x\"" + std::string(rest) + "}"),
                HasSubstr("without a repository"))
        << rest;
  }
  // What is only told besides may be anything.
  const Push push =
      parsed(HookKind::GitHub, github("push", ""),
             R"({"ref": "refs/heads/x", "after": 7, "deleted": "yes", )" + repository + "}");
  EXPECT_EQ(push.commit, "");
  EXPECT_FALSE(push.deleted);
}

TEST(Webhook, DeepAndHugePayloadsAreRead) {
  const std::string start =
      R"({"ref": "refs/heads/x", "repository": {"clone_url": "https://example.com/a", "owner": )";
  for (const char* wrapper : {"repository", "commits", "ref"}) {
    const std::string deep = std::string(500'000, '[') + std::string(500'000, ']');
    EXPECT_THAT(parsed(HookKind::GitHub, github("push", ""),
                       start + deep + "}, \"x" + wrapper + "\": " + deep + "}")
                    .repositories,
                UnorderedElementsAre("https://example.com/a"));
  }
  EXPECT_NE(error_of(HookKind::GitHub, github("push", ""), start + std::string(1'000'000, '[')),
            "");
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  EXPECT_NE(error_of(HookKind::GitHub, github("push", ""), deep), "");
  std::string commits;
  for (int i = 0; i < 20'000; ++i) commits += R"({"id": "0123", "message": "A change\n"},)";
  const Push push = parsed(HookKind::GitHub, github("push", ""),
                           start + "null}, \"commits\": [" + commits + "{}]}");
  EXPECT_EQ(push.ref, "refs/heads/x");
}

TEST(Webhook, ADeliveryThatIsNoNameIsNone) {
  const auto delivery = [](std::string_view id) {
    return parsed(HookKind::GitHub, with(github("push", ""), "x-github-delivery", id), kGitHubPush)
        .delivery;
  };
  EXPECT_EQ(delivery(""), "");
  EXPECT_EQ(delivery("a\nb"), "");
  EXPECT_EQ(delivery(std::string(2000, 'x')), "");
  EXPECT_EQ(delivery("1"), "GitHub 1");
}

// --- Which repository

TEST(Webhook, ARepositoryIsTheSameWhateverTheScheme) {
  const std::vector<std::string> same = {
      "https://git.example.com/a/b.git",
      "https://git.example.com/a/b",
      "https://git.example.com/a/b/",
      "https://git.example.com/a/b.git/",
      "https://git.example.com//a//b.git",
      "https://git.example.com:443/a/b.git",
      "http://git.example.com/a/b",
      "http://git.example.com:80/a/b",
      "HTTPS://Git.Example.COM/a/b",
      "https://git.example.com./a/b",
      "https://user:password@git.example.com/a/b.git",
      "https://token@git.example.com/a/b.git",
      "https://git.example.com/A/B.git",
      "https://git.example.com/%61/b.git",
      "https://git.example.com/a/b.git#main",
      "https://git.example.com/a/b.git?x=y",
      "ssh://git@git.example.com/a/b.git",
      "ssh://git@git.example.com:22/a/b",
      "git+ssh://git@git.example.com/a/b",
      "git://git.example.com/a/b.git",
      "git://git.example.com:9418/a/b",
      "git@git.example.com:a/b.git",
      "git@git.example.com:/a/b",
      "someone@GIT.example.com:a/b.git",
      "git.example.com:a/b.git",
  };
  for (const std::string& a : same) {
    for (const std::string& b : same) EXPECT_TRUE(is_same_repository(a, b)) << a << " " << b;
  }
  const std::vector<std::string> others = {
      "https://git.example.com/a/c",      "https://git.example.com/a",
      "https://git.example.com/a/b/c",    "https://example.com/a/b",
      "https://git.example.com:8443/a/b", "ssh://git@git.example.com:2222/a/b",
      "https://git.example.com/x/a/b",    "https://git.example.com.evil.example/a/b",
      "https://git.example.com@evil/a/b", "https://git.example.com/a/b.git.git",
      "https://git.example.com:22/a/b",   "ssh://git.example.com:443/a/b",
  };
  for (const std::string& other : others) {
    EXPECT_TRUE(is_same_repository(other, other)) << other;
    EXPECT_FALSE(is_same_repository(other, same.front())) << other;
    EXPECT_FALSE(is_same_repository(same.front(), other)) << other;
  }
  EXPECT_TRUE(is_same_repository("ssh://git@[::1]:2222/a/b", "ssh://[::1]:2222/a/b.git"));
  EXPECT_FALSE(is_same_repository("ssh://git@[::1]:2222/a/b", "ssh://[::1]/a/b.git"));
}

TEST(Webhook, WhatIsOnNoServerIsNoRepositoryOfOne) {
  for (const char* url : {"",
                          "/",
                          "/srv/a.git",
                          "../a",
                          "a",
                          "a/b",
                          "./a:b",
                          "file:///srv/a.git",
                          "file://localhost/srv/a",
                          "https://",
                          "https://host",
                          "https://host/",
                          "https:///a/b",
                          "https://host/.git",
                          "host:",
                          ":a",
                          "user@:a",
                          "://",
                          "ftp://host/a/b",
                          "ext::sh -c x",
                          "https://user@/a"}) {
    EXPECT_FALSE(is_same_repository(url, url)) << url;
  }
}

TEST(Webhook, APushMeansASourceOfItsRepository) {
  const Push push = parsed(HookKind::Gitea, gitea("push", ""), kGiteaPush);
  const auto means_remote = [&](const std::string& remote, bool local = false) {
    GitSource source;
    source.remote = remote;
    source.local = local;
    return means(push, source);
  };
  EXPECT_TRUE(means_remote("https://token@git.example.com/team/app.git"));
  EXPECT_TRUE(means_remote("ssh://git@git.example.com:2222/Team/App.git"));
  EXPECT_TRUE(means_remote("git@git.example.com:Team/App.git"));
  EXPECT_FALSE(means_remote("https://git.example.com/team/other.git"));
  EXPECT_FALSE(means_remote("https://git.example.com/team/app.git", true));
  EXPECT_FALSE(means(Push(), GitSource()));
  // As a configuration writes it.
  const auto source = parse_source("https://git.example.com/Team/App.git#develop:docker");
  ASSERT_TRUE(source.has_value());
  EXPECT_TRUE(means(push, std::get<GitSource>(*source)));
}

}  // namespace
}  // namespace imagewright
