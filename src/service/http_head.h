// What a request's head asks for, and whether it may: its target taken apart, and the rules that
// keep other sites' pages out (names in Host against DNS rebinding, Origin against forged
// requests). Knows nothing of connections.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "service/http_server.h"

namespace imagewright {

/// Why a request is refused before anybody is asked.
struct HttpProblem {
  int status = 400;
  std::string sentence;
};

/// Fills in `path` and `query`.
std::optional<HttpProblem> read_target(std::string_view target, HttpHead& head);

/// "host:port" or "[address]:port" taken apart: the host in lower case, without brackets and a last
/// dot; the port as digits, or "".
struct HttpAuthority {
  std::string host;
  std::string port;
};
std::optional<HttpAuthority> parse_authority(std::string_view text);

/// By which names a server may be called over TCP.
class HttpHosts {
 public:
  /// `names` as in HttpServerOptions::hosts.
  explicit HttpHosts(const std::vector<std::string>& names);
  /// `local_address`: where the connection arrived; "" over the unix socket, where any name is
  /// good, and none.
  std::optional<HttpProblem> check(const HttpHead& head, const std::string& local_address) const;

 private:
  std::set<std::string> names_;
};

/// What a page of another site makes a browser send is refused, unless it can only read.
std::optional<HttpProblem> check_origin(const HttpHead& head);

}  // namespace imagewright
