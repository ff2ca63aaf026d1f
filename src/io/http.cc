#include "io/http.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cctype>
#include <mutex>

#include "core/lower_case.h"
#include "core/source.h"
#include "io/environment.h"
#include "io/error.h"
#include "io/file_read.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

constexpr long kConnectSeconds = 10;
constexpr long kIdleSeconds = 30;
constexpr long kMostSeconds = 60;
constexpr long kMostRedirects = 5;

// What we use of libcurl.
struct Curl {
  decltype(&curl_global_init) global_init = nullptr;
  decltype(&curl_easy_init) init = nullptr;
  decltype(&curl_easy_cleanup) cleanup = nullptr;
  decltype(&curl_easy_reset) reset = nullptr;
  decltype(&curl_easy_setopt) set = nullptr;
  decltype(&curl_easy_perform) perform = nullptr;
  decltype(&curl_easy_getinfo) info = nullptr;
  decltype(&curl_easy_strerror) words = nullptr;
  decltype(&curl_slist_append) append = nullptr;
  decltype(&curl_slist_free_all) free_list = nullptr;
};

template <typename Function>
void find(void* library, const char* name, Function& function) {
  // (POSIX: what dlsym gives is a function's address, if that is what the name is.)
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr)
    throw Error(Error::Kind::Missing, std::string("libcurl is too old: it has no ") + name);
}

// Loaded once, and never unloaded.
const Curl& curl() {
  static const Curl loaded = [] {
    void* const library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      throw Error(
          Error::Kind::Missing,
          fmt::format("to ask registries it takes libcurl (Debian: libcurl4): {}", dlerror()));
    }
    Curl all;
    find(library, "curl_global_init", all.global_init);
    find(library, "curl_easy_init", all.init);
    find(library, "curl_easy_cleanup", all.cleanup);
    find(library, "curl_easy_reset", all.reset);
    find(library, "curl_easy_setopt", all.set);
    find(library, "curl_easy_perform", all.perform);
    find(library, "curl_easy_getinfo", all.info);
    find(library, "curl_easy_strerror", all.words);
    find(library, "curl_slist_append", all.append);
    find(library, "curl_slist_free_all", all.free_list);
    all.global_init(CURL_GLOBAL_DEFAULT);
    return all;
  }();
  return loaded;
}

struct Answer {
  HttpResponse response;
  std::size_t largest = 0;
  bool too_long = false;
};

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* target) {
  auto& answer = *static_cast<Answer*>(target);
  if (answer.response.body.size() + size * count > answer.largest) {
    answer.too_long = true;
    return 0;
  }
  answer.response.body.append(bytes, size * count);
  return size * count;
}

std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* target) {
  auto& answer = *static_cast<Answer*>(target);
  std::string_view line(bytes, size * count);
  while (line.ends_with('\n') || line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // of an answer that leads elsewhere, nothing stays
    answer.response.headers.clear();
    answer.response.body.clear();
  } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
    answer.response.headers[lower_case(line.substr(0, colon))] = value;
  }
  return size * count;
}

int stop_if_wanted(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return interrupted() != 0 || *static_cast<const std::atomic<bool>*>(stop) ? 1 : 0;
}

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

std::string HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

struct Http::Handle {
  const std::atomic<bool>* stop = nullptr;
  CURL* easy = nullptr;
  std::array<char, CURL_ERROR_SIZE> message{};
};

Http::Http(const std::atomic<bool>& stop) : handle_(std::make_unique<Handle>()) {
  handle_->stop = &stop;
  handle_->easy = curl().init();
  if (handle_->easy == nullptr) throw Error(Error::Kind::Missing, "libcurl cannot be used");
}

Http::~Http() {
  curl().cleanup(handle_->easy);
}

