#include "service/http_head.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <boost/asio/ip/address.hpp>

#include "core/lower_case.h"
#include "core/take_field.h"

namespace imagewright {

namespace {

namespace ip = boost::asio::ip;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// nullopt: `%` without two digits, or a NUL.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (c == '\0') return std::nullopt;
    decoded += c;
  }
  return decoded;
}

bool is_safe(const std::string& method) {
  return method == "GET" || method == "HEAD";
}

std::optional<ip::address> address_of(const std::string& text) {
  boost::system::error_code error;
  const ip::address address = ip::make_address(text, error);
  if (error) return std::nullopt;
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return ip::make_address_v4(ip::v4_mapped, address.to_v6());
  return address;
}

std::string_view default_port(std::string_view scheme) {
  if (scheme == "http") return "80";
  if (scheme == "https") return "443";
  return "";
}

}  // namespace

std::string HttpHead::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::optional<HttpProblem> read_target(std::string_view target, HttpHead& head) {
  if (!target.starts_with('/'))
    return HttpProblem{400, "the request's target must be a path that begins with '/'"};
  if (target.find('#') != std::string_view::npos)
    return HttpProblem{400, "the request's target holds a '#'"};
  const std::size_t question = std::min(target.find('?'), target.size());
  std::string_view path = target.substr(1, question - 1);
  while (!path.empty()) {
    const bool is_last = path.find('/') == std::string_view::npos;
    const auto segment = percent_decoded(take_field(path, '/'), false);
    if (!segment || *segment == "." || *segment == "..")
      return HttpProblem{400, "the request's path cannot be read"};
    head.path.push_back(*segment);
    if (path.empty() && !is_last) head.path.emplace_back();
  }
  std::string_view query = target.substr(std::min(question + 1, target.size()));
  while (!query.empty()) {
    std::string_view value = take_field(query, '&');
    if (value.empty()) continue;
    const auto name = percent_decoded(take_field(value, '='), true);
    const auto decoded = percent_decoded(value, true);
    if (!name || !decoded) return HttpProblem{400, "the request's query cannot be read"};
    head.query[*name] = *decoded;
  }
  return std::nullopt;
}

std::optional<HttpAuthority> parse_authority(std::string_view text) {
  HttpAuthority authority;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    authority.host = lower_case(text.substr(1, end - 1));
    text.remove_prefix(end + 1);
    if (!text.empty() && text[0] != ':') return std::nullopt;
    const auto address = address_of(authority.host);
    if (!address || authority.host.find(':') == std::string::npos) return std::nullopt;
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    authority.host = lower_case(text.substr(0, colon));
    text.remove_prefix(colon);
    if (authority.host.ends_with('.')) authority.host.pop_back();
    const auto is_name = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
    };
    if (!std::all_of(authority.host.begin(), authority.host.end(), is_name)) return std::nullopt;
  }
  if (authority.host.empty()) return std::nullopt;
  if (!text.empty()) text.remove_prefix(1);
  constexpr std::size_t kMostDigits = 5;
  if (text.size() > kMostDigits ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  authority.port = text;
  return authority;
}

HttpHosts::HttpHosts(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::string plain = lower_case(name);
    if (plain.starts_with('[') && plain.ends_with(']')) plain = plain.substr(1, plain.size() - 2);
    if (plain.ends_with('.')) plain.pop_back();
    const auto address = address_of(plain);
    names_.insert(address ? address->to_string() : plain);
  }
  names_.insert("localhost");
}

std::optional<HttpProblem> HttpHosts::check(const HttpHead& head,
                                            const std::string& local_address) const {
  if (local_address.empty()) return std::nullopt;
  const std::string text = head.header("host");
  if (text.empty()) return HttpProblem{400, "the request has no Host"};
  const auto authority = parse_authority(text);
  if (!authority) return HttpProblem{400, "the request's Host cannot be read"};
  std::string name = authority->host;
  if (const auto address = address_of(name)) {
    if (address->is_loopback()) return std::nullopt;
    name = address->to_string();
    if (name == local_address) return std::nullopt;
  }
  if (names_.count(name) != 0) return std::nullopt;
  return HttpProblem{421, "this server is not known by that name: it has to be told of it"};
}

std::optional<HttpProblem> check_origin(const HttpHead& head) {
  if (is_safe(head.method)) return std::nullopt;
  const HttpProblem refusal{403, "this request comes from another site's page"};
  if (lower_case(head.header("sec-fetch-site")) == "cross-site") return refusal;
  if (head.headers.count("origin") == 0) return std::nullopt;
  const std::string origin = lower_case(head.header("origin"));
  const std::size_t colon = origin.find("://");
  if (colon == std::string::npos) return refusal;
  const std::string scheme = origin.substr(0, colon);
  const auto theirs = parse_authority(origin.substr(colon + 3));
  const auto ours = parse_authority(head.header("host"));
  if (!theirs || !ours || theirs->host != ours->host) return refusal;
  const auto port = [&](const HttpAuthority& authority) {
    return authority.port.empty() ? std::string(default_port(scheme)) : authority.port;
  };
  if (port(*theirs) != port(*ours)) return refusal;
  return std::nullopt;
}

}  // namespace imagewright
