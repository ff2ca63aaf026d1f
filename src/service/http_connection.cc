#include "service/http_connection.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/beast/http/error.hpp>

#include "core/lower_case.h"
#include "core/take_field.h"

namespace imagewright {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Error = boost::system::error_code;

constexpr std::size_t kMostWaiting = std::size_t{1} << 20;  // of a stream
constexpr std::size_t kMostAhead = std::size_t{16} << 10;   // of the next requests
constexpr auto kLinger = std::chrono::milliseconds(1000);

// What a handler has of a stream: let go of, it ends.
class HeldStream : public HttpStream {
 public:
  explicit HeldStream(std::shared_ptr<HttpStreamBuffer> buffer) : buffer_(std::move(buffer)) {}
  ~HeldStream() override { buffer_->end(); }
  HeldStream(const HeldStream&) = delete;
  HeldStream& operator=(const HeldStream&) = delete;

  bool send(std::string bytes) override { return buffer_->send(std::move(bytes)); }
  void close() override { buffer_->end(); }
  bool is_open() const override { return buffer_->is_open(); }
  std::size_t waiting() const override { return buffer_->waiting(); }

 private:
  std::shared_ptr<HttpStreamBuffer> buffer_;
};

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

bool is_forwarded(const HttpHead& head) {
  for (const char* name : {"forwarded", "x-forwarded-for", "x-real-ip", "via"}) {
    if (head.headers.count(name) != 0) return true;
  }
  return false;
}

// Of the headers that say where a request ends, and whom it is for, there is one, and it is clear:
// else whoever is between might read them otherwise.
std::optional<HttpProblem> check_framing(const http::request<http::string_body>& request) {
  const auto count = [&](http::field name) { return request.count(name); };
  if (count(http::field::host) > 1) return HttpProblem{400, "the request has two Hosts"};
  const auto lengths = count(http::field::content_length);
  const auto encodings = count(http::field::transfer_encoding);
  if (lengths + encodings > 1)
    return HttpProblem{400, "the request says in two ways how long its body is"};
  if (lengths == 1) {
    const std::string_view length = view(request[http::field::content_length]);
    if (length.empty() ||
        !std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      return HttpProblem{400, "the request's Content-Length is no number"};
    }
  }
  if (encodings == 1) {
    if (request.version() < 11)
      return HttpProblem{400, "a request of HTTP/1.0 has no Transfer-Encoding"};
    if (lower_case(view(request[http::field::transfer_encoding])) != "chunked")
      return HttpProblem{501, "no Transfer-Encoding but 'chunked' is known"};
  }
  return std::nullopt;
}

HttpProblem problem_of(const Error& error) {
  if (error == http::error::body_limit) return {413, "the request's body is too long"};
  if (error == http::error::bad_version) return {505, "only HTTP/1.1 and HTTP/1.0 are known"};
  return {400, "the request is no HTTP that can be read: " + error.message()};
}

}  // namespace

// --- HttpStreamBuffer

HttpStreamBuffer::HttpStreamBuffer(std::weak_ptr<HttpConnection> connection)
    : connection_(std::move(connection)) {}

bool HttpStreamBuffer::send(std::string bytes) {
  const std::lock_guard lock(mutex_);
  if (!is_attached_ || has_ended_) return false;
  if (bytes.empty()) return true;
  if (waiting_ > 0 && waiting_ + bytes.size() > kMostWaiting) {
    is_attached_ = false;
    pending_.clear();
    if (const auto connection = connection_.lock()) connection->from_stream(true);
    return false;
  }
  waiting_ += bytes.size();
  if (pending_.empty()) {
    pending_ = std::move(bytes);
  } else {
    pending_ += bytes;
  }
  wake();
  return true;
}

void HttpStreamBuffer::end() {
  const std::lock_guard lock(mutex_);
  if (!is_attached_ || has_ended_) return;
  has_ended_ = true;
  wake();
}

void HttpStreamBuffer::wake() {
  if (std::exchange(is_awaited_, true)) return;
  if (const auto connection = connection_.lock()) connection->from_stream(false);
}

bool HttpStreamBuffer::is_open() const {
  const std::lock_guard lock(mutex_);
  return is_attached_ && !has_ended_;
}

std::size_t HttpStreamBuffer::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

HttpStreamBuffer::Taken HttpStreamBuffer::take() {
  const std::lock_guard lock(mutex_);
  Taken taken{std::exchange(pending_, {}), has_ended_};
  is_awaited_ = !taken.bytes.empty() || taken.is_end;
  return taken;
}

void HttpStreamBuffer::written(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  waiting_ -= std::min(waiting_, bytes);
}

void HttpStreamBuffer::detach() {
  const std::lock_guard lock(mutex_);
  is_attached_ = false;
  pending_.clear();
  waiting_ = 0;
  connection_.reset();
}

