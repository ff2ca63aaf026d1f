// A client that says exactly what it is told to, byte by byte, over TCP, TLS or a unix socket.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/lower_case.h"
#include "io/fd.h"

namespace imagewright {

struct ClientReply {
  int status = 0;  ///< 0: the connection ended before a reply was whole
  std::map<std::string, std::string> headers;
  std::string body;
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

class Client {
 public:
  /// Over TCP, to a loopback address.
  explicit Client(std::uint16_t port, bool v6 = false, int receive_buffer = 0)
      : fd_(socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0)
      setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in v4_address = {};
    v4_address.sin_family = AF_INET;
    v4_address.sin_port = htons(port);
    v4_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 v6_address = {};
    v6_address.sin6_family = AF_INET6;
    v6_address.sin6_port = htons(port);
    v6_address.sin6_addr = in6addr_loopback;
    connected_ = v6 ? start(v6_address) : start(v4_address);
  }
  explicit Client(const std::filesystem::path& path)
      : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = start(address);
  }
  Client(Client&&) = default;
  Client& operator=(Client&&) = default;

  bool is_connected() const { return connected_; }
  int fd() const { return fd_.get(); }

  /// From now on encrypted; false: they could not agree.
  bool encrypt(int newest = TLS1_3_VERSION) {
    tls_context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(tls_context_.get(), TLS1_1_VERSION);
    SSL_CTX_set_security_level(tls_context_.get(), 0);
    SSL_CTX_set_max_proto_version(tls_context_.get(), newest);
    SSL_CTX_set_verify(tls_context_.get(), SSL_VERIFY_NONE, nullptr);
    tls_.reset(SSL_new(tls_context_.get()));
    SSL_set_fd(tls_.get(), fd_.get());
    return SSL_connect(tls_.get()) == 1;
  }

  /// False: not all of it was taken.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = tls_ ? static_cast<ssize_t>(SSL_write(tls_.get(), bytes.data(),
                                                              static_cast<int>(bytes.size())))
                             : ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// Says that nothing more will come.
  void finish() { shutdown(fd_.get(), SHUT_WR); }
  /// Gone, with a reset.
  void reset() {
    const linger now = {1, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd_.reset();
  }
  void close() { fd_.reset(); }

  /// Waits until there are so many bytes (true), or the end.
  bool fill(std::size_t size) {
    while (input_.size() < size) {
      char buffer[65536];
      const auto got = tls_ ? static_cast<ssize_t>(SSL_read(tls_.get(), buffer, sizeof buffer))
                            : recv(fd_.get(), buffer, sizeof buffer, 0);
      if (got < 0 && !tls_ && (errno == EAGAIN || errno == EWOULDBLOCK))
        ADD_FAILURE() << "the server did not say anything for too long";
      if (got == 0 && tls_) was_told_end_ = true;
      if (got <= 0) {
        if (tls_)
          was_told_end_ = SSL_get_error(tls_.get(), static_cast<int>(got)) == SSL_ERROR_ZERO_RETURN;
        ended_by_reset_ = got < 0 && errno == ECONNRESET;
        return false;
      }
      input_.append(buffer, static_cast<std::size_t>(got));
    }
    return true;
  }
  /// Up to and with these bytes; what there is where the connection ends before.
  std::string read_until(std::string_view end) {
    std::size_t at = input_.find(end);
    while (at == std::string::npos && fill(input_.size() + 1)) at = input_.find(end);
    return take(at == std::string::npos ? input_.size() : at + end.size());
  }
  std::string read(std::size_t size) {
    fill(size);
    return take(std::min(size, input_.size()));
  }
  std::string read_to_end() {
    while (fill(input_.size() + 1)) {
    }
    return take(input_.size());
  }
  /// The connection was ended by the server, and nothing is left.
  bool is_at_end() { return !fill(1) && !ended_by_reset_; }
  bool was_reset() const { return ended_by_reset_; }
  /// By TLS's own means, so that a cut is no end.
  bool was_told_end() const { return was_told_end_; }

  /// Status line and headers. The body is still to come.
  ClientReply read_head() {
    ClientReply reply;
    std::string text = read_until("\r\n\r\n");
    if (!text.starts_with("HTTP/1.1 ") || !text.ends_with("\r\n\r\n")) return {};
    reply.status = std::atoi(text.c_str() + 9);
    text.erase(0, text.find("\r\n") + 2);
    while (text != "\r\n") {
      const std::size_t end = text.find("\r\n");
      const std::size_t colon = text.find(": ");
      reply.headers[lower_case(text.substr(0, colon))] = text.substr(colon + 2, end - colon - 2);
      text.erase(0, end + 2);
    }
    return reply;
  }
  /// One chunk's bytes; "" is the last.
  std::string read_chunk() {
    const std::string size = read_until("\r\n");
    const std::string bytes = read(std::strtoul(size.c_str(), nullptr, 16) + 2);
    return bytes.size() < 2 ? "" : bytes.substr(0, bytes.size() - 2);
  }
  ClientReply read_reply(bool has_body = true) {
    ClientReply reply = read_head();
    if (reply.status == 0 || !has_body) return reply;
    if (reply.header("transfer-encoding") == "chunked") {
      for (std::string chunk = read_chunk(); !chunk.empty(); chunk = read_chunk())
        reply.body += chunk;
    } else if (reply.headers.count("content-length") != 0) {
      const std::size_t size = std::stoul(reply.header("content-length"));
      reply.body = read(size);
      if (reply.body.size() < size) return {};
    }
    return reply;
  }
  ClientReply ask(std::string_view request) {
    send(request);
    return read_reply();
  }

 private:
  template <typename Address>
  bool start(const Address& address) {
    // Only so that a test that fails comes to an end.
    const timeval patience = {30, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  std::string take(std::size_t size) {
    std::string taken = input_.substr(0, size);
    input_.erase(0, size);
    return taken;
  }

  struct Free {
    void operator()(SSL* tls) const { SSL_free(tls); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  Fd fd_;
  bool connected_ = false;
  bool ended_by_reset_ = false;
  bool was_told_end_ = false;
  std::string input_;
  std::unique_ptr<SSL_CTX, Free> tls_context_;
  std::unique_ptr<SSL, Free> tls_;
};

}  // namespace imagewright
