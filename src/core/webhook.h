// What a webhook says: that somebody pushed to a repository. Pure: what is due because of it is
// looked at anew, so that one who lies gains nothing. Rules: the documentation of GitHub, Gitea,
// Forgejo and GitLab; Standard Webhooks for GitLab's signatures.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/source.h"

namespace imagewright {

enum class HookKind { GitHub, Gitea, Forgejo, GitLab };

/// "GitHub", …
const char* word(HookKind kind);

/// By name in lower case.
using HookHeaders = std::map<std::string, std::string>;

/// Who sends it, by its headers (Gitea and Forgejo send those of others, too). nullopt: none of
/// these.
std::optional<HookKind> kind_of(const HookHeaders& headers);

/// Does whoever sent this know the secret? Over the body as it came, compared in constant time.
/// Only the first of these headers that is there counts, another that is right does not save it:
///   GitHub                    x-hub-signature-256 (HMAC-SHA-256: "sha256=" and lower-case digits)
///   Gitea, Forgejo            x-forgejo-signature (of Forgejo), x-gitea-signature (the same,
///                             digits only), x-hub-signature-256
///   GitLab, "whsec_…" secret  webhook-signature ("v1," and base64; any of several), over
///                             webhook-id, webhook-timestamp and body
///   GitLab                    x-gitlab-token (the secret itself)
/// An empty secret, or no such header: false. How old a signature is, is not looked at: a push that
/// is told of again only makes its sources due again.
bool is_authentic(HookKind kind, const HookHeaders& headers, std::string_view body,
                  std::string_view secret);

enum class HookEvent {
  Push,   ///< a branch or a tag is another commit now, is new, or is gone
  Ping,   ///< it was set up
  Other,  ///< nothing that matters here
};

struct Push {
  HookEvent event = HookEvent::Other;
  /// Every URL under which the payload names the repository: to clone it by https, ssh and git, and
  /// its page. Of a push at least one.
  std::vector<std::string> repositories;
  std::string ref;       ///< "refs/heads/main"; "" of what is no push
  std::string commit;    ///< what it is now; "" where that is not told, or it is gone
  bool deleted = false;  ///< the ref is gone
  /// The same when it is sent again, and of no other; begins with the kind. "": it has none.
  std::string delivery;
};

/// The body may be JSON, or a form that holds it (content-type). The error is one sentence.
tl::expected<Push, std::string> parse_push(HookKind kind, const HookHeaders& headers,
                                           std::string_view body);

/// Are these URLs, or `user@host:path`, of one repository, whatever the scheme? Logins, a scheme's
/// own port, slashes at the end, `.git`, and upper or lower case (services take them for the same)
/// make no difference. Paths on this machine are of none.
bool is_same_repository(std::string_view a, std::string_view b);

/// Is that the repository of the source?
bool means(const Push& push, const GitSource& source);

}  // namespace imagewright
