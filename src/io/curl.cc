#include "io/curl.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/lower_case.h"
#include "core/source.h"
#include "io/environment.h"
#include "io/error.h"
#include "io/file_read.h"
#include "io/interrupt.h"
#include "io/library.h"

namespace imagewright {

namespace {

constexpr long kMostRedirects = 5;
constexpr std::size_t kMostHeaderBytes = std::size_t{1} << 20;

// Without what could be a password: curl repeats addresses of proxies as they were given.
std::string without_passwords(const std::string& message) {
  std::string text = redacted(message);
  for (std::size_t at = text.find('@'); at != std::string::npos; at = text.find('@', at + 1)) {
    const std::size_t blank = text.find_last_of(" '\"/", at);
    const std::size_t begin = blank == std::string::npos ? 0 : blank + 1;
    text.replace(begin, at - begin, "xxxxx");
    at = begin + 5;
  }
  return text;
}

HttpError::Kind kind_of(CURLcode code) {
  switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
      return HttpError::Kind::Untrusted;
    case CURLE_OPERATION_TIMEDOUT:
      return HttpError::Kind::TimedOut;
    case CURLE_ABORTED_BY_CALLBACK:
      return HttpError::Kind::Interrupted;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
      return HttpError::Kind::Unreachable;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return HttpError::Kind::Broken;
    default:
      return HttpError::Kind::Wrong;
  }
}

std::string host_of(const std::string& url) {
  return host_without_port(authority_of(url));
}

}  // namespace

const Curl& curl() {
  static const Curl loaded = [] {
    const Library library("libcurl.so.4", "libcurl",
                          "to ask registries it takes libcurl (Debian: libcurl4)");
    Curl all;
    library.find("curl_global_init", all.global_init);
    library.find("curl_easy_init", all.init);
    library.find("curl_easy_cleanup", all.cleanup);
    library.find("curl_easy_reset", all.reset);
    library.find("curl_easy_setopt", all.set);
    library.find("curl_easy_perform", all.perform);
    library.find("curl_easy_getinfo", all.info);
    library.find("curl_easy_strerror", all.words);
    library.find("curl_slist_append", all.append);
    library.find("curl_slist_free_all", all.free_list);
    library.find("curl_multi_init", all.multi_init);
    library.find("curl_multi_cleanup", all.multi_cleanup);
    library.find("curl_multi_setopt", all.multi_set);
    library.find("curl_multi_add_handle", all.multi_add);
    library.find("curl_multi_remove_handle", all.multi_remove);
    library.find("curl_multi_perform", all.multi_perform);
    library.find("curl_multi_poll", all.multi_poll);
    library.find("curl_multi_wakeup", all.multi_wakeup);
    library.find("curl_multi_info_read", all.multi_read);
    all.global_init(CURL_GLOBAL_DEFAULT);
    return all;
  }();
  return loaded;
}

CurlTransfer::CurlTransfer() : easy_(curl().init()) {
  if (easy_ == nullptr) throw Error(Error::Kind::Missing, "libcurl cannot be used");
}

CurlTransfer::~CurlTransfer() {
  curl().cleanup(easy_);
  clear();
}

// (Curl's own limit counts what a request waits for a connection, too.)
int CurlTransfer::look_at_progress(void* self, curl_off_t, curl_off_t received, curl_off_t,
                                   curl_off_t) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  if ((interrupted() != 0 && !transfer.even_interrupted_) || *transfer.stop_) return 1;
  const auto now = std::chrono::steady_clock::now();
  const bool begun = transfer.first_byte_ != std::chrono::steady_clock::time_point();
  if (received > 0 && !begun) transfer.first_byte_ = now;
  transfer.too_slow_ = begun && now - transfer.first_byte_ > transfer.most_time_;
  return transfer.too_slow_ ? 1 : 0;
}

void CurlTransfer::clear() {
  curl().free_list(headers_);
  headers_ = nullptr;
  too_long_ = false;
  too_slow_ = false;
  header_bytes_ = 0;
  is_ok_ = false;
  first_byte_ = {};
  response_ = {};
  message_[0] = '\0';
}

std::size_t CurlTransfer::take_body(char* bytes, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  if (transfer.on_body_ && transfer.is_ok_)
    return transfer.on_body_({bytes, size * count}) ? size * count : 0;
  if (transfer.response_.body.size() + size * count > transfer.largest_) {
    transfer.too_long_ = true;
    return 0;
  }
  transfer.response_.body.append(bytes, size * count);
  return size * count;
}

std::size_t CurlTransfer::take_header(char* bytes, std::size_t size, std::size_t count,
                                      void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  HttpResponse& response = transfer.response_;
  transfer.header_bytes_ += size * count;
  if (transfer.header_bytes_ > kMostHeaderBytes) return 0;
  std::string_view line(bytes, size * count);
  while (line.ends_with('\n') || line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // of an answer that leads elsewhere, nothing stays
    response.headers.clear();
    response.body.clear();
    transfer.is_ok_ = line.substr(std::min(line.size(), line.find(' '))).starts_with(" 200");
  } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
    response.headers[lower_case(line.substr(0, colon))] = value;
  }
  return size * count;
}

