#include "io/git_settings.h"

#include <algorithm>
#include <array>

#include "core/lower_case.h"
#include "core/take_field.h"
#include "io/environment.h"
#include "io/http.h"

namespace imagewright {

namespace {

// Of no matter for a short question: how much is sent or received, how slowly; what we are called.
constexpr std::array kNoMatter = {
    "postbuffer", "maxrequests", "minsessions", "lowspeedlimit",       "lowspeedtime",
    "useragent",  "noepsv",      "delegation",  "schannelcheckrevoke", "schannelusesslcainfo"};

// By which git is told of certificates what we do not heed. (Proxies' variables are libcurl's own.)
constexpr std::array kTlsVariables = {
    "GIT_SSL_CAPATH",      "GIT_SSL_CERT",         "GIT_SSL_KEY",        "GIT_SSL_VERSION",
    "GIT_SSL_CIPHER_LIST", "GIT_PROXY_SSL_CAINFO", "GIT_PROXY_SSL_CERT", "GIT_PROXY_SSL_KEY"};
constexpr std::array kVariables = {"GIT_HTTP_PROXY_AUTHMETHOD", "GIT_SMART_HTTP", "GIT_PROTOCOL"};

bool any_is_set(const auto& names) {
  return std::any_of(names.begin(), names.end(),
                     [](const char* name) { return !variable(name).empty(); });
}

// As git reads one.
bool is_false(const std::string& value) {
  const std::string word = lower_case(value);
  return word == "false" || word == "no" || word == "off" || word == "0" || word.empty();
}

std::string host_of(const std::string& url) {
  std::string host = lower_case(authority_of(url));
  if (const std::size_t at = host.rfind('@'); at != std::string::npos) host.erase(0, at + 1);
  return host_without_port(host);
}

// Could a setting for `pattern` be one for that URL? (Git's rules are finer; where this says yes,
// git is asked.)
bool may_match(const std::string& pattern, const std::string& url) {
  if (pattern.empty() || pattern.find('*') != std::string::npos) return true;
  const std::string host = host_of(pattern);
  return host.empty() || host == host_of(url);
}

}  // namespace

GitSettings::GitSettings(std::string_view list) {
  while (!list.empty()) {
    const std::string_view entry = take_field(list, '\0');
    const std::size_t line = entry.find('\n');
    const std::string_view key = entry.substr(0, line);
    // (A key without a value is true.)
    const std::string value(line == std::string_view::npos ? "true" : entry.substr(line + 1));
    const std::size_t first = key.find('.');
    const std::size_t last = key.rfind('.');
    if (first == std::string_view::npos) continue;
    const std::string of(first == last ? "" : key.substr(first + 1, last - first - 1));
    read(key.substr(0, first), of, key.substr(last + 1), value);
  }
  read_variables();
}

void GitSettings::read(std::string_view section, const std::string& of, std::string_view name,
                       const std::string& value) {
  if (section == "url" && name == "insteadof") {
    rewritten_.push_back(value);
  } else if (section == "fetch" && of == "fsck") {
    judges_objects_ = true;
  } else if (section == "protocol") {
    if (name == "allow" || (name == "version" && value != "2")) leave_all_to_git_ = true;
  } else if (section == "http") {
    if (of.empty() && name == "sslverify") {
      trust_.any_certificate = is_false(value);
    } else if (of.empty() && name == "sslcainfo" && value.starts_with('/')) {
      trust_.bundle = value;
    } else if (std::find(kNoMatter.begin(), kNoMatter.end(), name) == kNoMatter.end()) {
      unheeded_.push_back({of, name.starts_with("ssl")});
    }
  }
}

// They come before the configuration.
void GitSettings::read_variables() {
  if (any_is_set(kVariables)) leave_all_to_git_ = true;
  if (any_is_set(kTlsVariables)) unheeded_.push_back({"", true});
  if (!variable("GIT_SSL_NO_VERIFY").empty()) trust_.any_certificate = true;
  if (const std::string bundle = variable("GIT_SSL_CAINFO"); !bundle.empty())
    trust_.bundle = bundle;
}

std::optional<HttpTrust> GitSettings::trust_for(const std::string& url) const {
  const bool is_rewritten =
      std::any_of(rewritten_.begin(), rewritten_.end(),
                  [&](const std::string& beginning) { return url.starts_with(beginning); });
  const bool tls = url.starts_with("https:");
  const bool any_unheeded =
      std::any_of(unheeded_.begin(), unheeded_.end(), [&](const Unheeded& setting) {
        return (tls || !setting.tls) && may_match(setting.url, url);
      });
  if (leave_all_to_git_ || is_rewritten || any_unheeded) return std::nullopt;
  return trust_;
}

}  // namespace imagewright