// --- HttpConnection: its beginning, its end, its clock

HttpConnection::HttpConnection(HttpService& service, std::unique_ptr<HttpTransport> transport,
                               HttpEnds ends)
    : service_(service),
      transport_(std::move(transport)),
      ends_(std::move(ends)),
      timer_(service.context) {}

void HttpConnection::begin() {
  arm(service_.options.head_time);
  transport_->begin([this, self = shared_from_this()](Error error) {
    if (state_ == State::Closed) return;
    if (error) return close();
    await_head(service_.options.head_time);
  });
}

void HttpConnection::drain() {
  is_last_ = is_draining_ = true;
  if (state_ == State::Beginning || state_ == State::Head) return close();
  if (stream_) stream_->end();
}

void HttpConnection::close() {
  if (state_ == State::Closed) return;
  state_ = State::Closed;
  disarm();
  Error ignored;
  transport_->socket().close(ignored);
  if (stream_) stream_->detach();
  service_.closed(shared_from_this());
}

void HttpConnection::from_stream(bool dropped) {
  asio::post(service_.context, [this, self = shared_from_this(), dropped] {
    if (state_ == State::Closed) return;
    if (!dropped) return flush_stream();
    // What the kernel still has for it goes, too.
    Error ignored;
    transport_->socket().set_option(asio::socket_base::linger(true, 0), ignored);
    close();
  });
}

void HttpConnection::arm(std::chrono::milliseconds time) {
  timer_.expires_after(time);
  timer_.async_wait([this, self = shared_from_this(), turn = ++timer_turn_](Error error) {
    if (!error && turn == timer_turn_) on_time();
  });
}

void HttpConnection::disarm() {
  ++timer_turn_;
  timer_.cancel();
}

void HttpConnection::on_time() {
  const bool in_request = (state_ == State::Head && !input_.empty()) || state_ == State::Body;
  if (!in_request) return close();
  refuse({408, "the request took too long to come"});
}

// --- Reading

void HttpConnection::go_on() {
  if (state_ == State::Head) read_head();
  if (state_ == State::Body) read_body();
  // A viewer may ask for the next thing already, and no more than that.
  if (state_ == State::Streaming && input_.size() > kMostAhead) return close();
  read_more();
}

void HttpConnection::read_more() {
  if (is_reading_ || state_ == State::Closed || state_ == State::Lingering) return;
  if (is_at_end_) {
    // Who has said the end of a stream does not listen to it any more, as far as can be known.
    if (state_ != State::Answering && state_ != State::Writing) close();
    return;
  }
  if ((state_ == State::Answering || state_ == State::Writing) && input_.size() >= kMostAhead)
    return;
  is_reading_ = true;
  transport_->read_some(asio::buffer(incoming_),
                        [this, self = shared_from_this()](Error error, std::size_t size) {
                          is_reading_ = false;
                          on_read(error, size);
                        });
}

void HttpConnection::on_read(Error error, std::size_t size) {
  if (state_ == State::Closed) return;
  if (state_ == State::Lingering) return end_orderly();
  if (error && error != asio::error::eof && error != asio::ssl::error::stream_truncated)
    return close();
  if (error) {
    is_at_end_ = true;
    return read_more();
  }
  input_.append(incoming_.data(), size);
  if (state_ == State::Head && std::exchange(is_idle_, false)) arm(service_.options.head_time);
  if (state_ == State::Body) arm(service_.options.body_time);
  go_on();
}

void HttpConnection::await_head(std::chrono::milliseconds time) {
  state_ = State::Head;
  looked_at_ = 0;
  parser_.reset();
  request_.reset();
  is_idle_ = input_.empty();
  arm(time);
  go_on();
}

void HttpConnection::read_head() {
  std::size_t empty = 0;
  while (std::string_view(input_).substr(empty).starts_with("\r\n")) empty += 2;
  if (empty > 0) looked_at_ = 0;
  input_.erase(0, empty);
  const std::size_t from = looked_at_ - std::min<std::size_t>(looked_at_, 3);
  const std::size_t end = input_.find("\r\n\r\n", from);
  const std::size_t size = end == std::string::npos ? input_.size() : end + 4;
  if (size > service_.options.largest_head) return refuse({431, "the request's head is too long"});
  for (std::size_t i = looked_at_; i < size; ++i) {
    if (input_[i] == '\n' && (i == 0 || input_[i - 1] != '\r'))
      return refuse({400, "the request has a line without a carriage return"});
  }
  looked_at_ = size;
  if (end == std::string::npos) return;
  if (const auto problem = check_head(size)) return refuse(*problem);
  input_.erase(0, size);
  admit();
}

