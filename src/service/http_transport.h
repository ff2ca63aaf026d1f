// A connection's bytes, plain or encrypted, over TCP or a unix socket. Knows nothing of HTTP.
// For one thread; what is under way when it is destroyed is never told of.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>

namespace imagewright {

using HttpSocket = boost::asio::generic::stream_protocol::socket;

class HttpTransport {
 public:
  using Error = boost::system::error_code;
  using Done = std::function<void(Error, std::size_t)>;

  virtual ~HttpTransport() = default;
  /// Below the encryption.
  virtual HttpSocket& socket() = 0;
  virtual void begin(std::function<void(Error)> done) = 0;
  /// One at a time; `buffer` must stay until it is done.
  virtual void read_some(boost::asio::mutable_buffer buffer, Done done) = 0;
  /// One at a time, beside one read_some.
  virtual void write_some(const std::array<boost::asio::const_buffer, 2>& buffers, Done done) = 0;
  /// Says that nothing more will be written. Not beside another operation.
  virtual void end(std::function<void()> done) = 0;
};

std::unique_ptr<HttpTransport> plain_transport(HttpSocket socket);
std::unique_ptr<HttpTransport> encrypted_transport(HttpSocket socket,
                                                   boost::asio::ssl::context& context);

}  // namespace imagewright
