// One connection of an HTTP server: reads requests one after the other, has them answered, writes
// replies and streams, and holds to the limits of size and time. Knows nothing of how it came
// about, or of what is served.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "service/http_head.h"
#include "service/http_reply.h"
#include "service/http_server.h"
#include "service/http_transport.h"

namespace imagewright {

class HttpConnection;

/// What all connections of a server share.
struct HttpService {
  boost::asio::io_context& context;
  const HttpServerOptions& options;
  HttpHandler& handler;
  const HttpHosts& hosts;
  /// Has a task done by a handler's thread.
  std::function<void(std::function<void()> task)> in_thread;
  /// The connection is closed: the last that it says.
  std::function<void(const std::shared_ptr<HttpConnection>& connection)> closed;
  /// One line of what went wrong.
  std::function<void(const std::string& line)> log;
};

/// From where to where.
struct HttpEnds {
  std::string peer;   ///< "": the unix socket
  std::string local;  ///< the same
  bool is_loopback = false;
  bool is_encrypted = false;
};

/// The loop's side of a stream; HttpStream is the handler's. From any thread.
class HttpStreamBuffer {
 public:
  explicit HttpStreamBuffer(std::weak_ptr<HttpConnection> connection);

  bool send(std::string bytes);
  void end();
  bool is_open() const;
  std::size_t waiting() const;

  struct Taken {
    std::string bytes;
    bool is_end = false;
  };
  /// What is to be written now. Nothing: `from_stream` will be called.
  Taken take();
  void written(std::size_t bytes);
  /// The connection is no more.
  void detach();

 private:
  void wake();

  mutable std::mutex mutex_;
  std::weak_ptr<HttpConnection> connection_;
  std::string pending_;
  std::size_t waiting_ = 0;  // pending or being written
  bool is_attached_ = true;
  bool has_ended_ = false;
  bool is_awaited_ = true;  // the loop will look by itself
};

/// For the loop's thread, but for `from_stream`.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(HttpService& service, std::unique_ptr<HttpTransport> transport, HttpEnds ends);

  void begin();
  /// No request after the one that is under way; a stream ends.
  void drain();
  void close();
  /// There is something in the stream's buffer, or it has ended; or it is to be dropped. From any
  /// thread, as long as it is not closed.
  void from_stream(bool dropped);

 private:
  enum class State {
    Beginning,  ///< encryption is agreed on
    Head,       ///< reads a request's head, or waits for one
    Body,       ///< reads its body
    Answering,  ///< a handler has it
    Writing,    ///< writes the reply
    Streaming,  ///< writes a stream
    Lingering,  ///< has written all: the other side may end it first, so that it reads the end
    Closed,
  };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  struct Request {
    HttpHead head;
    std::string body;
  };

  void go_on();
  void read_more();
  void on_read(boost::system::error_code error, std::size_t size);

  void await_head(std::chrono::milliseconds time);
  void read_head();
  std::optional<HttpProblem> check_head(std::size_t size);
  void admit();
  void read_body();
  void answer();
  void on_reply(HttpReply reply, HttpFraming framing, std::shared_ptr<HttpStreamBuffer> stream);
  HttpReply failure(const HttpHead& head) const;

  void refuse(const HttpProblem& problem);
  void reply(HttpReply reply, HttpFraming framing);
  void after_reply();
  void flush_stream();
  void linger();
  void end_orderly();
  void discard();

  void write(std::string bytes);
  void write_some();
  void arm(std::chrono::milliseconds time);
  void disarm();
  void on_time();

  HttpService& service_;
  std::unique_ptr<HttpTransport> transport_;
  HttpEnds ends_;
  State state_ = State::Beginning;

  std::array<char, 8192> incoming_{};
  std::string input_;          // read, not yet used
  std::size_t looked_at_ = 0;  // of it, in search of a head's end
  bool is_reading_ = false;
  bool is_idle_ = false;    // between two requests
  bool is_at_end_ = false;  // the other side says nothing more

  std::optional<Parser> parser_;
  std::shared_ptr<Request> request_;
  bool is_http_1_0_ = false;
  bool is_last_ = false;      // the connection ends with this request
  bool is_draining_ = false;  // with any

  std::deque<std::string> output_;
  std::size_t output_at_ = 0;  // of the first, what is written
  bool is_writing_ = false;
  std::shared_ptr<HttpStreamBuffer> stream_;
  std::size_t stream_bytes_ = 0;  // of the stream, being written
  bool is_chunked_ = false;

  boost::asio::steady_timer timer_;
  std::uint64_t timer_turn_ = 0;
};

}  // namespace imagewright
