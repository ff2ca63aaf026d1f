#include "service/http_transport.h"

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>

namespace imagewright {

namespace {

namespace asio = boost::asio;

class PlainTransport : public HttpTransport {
 public:
  explicit PlainTransport(HttpSocket socket) : socket_(std::move(socket)) {}

  HttpSocket& socket() override { return socket_; }
  void begin(std::function<void(Error)> done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done({}); });
  }
  void read_some(asio::mutable_buffer buffer, Done done) override {
    socket_.async_read_some(buffer, std::move(done));
  }
  void write_some(const std::array<asio::const_buffer, 2>& buffers, Done done) override {
    socket_.async_write_some(buffers, std::move(done));
  }
  void end(std::function<void()> done) override {
    Error ignored;
    socket_.shutdown(HttpSocket::shutdown_send, ignored);
    asio::post(socket_.get_executor(), std::move(done));
  }

 private:
  HttpSocket socket_;
};

class EncryptedTransport : public HttpTransport {
 public:
  EncryptedTransport(HttpSocket socket, asio::ssl::context& context)
      : stream_(std::move(socket), context) {}

  HttpSocket& socket() override { return stream_.next_layer(); }
  void begin(std::function<void(Error)> done) override {
    stream_.async_handshake(asio::ssl::stream_base::server, std::move(done));
  }
  void read_some(asio::mutable_buffer buffer, Done done) override {
    stream_.async_read_some(buffer, std::move(done));
  }
  void write_some(const std::array<asio::const_buffer, 2>& buffers, Done done) override {
    stream_.async_write_some(buffers, std::move(done));
  }
  void end(std::function<void()> done) override {
    stream_.async_shutdown([this, done = std::move(done)](Error) {
      Error ignored;
      socket().shutdown(HttpSocket::shutdown_send, ignored);
      done();
    });
  }

 private:
  asio::ssl::stream<HttpSocket> stream_;
};

}  // namespace

std::unique_ptr<HttpTransport> plain_transport(HttpSocket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<HttpTransport> encrypted_transport(HttpSocket socket, asio::ssl::context& context) {
  return std::make_unique<EncryptedTransport>(std::move(socket), context);
}

}  // namespace imagewright