HttpResponse Http::send(const HttpRequest& request) {
  const Curl& lib = curl();
  CURL* const easy = handle_->easy;
  lib.reset(easy);
  handle_->message[0] = '\0';
  Answer answer;
  answer.largest = request.largest;
  std::string expects;

  lib.set(easy, CURLOPT_URL, request.url.c_str());
  lib.set(easy, CURLOPT_NOSIGNAL, 1L);
  lib.set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  lib.set(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  lib.set(easy, CURLOPT_FOLLOWLOCATION, 1L);
  lib.set(easy, CURLOPT_MAXREDIRS, kMostRedirects);
  lib.set(easy, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  lib.set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  lib.set(easy, CURLOPT_LOW_SPEED_TIME, kIdleSeconds);
  lib.set(easy, CURLOPT_ERRORBUFFER, handle_->message.data());
  lib.set(easy, CURLOPT_USERAGENT, "imagewright");
  lib.set(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  if (is_loopback(host_of(request.url))) lib.set(easy, CURLOPT_NOPROXY, "*");
  lib.set(easy, CURLOPT_WRITEFUNCTION, take_body);
  lib.set(easy, CURLOPT_WRITEDATA, &answer);
  lib.set(easy, CURLOPT_HEADERFUNCTION, take_header);
  lib.set(easy, CURLOPT_HEADERDATA, &answer);
  lib.set(easy, CURLOPT_NOPROGRESS, 0L);
  lib.set(easy, CURLOPT_XFERINFOFUNCTION, stop_if_wanted);
  lib.set(easy, CURLOPT_XFERINFODATA, const_cast<std::atomic<bool>*>(handle_->stop));
  lib.set(easy, CURLOPT_QUICK_EXIT, 1L);
  lib.set(easy, CURLOPT_TIMEOUT, kMostSeconds);

  if (request.method == "HEAD") lib.set(easy, CURLOPT_NOBODY, 1L);
  if (request.method == "POST" || request.method == "PUT") {
    lib.set(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    lib.set(easy, CURLOPT_COPYPOSTFIELDS, request.body.c_str());
    if (request.method == "PUT") lib.set(easy, CURLOPT_CUSTOMREQUEST, "PUT");
    // (It is short: nobody is to be asked whether to send it.)
    expects = "Expect:";
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
  const std::string own_bundle = variable("SSL_CERT_FILE");
  if (!own_bundle.empty()) lib.set(easy, CURLOPT_CAINFO, own_bundle.c_str());
  std::string authorities;
  if (!trust.authorities.empty()) {
    // A blob takes the place of the file, not of the system's directory.
    authorities = trust.authorities;
    if (!own_bundle.empty()) authorities += '\n' + read_file(own_bundle);
    curl_blob blob = {authorities.data(), authorities.size(), CURL_BLOB_NOCOPY};
    lib.set(easy, CURLOPT_CAINFO_BLOB, &blob);
  }
  if (!trust.certificate.empty()) lib.set(easy, CURLOPT_SSLCERT, trust.certificate.c_str());
  if (!trust.key.empty()) lib.set(easy, CURLOPT_SSLKEY, trust.key.c_str());

  curl_slist* list = nullptr;
  for (const std::string& header : request.headers) list = lib.append(list, header.c_str());
  if (!expects.empty()) list = lib.append(list, expects.c_str());
  lib.set(easy, CURLOPT_HTTPHEADER, list);
  const CURLcode code = lib.perform(easy);
  lib.set(easy, CURLOPT_HTTPHEADER, nullptr);
  lib.free_list(list);
  if (answer.too_long) {
    throw HttpError(HttpError::Kind::Wrong,
                    fmt::format("its answer is longer than {} bytes", request.largest));
  }
  if (code != CURLE_OK) {
    const std::string message = handle_->message.data();
    char* last = nullptr;
    lib.info(easy, CURLINFO_EFFECTIVE_URL, &last);
    const bool elsewhere = last != nullptr && host_of(last) != host_of(request.url);
    throw HttpError(kind_of(code), without_passwords(message.empty() ? lib.words(code) : message),
                    elsewhere);
  }
  long status = 0;
  lib.info(easy, CURLINFO_RESPONSE_CODE, &status);
  answer.response.status = static_cast<int>(status);
  return std::move(answer.response);
}

std::string authority_of(const std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return "";
  return url.substr(scheme + 3, url.find('/', scheme + 3) - scheme - 3);
}

std::string host_without_port(const std::string& authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "[::1]") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

std::string percent_encoded(const std::string& text) {
  std::string encoded;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 ||
        std::string_view("-._~").find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace imagewright
