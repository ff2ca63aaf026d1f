// An HTTP server for tests that answers what it is told to: for what no real one can be made to do.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "io/fd.h"

namespace imagewright {

/// On a free port of loopback, a thread a connection.
class ScriptedServer {
 public:
  struct Answer {
    std::string bytes;   ///< with its head
    bool close = false;  ///< after it
    bool hang = false;   ///< says nothing more, and does not close
  };
  /// `number`: of the request, from 0. Called by several threads.
  using Script = std::function<Answer(const std::string& request, int number)>;

  explicit ScriptedServer(Script script)
      : script_(std::move(script)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_.get(), 64), 0);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { accept_all(); });
  }

  ~ScriptedServer() {
    shutdown(listener_.get(), SHUT_RDWR);
    accepting_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const Fd& connection : connections_) shutdown(connection.get(), SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  int port() const { return port_; }
  int requests() const { return requests_; }
  std::size_t connections() const {
    const std::lock_guard lock(mutex_);
    return connections_.size();
  }

  /// An answer with a body of this type.
  static Answer answer(int status, const std::string& body, const std::string& headers = "") {
    return {"HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " +
                std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body,
            false, false};
  }

 private:
  void accept_all() {
    while (true) {
      Fd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection) return;
      const std::lock_guard lock(mutex_);
      connections_.push_back(std::move(connection));
      threads_.emplace_back([this, fd = connections_.back().get()] { serve(fd); });
    }
  }

  void serve(int fd) {
    std::string text;
    while (true) {
      const std::string request = take_request(fd, text);
      if (request.empty()) return;
      const Answer answer = script_(request, requests_++);
      for (std::size_t sent = 0; sent < answer.bytes.size();) {
        const ssize_t n =
            send(fd, answer.bytes.data() + sent, answer.bytes.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) return;
        sent += static_cast<std::size_t>(n);
      }
      if (answer.close) {
        shutdown(fd, SHUT_RDWR);
        return;
      }
      if (answer.hang) {
        while (receive(fd, text)) continue;
        return;
      }
    }
  }

  static bool receive(int fd, std::string& text) {
    std::string part(65536, '\0');
    const ssize_t n = recv(fd, part.data(), part.size(), 0);
    if (n <= 0) return false;
    text.append(part, 0, static_cast<std::size_t>(n));
    return true;
  }

  // Head and body; "": there is none any more.
  static std::string take_request(int fd, std::string& text) {
    std::size_t head = 0;
    while ((head = text.find("\r\n\r\n")) == std::string::npos) {
      if (!receive(fd, text)) return "";
    }
    std::size_t size = head + 4;
    constexpr std::string_view kLength = "\r\nContent-Length: ";
    if (const std::size_t at = text.find(kLength); at < head)
      size += std::strtoul(text.c_str() + at + kLength.size(), nullptr, 10);
    while (text.size() < size) {
      if (!receive(fd, text)) return "";
    }
    std::string request = text.substr(0, size);
    text.erase(0, size);
    return request;
  }

  Script script_;
  Fd listener_;
  int port_ = 0;
  std::atomic<int> requests_{0};
  std::thread accepting_;
  mutable std::mutex mutex_;  // of what follows
  std::list<Fd> connections_;
  std::vector<std::thread> threads_;
};

}  // namespace imagewright
