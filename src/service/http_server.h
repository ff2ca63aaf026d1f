// An HTTP/1.1 server: one event loop for all connections (Boost.Beast), a few threads for what
// handlers do. Knows nothing of what is served; holds to limits of size and time, and to who may
// ask from where.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imagewright {

/// A request up to its body.
struct HttpHead {
  std::string method;
  std::string target;  ///< as it was sent
  /// Its segments, percent-decoded: none of "/"; a slash at the end is a last one that is empty. A
  /// segment can hold a "/" (sent as %2F), but no NUL, and is never "." or "..".
  std::vector<std::string> path;
  std::map<std::string, std::string> query;    ///< percent-decoded; the last of a name
  std::map<std::string, std::string> headers;  ///< by name in lower case; the last of a name
  std::string peer;                            ///< the address it came from; "": the unix socket
  /// From a loopback address over TCP, and no proxy says (Forwarded, X-Forwarded-For, X-Real-IP,
  /// Via) that it asks for somebody else.
  bool is_loopback = false;
  bool is_local_user = false;  ///< over the unix socket, which only we can open
  bool is_encrypted = false;   ///< TLS
  std::string header(const std::string& name) const;  ///< "": there is none
};

/// What is sent bit by bit, as long as the client listens: server-sent events, or any text. From
/// any thread.
class HttpStream {
 public:
  virtual ~HttpStream() = default;
  /// False: the client is gone, or so slow that it was dropped: with these bytes more than 1 MiB
  /// would wait. (What is sent while nothing waits may be longer.)
  virtual bool send(std::string bytes) = 0;
  /// The end, when all is sent. Who lets go of the stream closes it.
  virtual void close() = 0;
  virtual bool is_open() const = 0;
  /// How many bytes wait for the client: who has much to send sends the rest when it is less.
  virtual std::size_t waiting() const = 0;
};

struct HttpReply {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  /// Instead of those that every reply has, where they have the same name. None may say how long
  /// the reply is, or what becomes of the connection.
  std::vector<std::pair<std::string, std::string>> headers;
  /// Instead of a body: called after `answer`, by its thread, so it returns soon; what it keeps may
  /// be written to later. Not called where there can be no body (HEAD, 204). What it throws is
  /// told to `log` and ends the stream.
  std::function<void(std::shared_ptr<HttpStream> stream)> stream;
};

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;

  /// Before any of the body is read: a reply (no stream) to be given without it (401, 404, 413 …),
  /// or how long it may be at most. On the event loop, so it must not wait for anything. What the
  /// server refuses by itself (who may ask from where, what is no HTTP) does not come this far.
  struct Admission {
    std::optional<HttpReply> refusal;
    std::size_t largest_body = 0;
  };
  virtual Admission admit(const HttpHead& head) = 0;

  /// With the whole body. On one of the handlers' threads. What it throws is a 500, told to `log`.
  /// HEAD is answered like GET: its body is not sent.
  virtual HttpReply answer(const HttpHead& head, const std::string& body) = 0;
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";  ///< an address, or a name that has some; "": no TCP
  std::uint16_t port = 0;          ///< 0: any that is free
  std::filesystem::path socket;    ///< of a unix socket (made with mode 0600); "": none
  /// Names (without a port) by which requests over TCP may call us; what else is in Host is
  /// answered 421. Addresses we listen on, "localhost" and loopback addresses count anyway.
  std::vector<std::string> hosts;
  std::filesystem::path certificate;  ///< PEM; "": no TLS
  std::filesystem::path key;
  int handler_threads = 4;
  /// Those above are answered 503. Some more of the unix socket are still served: whoever floods
  /// the server is not to lock its owner out.
  std::size_t most_connections = 2000;
  std::size_t largest_head = 16 << 10;
  std::chrono::milliseconds head_time{10'000};       ///< to send a request's head
  std::chrono::milliseconds body_time{60'000};       ///< without a byte of the body
  std::chrono::milliseconds idle_time{60'000};       ///< between requests of a connection
  std::function<void(const std::string& line)> log;  ///< what went wrong; from any thread
};

/// What it refuses by itself, as JSON `{"error": "one sentence"}`:
///   400  what is no HTTP, or could be read in two ways (where a request ends, folded headers, `..`
///        in a path); over TCP a request without a Host
///   403  requests other than GET and HEAD that another site's page makes a browser send: Origin is
///        not the Host's, or Sec-Fetch-Site is cross-site
///   408  heads and bodies that are too slow
///   413  bodies that are too long; 431: heads
///   417  an Expect, 501: a Transfer-Encoding, 505: a version that is not known
///   421  over TCP, a name in Host that is none of its own (HttpServerOptions::hosts)
///   503  connections above the limit
/// After those the connection is closed. Every reply says that it may be kept by nobody, framed by
/// nobody, and that only what is ours may be run or loaded in it (HttpReply::headers can say
/// otherwise).
class HttpServer {
 public:
  /// Listens from now on; requests are served by threads of its own until it is destroyed, which
  /// closes all connections and waits for what is in `answer`. Throws Error(Missing) with the
  /// address if it cannot listen.
  HttpServer(HttpServerOptions options, HttpHandler& handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;
  /// Takes no new connection or request any more; returns when those under way are answered, or
  /// after so long. Streams are closed. Not from a handler.
  void drain(std::chrono::milliseconds most);
  std::size_t connections() const;

 private:
  struct Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace imagewright
