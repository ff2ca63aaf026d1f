// What a server wants before it answers: the header WWW-Authenticate, read. Pure. Rules: RFC 9110,
// 11.6.1; the token authentication of the distribution project.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace imagewright {

/// One way of authentication that a server offers.
struct Challenge {
  std::string scheme;                             ///< in lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  ///< by name, in lower case; quotes taken off
  /// "" where it is not given.
  std::string parameter(const std::string& name) const;
  bool operator==(const Challenge&) const = default;
};

/// All that one header's value offers, in its order. What cannot be read ends it.
std::vector<Challenge> parse_challenges(std::string_view value);

/// How many seconds a header Retry-After asks to wait, where it is a number; -1: it is none (it can
/// be a date), or absurd.
int retry_after_seconds(std::string_view value);

}  // namespace imagewright
