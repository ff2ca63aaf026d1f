#include "service/http_listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include "io/error.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void cannot_listen(const std::string& where, const std::string& why) {
  throw Error(Error::Kind::Missing, "cannot listen on " + where + ": " + why);
}

Fd new_socket(int family) {
  return Fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

std::uint16_t port_of(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

void set_port(sockaddr& address, std::uint16_t port) {
  if (address.sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(address).sin_port = htons(port);
  }
}

std::string_view bytes_of(const sockaddr& address) {
  if (address.sa_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    return {reinterpret_cast<const char*>(&v6), sizeof v6};
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  return {reinterpret_cast<const char*>(&v4), sizeof v4};
}

// A name may have an address twice (by two lines of /etc/hosts).
bool is_repeated(const addrinfo& first, const addrinfo& address) {
  for (const addrinfo* other = &first; other != &address; other = other->ai_next) {
    if (bytes_of(*other->ai_addr) == bytes_of(*address.ai_addr)) return true;
  }
  return false;
}

// None, and why: one of the addresses is taken (a part of a server would be worse than none), or
// all are wrong.
std::vector<Fd> listen_on_all(addrinfo& first, std::uint16_t& port, int& error) {
  std::vector<Fd> listeners;
  for (addrinfo* address = &first; address != nullptr; address = address->ai_next) {
    if (is_repeated(first, *address)) continue;
    Fd fd = new_socket(address->ai_family);
    const int on = 1;
    if (fd) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    set_port(*address->ai_addr, port);
    if (!fd || bind(fd.get(), address->ai_addr, address->ai_addrlen) != 0 ||
        listen(fd.get(), SOMAXCONN) != 0) {
      error = errno;
      if (error == EADDRINUSE) return {};
      continue;
    }
    if (port == 0) port = port_of(fd.get());
    listeners.push_back(std::move(fd));
  }
  return listeners;
}

// The file of a directory by a path that is short enough for a unix socket's address.
std::string short_path(const Fd& directory, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(directory.get()) + "/" + name;
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

Fd open_directory(const fs::path& path) {
  return Fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

// A directory that only we can enter, for as long as the socket has no mode of its own.
class PrivateDirectory {
 public:
  explicit PrivateDirectory(const fs::path& parent) : path_((parent / ".socket-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~PrivateDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

std::vector<Fd> listen_on_tcp(const std::string& host, std::uint16_t& port) {
  std::string name = host;
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  const auto where = [&] {
    const bool is_v6 = name.find(':') != std::string::npos;
    return (is_v6 ? "[" + name + "]" : name) + ":" + std::to_string(port);
  };
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(name.c_str(), nullptr, &hints, &found);
  if (failure != 0) cannot_listen(where(), gai_strerror(failure));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);

  const std::uint16_t wanted = port;
  int error = 0;
  // A free port of one address need not be free on the others.
  constexpr int kTries = 20;
  for (int i = 0; i < kTries; ++i) {
    std::vector<Fd> listeners = listen_on_all(*addresses, port, error);
    if (!listeners.empty()) return listeners;
    if (wanted != 0 || error != EADDRINUSE) break;
    port = 0;
  }
  cannot_listen(where(),
                error == EADDRINUSE ? "another server listens there" : std::strerror(error));
}

UnixListener::UnixListener(fs::path path) : path_(std::move(path)) {
  const std::string where = "'" + path_.string() + "'";
  if (path_.string().size() >= sizeof(sockaddr_un::sun_path))
    cannot_listen(where, "the path is longer than a socket's may be");
  const fs::path parent = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
  const Fd directory = open_directory(parent);
  const PrivateDirectory made(parent);
  const Fd inside = made.path().empty() ? Fd() : open_directory(made.path());
  if (!directory || !inside) cannot_listen(where, std::strerror(errno));

  fd_ = new_socket(AF_UNIX);
  const sockaddr_un address = unix_address(short_path(inside, "s"));
  const std::string bound = made.path() + "/s";
  struct stat status = {};
  if (!fd_ || bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(bound.c_str(), 0600) != 0 || listen(fd_.get(), SOMAXCONN) != 0 ||
      lstat(bound.c_str(), &status) != 0) {
    cannot_listen(where, std::strerror(errno));
  }
  device_ = status.st_dev;
  inode_ = status.st_ino;

  // Two that start at once look one after the other.
  flock(directory.get(), LOCK_EX);
  if (lstat(path_.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) cannot_listen(where, "there is something that is no socket");
    const Fd probe = new_socket(AF_UNIX);
    const sockaddr_un there = unix_address(path_.string());
    const bool connected =
        connect(probe.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0;
    if (connected || errno == EAGAIN) cannot_listen(where, "another server listens there");
    if (errno != ECONNREFUSED && errno != ENOENT) cannot_listen(where, std::strerror(errno));
  }
  if (rename(bound.c_str(), path_.c_str()) != 0) cannot_listen(where, std::strerror(errno));
}

UnixListener::~UnixListener() {
  struct stat status = {};
  if (lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_)
    unlink(path_.c_str());
}

Fd accept_from(int listener) {
  return Fd(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

}  // namespace imagewright