std::optional<HttpProblem> HttpConnection::check_head(std::size_t size) {
  const std::string_view text = std::string_view(input_).substr(0, size);
  if (text.find("\r\n ") != std::string_view::npos || text.find("\r\n\t") != std::string_view::npos)
    return HttpProblem{400, "the request has a folded header"};
  parser_.emplace();
  parser_->header_limit(std::numeric_limits<std::uint32_t>::max());
  parser_->body_limit(std::numeric_limits<std::uint64_t>::max());
  Error error;
  parser_->put(asio::buffer(text), error);
  if (error) return problem_of(error);
  if (!parser_->is_header_done()) return HttpProblem{400, "the request's head cannot be read"};
  const auto& request = parser_->get();
  is_http_1_0_ = request.version() < 11;
  is_last_ = is_draining_ || !parser_->keep_alive();
  if (auto problem = check_framing(request)) return problem;

  request_ = std::make_shared<Request>();
  HttpHead& head = request_->head;
  head.method = view(request.method_string());
  head.target = view(request.target());
  for (const auto& field : request)
    head.headers[lower_case(view(field.name_string()))] = view(field.value());
  head.peer = ends_.peer;
  head.is_local_user = ends_.peer.empty();
  head.is_loopback = ends_.is_loopback && !is_forwarded(head);
  head.is_encrypted = ends_.is_encrypted;
  if (auto problem = service_.hosts.check(head, ends_.local)) return problem;
  if (auto problem = read_target(head.target, head)) return problem;
  const std::string expected = lower_case(head.header("expect"));
  if (!expected.empty() && expected != "100-continue")
    return HttpProblem{417, "nothing can be expected but '100-continue'"};
  return check_origin(head);
}

void HttpConnection::admit() {
  const HttpHead& head = request_->head;
  HttpHandler::Admission admission;
  try {
    admission = service_.handler.admit(head);
  } catch (...) {
    admission.refusal = failure(head);
  }
  const std::uint64_t length = parser_->content_length().value_or(0);
  const bool has_body = parser_->chunked() || length > 0;
  if (admission.refusal) {
    if (has_body) is_last_ = true;
    admission.refusal->stream = nullptr;
    return reply(std::move(*admission.refusal), HttpFraming::Length);
  }
  if (!has_body) return answer();
  if (length > admission.largest_body) return refuse(problem_of(http::error::body_limit));
  parser_->body_limit(admission.largest_body);
  parser_->eager(true);
  state_ = State::Body;
  arm(service_.options.body_time);
  if (head.headers.count("expect") != 0 && !is_http_1_0_ && input_.empty())
    write("HTTP/1.1 100 Continue\r\n\r\n");
}

void HttpConnection::read_body() {
  Error error;
  while (!input_.empty() && !parser_->is_done()) {
    const std::size_t used = parser_->put(asio::buffer(input_), error);
    input_.erase(0, used);
    if (error || used == 0) break;
  }
  if (error && error != http::error::need_more) return refuse(problem_of(error));
  if (parser_->is_done()) {
    request_->body = std::move(parser_->get().body());
    return answer();
  }
  // Only what belongs to no chunk can be left.
  if (input_.size() > service_.options.largest_head)
    refuse({400, "the request's body has a chunk that cannot be read"});
}

// --- Answering

void HttpConnection::answer() {
  state_ = State::Answering;
  disarm();
  service_.in_thread([this, self = shared_from_this(), request = request_] {
    const HttpHead& head = request->head;
    HttpReply reply;
    try {
      reply = service_.handler.answer(head, request->body);
    } catch (...) {
      reply = failure(head);
    }
    const auto stream = std::exchange(reply.stream, nullptr);
    const HttpFraming framing = !stream        ? HttpFraming::Length
                                : is_http_1_0_ ? HttpFraming::UntilEnd
                                               : HttpFraming::Chunked;
    std::shared_ptr<HttpStreamBuffer> buffer;
    if (stream && head.method != "HEAD" && has_body(reply.status))
      buffer = std::make_shared<HttpStreamBuffer>(self);
    asio::post(service_.context, [this, self, reply = std::move(reply), framing, buffer]() mutable {
      on_reply(std::move(reply), framing, std::move(buffer));
    });
    if (!buffer) return;
    try {
      stream(std::make_shared<HeldStream>(std::move(buffer)));
    } catch (...) {
      failure(head);
    }
  });
}

void HttpConnection::on_reply(HttpReply answered, HttpFraming framing,
                              std::shared_ptr<HttpStreamBuffer> stream) {
  if (state_ == State::Closed || (stream && is_at_end_)) {
    if (stream) stream->detach();
    return close();
  }
  stream_ = std::move(stream);
  is_chunked_ = framing == HttpFraming::Chunked;
  if (framing == HttpFraming::UntilEnd) is_last_ = true;
  // While it was under way to here, the server may have begun to end.
  if (stream_ && is_draining_) stream_->end();
  reply(std::move(answered), framing);
}

