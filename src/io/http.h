// One HTTP request and its answer, by libcurl, which is loaded when the first one is made: a run
// that asks nobody does not pay for it. Knows nothing of what is asked.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace imagewright {

/// How a server's certificate is judged.
struct HttpTrust {
  bool any_certificate = false;
  std::string authorities;  ///< certificates in PEM that count beside the system's
  std::string bundle;       ///< the path of a file of them that counts instead of the system's
  std::string certificate;  ///< paths of our own one and its key; "": none
  std::string key;
};

struct HttpRequest {
  std::string method = "GET";  ///< GET, HEAD, POST or PUT
  std::string url;
  std::vector<std::string> headers;  ///< "Name: value"
  std::string body;                  ///< POST (a form, urlencoded) or PUT (its header says what)
  // At most one of the two; neither is sent to another host that an answer leads to.
  std::string user_and_password;  ///< "user:password"
  std::string bearer;
  HttpTrust trust = {};
  std::string socket = {};  ///< the path of a unix socket to ask by, whatever the URL's host
  std::size_t largest = std::size_t{4} << 20;  ///< bytes; a longer body is an error
  /// Takes the body of an answer with status 200 part by part instead, however long it is. False:
  /// it wants no more, and the request ends as broken.
  std::function<bool(std::string_view part)> on_body = {};
  std::string user_agent = "imagewright";
  bool follow = true;             ///< up to 5 redirects, http and https only
  bool compressed = false;        ///< it may come so
  bool even_interrupted = false;  ///< it goes on after an interrupt (io/interrupt.h)
  bool netrc = false;             ///< without a login of its own, by that of the user's .netrc
  /// Else never for this machine itself.
  bool proxy_for_loopback = false;
  std::chrono::seconds connect_time{10};
  std::chrono::seconds idle_time{30};  ///< without a byte
  std::chrono::seconds most_time{60};  ///< in all, from the body's first byte on
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< by name in lower case; the last of a name
  std::string body;
  std::string header(const std::string& name) const;  ///< "": there is none
};

/// No answer came. what() says why, without the address.
class HttpError : public std::runtime_error {
 public:
  enum class Kind {
    Unreachable,  ///< no such host, or no connection to it
    Broken,       ///< the connection was closed before the answer was complete
    Untrusted,    ///< its certificate, or it speaks no TLS
    TimedOut,
    Wrong,  ///< not what HTTP is, or too long
    Interrupted,
  };
  /// `elsewhere`: it was another host's fault, to which the one that was asked had led.
  HttpError(Kind kind, const std::string& message, bool elsewhere = false)
      : std::runtime_error(message), kind_(kind), elsewhere_(elsewhere) {}
  Kind kind() const { return kind_; }
  bool elsewhere() const { return elsewhere_; }

 private:
  Kind kind_;
  bool elsewhere_;
};

/// A connection that is kept for the next request to the same host. One thread at a time.
class Http {
 public:
  /// `stop`: what ends a request, when it becomes true; borrowed. Throws Error(Missing) where there
  /// is no libcurl.
  explicit Http(const std::atomic<bool>& stop);
  ~Http();
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;

  /// Proxies as curl takes them from the environment; authorities of SSL_CERT_FILE, where that is
  /// set, instead of the system's. Throws HttpError.
  HttpResponse send(const HttpRequest& request);

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

/// `HOST` or `HOST:PORT` of a URL; "": it has none.
std::string authority_of(const std::string& url);
/// The same without the port.
std::string host_without_port(const std::string& authority);

/// Does a host, without its port, mean this machine, whoever is asked?
bool is_loopback(const std::string& host);

/// As part of a URL's query or of a form.
std::string percent_encoded(const std::string& text);

}  // namespace imagewright