void CurlTransfer::prepare(const HttpRequest& request, const std::atomic<bool>& stop) {
  const Curl& lib = curl();
  CURL* const easy = easy_;
  lib.reset(easy);
  clear();
  largest_ = request.largest;
  on_body_ = request.on_body;
  even_interrupted_ = request.even_interrupted;
  stop_ = &stop;
  most_time_ = request.most_time;
  host_ = host_of(request.url);

  lib.set(easy, CURLOPT_URL, request.url.c_str());
  if (!request.socket.empty()) lib.set(easy, CURLOPT_UNIX_SOCKET_PATH, request.socket.c_str());
  lib.set(easy, CURLOPT_NOSIGNAL, 1L);
  lib.set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  lib.set(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  lib.set(easy, CURLOPT_FOLLOWLOCATION, request.follow ? 1L : 0L);
  lib.set(easy, CURLOPT_MAXREDIRS, kMostRedirects);
  lib.set(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(request.connect_time.count()));
  lib.set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  lib.set(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.idle_time.count()));
  lib.set(easy, CURLOPT_ERRORBUFFER, message_.data());
  lib.set(easy, CURLOPT_USERAGENT, request.user_agent.c_str());
  lib.set(easy, CURLOPT_NETRC,
          static_cast<long>(request.netrc ? CURL_NETRC_OPTIONAL : CURL_NETRC_IGNORED));
  if (request.compressed) lib.set(easy, CURLOPT_ACCEPT_ENCODING, "");
  // (A connection that may turn out to carry many is worth waiting for.)
  if (request.url.starts_with("https:")) lib.set(easy, CURLOPT_PIPEWAIT, 1L);
  if (!request.proxy_for_loopback && is_loopback(host_)) lib.set(easy, CURLOPT_NOPROXY, "*");
  lib.set(easy, CURLOPT_WRITEFUNCTION, take_body);
  lib.set(easy, CURLOPT_WRITEDATA, this);
  lib.set(easy, CURLOPT_HEADERFUNCTION, take_header);
  lib.set(easy, CURLOPT_HEADERDATA, this);
  lib.set(easy, CURLOPT_NOPROGRESS, 0L);
  lib.set(easy, CURLOPT_XFERINFOFUNCTION, look_at_progress);
  lib.set(easy, CURLOPT_XFERINFODATA, this);
  lib.set(easy, CURLOPT_QUICK_EXIT, 1L);

  if (request.method == "HEAD") lib.set(easy, CURLOPT_NOBODY, 1L);
  if (request.method == "POST" || request.method == "PUT") {
    lib.set(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    lib.set(easy, CURLOPT_COPYPOSTFIELDS, request.body.c_str());
    if (request.method == "PUT") lib.set(easy, CURLOPT_CUSTOMREQUEST, "PUT");
  }
  if (!request.user_and_password.empty()) {
    lib.set(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    const std::size_t colon = request.user_and_password.find(':');
    lib.set(easy, CURLOPT_USERNAME, request.user_and_password.substr(0, colon).c_str());
    lib.set(easy, CURLOPT_PASSWORD, request.user_and_password.substr(colon + 1).c_str());
  }
  if (!request.bearer.empty()) {
    lib.set(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    lib.set(easy, CURLOPT_XOAUTH2_BEARER, request.bearer.c_str());
  }

  const HttpTrust& trust = request.trust;
  if (trust.any_certificate) {
    lib.set(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    lib.set(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  const std::string own_bundle = trust.bundle.empty() ? variable("SSL_CERT_FILE") : trust.bundle;
  if (!own_bundle.empty()) lib.set(easy, CURLOPT_CAINFO, own_bundle.c_str());
  if (!trust.authorities.empty()) {
    // A blob takes the place of the file, not of the system's directory.
    authorities_ = trust.authorities;
    if (!own_bundle.empty()) authorities_ += '\n' + read_file(own_bundle);
    curl_blob blob = {authorities_.data(), authorities_.size(), CURL_BLOB_NOCOPY};
    lib.set(easy, CURLOPT_CAINFO_BLOB, &blob);
  }
  if (!trust.certificate.empty()) lib.set(easy, CURLOPT_SSLCERT, trust.certificate.c_str());
  if (!trust.key.empty()) lib.set(easy, CURLOPT_SSLKEY, trust.key.c_str());

  const auto add = [&](const std::string& header) {
    headers_ = lib.append(headers_, header.c_str());
  };
  for (const std::string& header : request.headers) add(header);
  // (What is sent is short: nobody is to be asked whether to send it.)
  if (request.method == "POST" || request.method == "PUT") add("Expect:");
  lib.set(easy, CURLOPT_HTTPHEADER, headers_);
}

tl::expected<HttpResponse, HttpError> CurlTransfer::result(CURLcode code) {
  const Curl& lib = curl();
  if (too_long_) {
    return tl::unexpected(HttpError(HttpError::Kind::Wrong,
                                    fmt::format("its answer is longer than {} bytes", largest_)));
  }
  if (too_slow_) {
    return tl::unexpected(
        HttpError(HttpError::Kind::TimedOut,
                  fmt::format("its answer takes longer than {} s", most_time_.count())));
  }
  if (code != CURLE_OK) {
    const std::string message = message_.data();
    char* last = nullptr;
    lib.info(easy_, CURLINFO_EFFECTIVE_URL, &last);
    const bool elsewhere = last != nullptr && host_of(last) != host_;
    return tl::unexpected(HttpError(
        kind_of(code), without_passwords(message.empty() ? lib.words(code) : message), elsewhere));
  }
  long status = 0;
  lib.info(easy_, CURLINFO_RESPONSE_CODE, &status);
  response_.status = static_cast<int>(status);
  return std::move(response_);
}

}  // namespace imagewright
