// A docker daemon's answers, given at once: so that a run can be measured without the time that the
// daemon takes for its question, but with all that the run itself does to ask and to understand.
//   answer serve SOCKET DAEMON   until it is ended: each GET that SOCKET is asked goes to the
//                                socket DAEMON once, and is answered from memory from then on
//   answer ask DAEMON TARGET     asks once and prints the answer, head and all
// Whatever is no GET is refused, so a run that tries to build something fails.
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace {

constexpr std::size_t kLargestHead = std::size_t{64} * 1024;
constexpr char kRefused[] =
    "HTTP/1.1 501 Not Implemented\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
constexpr char kNoDaemon[] =
    "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "answer: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

class Socket {
 public:
  Socket() : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  explicit Socket(int fd) : fd_(fd) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { close(fd_); }
  int get() const { return fd_; }

  bool send_all(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // What comes next. Empty: nothing more does.
  std::string receive() const {
    char buffer[16384];
    const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
    return got > 0 ? std::string(buffer, static_cast<std::size_t>(got)) : std::string();
  }

 private:
  int fd_;
};

sockaddr_un address_of(const char* path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    fail(path);
  }
  std::strcpy(address.sun_path, path);
  return address;
}

// The whole answer, head and body, as the daemon sends it to who wants one only.
std::optional<std::string> ask(const char* daemon, const std::string& target) {
  const Socket socket;
  const sockaddr_un address = address_of(daemon);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      !socket.send_all("GET " + target +
                       " HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")) {
    return std::nullopt;
  }
  std::string answer;
  for (std::string more = socket.receive(); !more.empty(); more = socket.receive()) answer += more;
  if (answer.empty()) return std::nullopt;
  return answer;
}

// What is asked for by GET; empty: something else is asked.
std::string target_of(const Socket& socket) {
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) {
    const std::string more = socket.receive();
    if (more.empty() || head.size() > kLargestHead) return "";
    head += more;
  }
  constexpr std::string_view kGet = "GET ";
  if (head.compare(0, kGet.size(), kGet) != 0) return "";
  return head.substr(kGet.size(), head.find(' ', kGet.size()) - kGet.size());
}

[[noreturn]] void serve(const char* path, const char* daemon) {
  const Socket listening;
  const sockaddr_un address = address_of(path);
  unlink(path);
  if (bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listening.get(), SOMAXCONN) != 0) {
    fail(path);
  }
  std::map<std::string, std::string> answers;
  while (true) {
    const Socket socket(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket.get() < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      fail("accept");
    }
    // One that says nothing keeps the others waiting for so long only.
    const timeval patience = {2, 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const std::string target = target_of(socket);
    if (target.empty()) {
      socket.send_all(kRefused);
      continue;
    }
    auto known = answers.find(target);
    if (known == answers.end()) {
      auto answer = ask(daemon, target);
      if (!answer) {
        socket.send_all(kNoDaemon);
        continue;
      }
      known = answers.emplace(target, std::move(*answer)).first;
    }
    socket.send_all(known->second);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 4 ? argv[1] : "";
  if (mode == "serve") serve(argv[2], argv[3]);
  if (mode == "ask") {
    const auto answer = ask(argv[2], argv[3]);
    if (!answer) fail(argv[2]);
    std::fwrite(answer->data(), 1, answer->size(), stdout);
    return 0;
  }
  std::fputs("usage: answer serve SOCKET DAEMON | answer ask DAEMON TARGET\n", stderr);
  return 2;
}