// Logs what is being thrown, and says no more than that there is something.
HttpReply HttpConnection::failure(const HttpHead& head) const {
  std::string what = "something that is no exception";
  try {
    throw;
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {
  }
  std::string_view target = head.target;
  service_.log(head.method + " " + std::string(take_field(target, '?')) + ": " + what);
  return error_reply(500, "something went wrong here; the server's log says what");
}

void HttpConnection::refuse(const HttpProblem& problem) {
  is_last_ = true;
  reply(error_reply(problem.status, problem.sentence), HttpFraming::Length);
}

void HttpConnection::reply(HttpReply reply, HttpFraming framing) {
  std::string head;
  try {
    head = reply_head(reply, framing, !is_last_, is_http_1_0_);
  } catch (...) {
    reply = request_ ? failure(request_->head) : error_reply(500, "no reply can be made");
    if (stream_) std::exchange(stream_, nullptr)->detach();
    framing = HttpFraming::Length;
    head = reply_head(reply, framing, !is_last_, is_http_1_0_);
  }
  state_ = stream_ ? State::Streaming : State::Writing;
  arm(service_.options.body_time);
  const bool is_head = request_ && request_->head.method == "HEAD";
  output_.push_back(std::move(head));
  if (framing == HttpFraming::Length && !is_head && has_body(reply.status))
    output_.push_back(std::move(reply.body));
  write_some();
  go_on();
}

void HttpConnection::after_reply() {
  if (stream_) std::exchange(stream_, nullptr)->detach();
  if (is_last_) return linger();
  await_head(input_.empty() ? service_.options.idle_time : service_.options.head_time);
}

void HttpConnection::flush_stream() {
  if (state_ != State::Streaming || is_writing_ || !output_.empty()) return;
  HttpStreamBuffer::Taken taken = stream_->take();
  stream_bytes_ = taken.bytes.size();
  if (!taken.bytes.empty())
    output_.push_back(is_chunked_ ? as_chunk(taken.bytes) : std::move(taken.bytes));
  if (taken.is_end) {
    if (is_chunked_) output_.push_back(as_chunk(""));
    state_ = State::Writing;
  }
  if (output_.empty() && !taken.is_end) return disarm();
  arm(service_.options.body_time);
  write_some();
}

// --- Writing

void HttpConnection::write(std::string bytes) {
  output_.push_back(std::move(bytes));
  write_some();
}

void HttpConnection::write_some() {
  if (is_writing_) return;
  while (!output_.empty() && output_at_ == output_.front().size()) {
    output_.pop_front();
    output_at_ = 0;
  }
  if (output_.empty()) {
    if (stream_) stream_->written(std::exchange(stream_bytes_, 0));
    if (state_ == State::Writing) after_reply();
    if (state_ == State::Streaming) flush_stream();
    return;
  }
  const std::string& first = output_.front();
  std::array<asio::const_buffer, 2> buffers = {
      asio::buffer(first.data() + output_at_, first.size() - output_at_)};
  if (output_.size() > 1) buffers[1] = asio::buffer(output_[1]);
  is_writing_ = true;
  transport_->write_some(buffers, [this, self = shared_from_this()](Error error, std::size_t size) {
    is_writing_ = false;
    if (state_ == State::Closed) return;
    if (error) return close();
    if (stream_) {
      const std::size_t of_stream = std::min(size, stream_bytes_);
      stream_->written(of_stream);
      stream_bytes_ -= of_stream;
    }
    while (size > 0) {
      const std::size_t part = std::min(size, output_.front().size() - output_at_);
      output_at_ += part;
      size -= part;
      if (output_at_ < output_.front().size()) break;
      output_.pop_front();
      output_at_ = 0;
    }
    if (state_ == State::Writing || state_ == State::Streaming) arm(service_.options.body_time);
    write_some();
  });
}

// --- The end: a reply is read for certain only if nothing that came is left unread

void HttpConnection::linger() {
  state_ = State::Lingering;
  input_ = {};
  arm(kLinger);
  if (!is_reading_) return end_orderly();
  Error ignored;
  transport_->socket().cancel(ignored);
}

void HttpConnection::end_orderly() {
  transport_->end([this, self = shared_from_this()] {
    if (state_ != State::Closed) discard();
  });
}

void HttpConnection::discard() {
  transport_->socket().async_read_some(asio::buffer(incoming_),
                                       [this, self = shared_from_this()](Error error, std::size_t) {
                                         if (state_ == State::Closed) return;
                                         if (error) return close();
                                         discard();
                                       });
}

}  // namespace imagewright
