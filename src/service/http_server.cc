#include "service/http_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "io/error.h"
#include "service/http_connection.h"
#include "service/http_head.h"
#include "service/http_listener.h"
#include "service/http_transport.h"

namespace imagewright {

namespace {

namespace asio = boost::asio;

constexpr auto kAcceptPause = std::chrono::milliseconds(100);
constexpr int kAcceptedAtOnce = 64;
constexpr std::size_t kLocalReserve = 64;

void block_sigpipe() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
}

// Tasks in the order in which they came, by a few threads.
class Threads {
 public:
  explicit Threads(int count, std::function<void()> on_done) : on_done_(std::move(on_done)) {
    for (int i = 0; i < std::max(count, 1); ++i) threads_.emplace_back([this] { run(); });
  }
  ~Threads() { stop(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  void add(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      if (is_stopped_) return;
      ++unfinished_;
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }

  std::size_t unfinished() const { return unfinished_; }

  // Those that have not begun never do.
  void stop() {
    std::deque<std::function<void()>> dropped;
    {
      const std::lock_guard lock(mutex_);
      is_stopped_ = true;
      dropped.swap(tasks_);
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  void run() {
    block_sigpipe();
    while (true) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return is_stopped_ || !tasks_.empty(); });
        if (is_stopped_) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
      task = nullptr;
      --unfinished_;
      on_done_();
    }
  }

  std::function<void()> on_done_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::atomic<std::size_t> unfinished_{0};
  bool is_stopped_ = false;
  std::vector<std::thread> threads_;
};

// The address at one end of a TCP connection; none: of a unix socket.
template <typename Which>
std::optional<asio::ip::address> address_of(int fd, Which which) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  if (which(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return asio::ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address.ss_family != AF_INET6) return std::nullopt;
  asio::ip::address_v6::bytes_type bytes;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  std::copy(std::begin(v6.sin6_addr.s6_addr), std::end(v6.sin6_addr.s6_addr), bytes.begin());
  const asio::ip::address_v6 found(bytes);
  if (found.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, found);
  return found;
}

// So that a client that vanished without a word is noticed, and small writes are not held back.
void set_tcp_options(int fd) {
  const auto set = [&](int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000);
}

std::unique_ptr<asio::ssl::context> make_tls(const HttpServerOptions& options) {
  if (options.certificate.empty()) return nullptr;
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  const auto fail = [](const char* what, const std::filesystem::path& file, const auto& error) {
    throw Error(Error::Kind::Missing, std::string("cannot use the ") + what + " '" + file.string() +
                                          "': " + error.message());
  };
  boost::system::error_code error;
  context->use_certificate_chain_file(options.certificate.string(), error);
  if (error) fail("certificate", options.certificate, error);
  // Nobody is there to be asked for a passphrase.
  context->set_password_callback([](auto, auto) { return std::string(); }, error);
  context->use_private_key_file(options.key.string(), asio::ssl::context::pem, error);
  if (error) fail("key", options.key, error);
  return context;
}

std::vector<std::string> all_names(const HttpServerOptions& options) {
  std::vector<std::string> names = options.hosts;
  boost::system::error_code not_an_address;
  const auto address = asio::ip::make_address(options.host, not_an_address);
  if (not_an_address || !address.is_unspecified()) names.push_back(options.host);
  return names;
}

}  // namespace

struct HttpServer::Loop {
  // Something that is listened on.
  struct Listener {
    Listener(asio::io_context& context, int fd) : descriptor(context, fd), pause(context) {}
    // Before the socket is closed, which is not its own.
    void stop() {
      descriptor.release();
      pause.cancel();
    }
    asio::posix::stream_descriptor descriptor;
    asio::steady_timer pause;
    bool is_unix = false;
    bool is_failing = false;
  };

  Loop(HttpServerOptions given, HttpHandler& handler)
      : options(std::move(given)), tls(make_tls(options)), hosts(all_names(options)) {
    if (!options.host.empty()) {
      port = options.port;
      tcp = listen_on_tcp(options.host, port);
    }
    if (!options.socket.empty()) unix_socket = std::make_unique<UnixListener>(options.socket);
    service = std::make_unique<HttpService>(HttpService{
        context,
        options,
        handler,
        hosts,
        [this](std::function<void()> task) { threads->add(std::move(task)); },
        [this](const std::shared_ptr<HttpConnection>& connection) {
          connections.erase(connection);
          connection_count = connections.size();
          tell_drain();
        },
        [this](const std::string& line) {
          if (options.log) options.log(line);
        },
    });
    for (const Fd& fd : tcp) listeners.push_back(std::make_shared<Listener>(context, fd.get()));
    if (unix_socket) {
      listeners.push_back(std::make_shared<Listener>(context, unix_socket->fd()));
      listeners.back()->is_unix = true;
    }
    for (const auto& listener : listeners) accept_next(listener);
    threads = std::make_unique<Threads>(options.handler_threads, [this] { tell_drain(); });
    thread = std::thread([this] {
      block_sigpipe();
      context.run();
    });
  }

  ~Loop() {
    asio::post(context, [this] {
      stop_listening();
      const auto all = connections;
      for (const auto& connection : all) connection->close();
    });
    threads->stop();
    work.reset();
    thread.join();
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void stop_listening() {
    is_draining = true;
    for (const auto& listener : listeners) listener->stop();
    listeners.clear();
    tcp.clear();
    unix_socket.reset();
  }

  void accept_next(const std::shared_ptr<Listener>& listener) {
    listener->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                    [this, listener](boost::system::error_code error) {
                                      if (!error && !is_draining) accept_all(listener);
                                    });
  }

  void accept_all(const std::shared_ptr<Listener>& listener) {
    for (int i = 0; i < kAcceptedAtOnce; ++i) {
      Fd fd = accept_from(listener->descriptor.native_handle());
      if (fd) {
        listener->is_failing = false;
        admit(std::move(fd), listener->is_unix);
        continue;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      // These are about that one connection.
      if (errno != ECONNABORTED && errno != EINTR && errno != EPROTO && errno != EPERM)
        return pause(listener);
    }
    accept_next(listener);
  }

  // Most likely nothing is left to accept with: what waits, waits.
  void pause(const std::shared_ptr<Listener>& listener) {
    if (!std::exchange(listener->is_failing, true))
      service->log(with_errno("cannot accept connections for now"));
    listener->pause.expires_after(kAcceptPause);
    listener->pause.async_wait([this, listener](boost::system::error_code error) {
      if (!error && !is_draining) accept_next(listener);
    });
  }

  void admit(Fd fd, bool is_unix) {
    const std::size_t most = options.most_connections + (is_unix ? kLocalReserve : 0);
    if (connections.size() >= most) return turn_away(fd, is_unix);
    HttpEnds ends;
    if (!is_unix) {
      const auto peer = address_of(fd.get(), getpeername);
      const auto local = address_of(fd.get(), getsockname);
      if (!peer || !local) return;  // it is gone again
      ends.peer = peer->to_string();
      ends.local = local->to_string();
      ends.is_loopback = peer->is_loopback();
      ends.is_encrypted = tls != nullptr;
      set_tcp_options(fd.get());
    }
    HttpSocket socket(context);
    boost::system::error_code error;
    socket.assign(asio::generic::stream_protocol(is_unix ? AF_UNIX : AF_INET, 0), fd.get(), error);
    if (error) return;
    fd.release();
    auto transport = ends.is_encrypted ? encrypted_transport(std::move(socket), *tls)
                                       : plain_transport(std::move(socket));
    const auto connection =
        std::make_shared<HttpConnection>(*service, std::move(transport), std::move(ends));
    connections.insert(connection);
    connection_count = connections.size();
    connection->begin();
  }

  void turn_away(const Fd& fd, bool is_unix) const {
    if (tls && !is_unix) return;
    const HttpReply reply = error_reply(503, "too many connections are open");
    const std::string bytes = reply_head(reply, HttpFraming::Length, false, false) + reply.body;
    // As much as goes without waiting: all of it, or nobody listens.
    if (send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
      shutdown(fd.get(), SHUT_WR);
  }

  void drain(std::chrono::milliseconds most) {
    std::atomic<bool> has_begun{false};
    asio::post(context, [&] {
      stop_listening();
      const auto all = connections;
      for (const auto& connection : all) connection->drain();
      has_begun = true;
      tell_drain();
    });
    std::unique_lock lock(drain_mutex);
    drained.wait_for(lock, most, [&] {
      return has_begun && connection_count == 0 && threads->unfinished() == 0;
    });
    // What was posted names what is here.
    drained.wait(lock, [&] { return has_begun.load(); });
  }

  void tell_drain() {
    { const std::lock_guard lock(drain_mutex); }
    drained.notify_all();
  }

  HttpServerOptions options;
  std::unique_ptr<asio::ssl::context> tls;
  HttpHosts hosts;
  std::uint16_t port = 0;
  std::vector<Fd> tcp;
  std::unique_ptr<UnixListener> unix_socket;

  std::mutex drain_mutex;
  std::condition_variable drained;
  std::atomic<std::size_t> connection_count{0};

  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::unique_ptr<HttpService> service;
  std::vector<std::shared_ptr<Listener>> listeners;       // the loop's
  std::set<std::shared_ptr<HttpConnection>> connections;  // the loop's
  bool is_draining = false;                               // the loop's
  std::unique_ptr<Threads> threads;
  std::thread thread;
};

HttpServer::HttpServer(HttpServerOptions options, HttpHandler& handler)
    : loop_(std::make_unique<Loop>(std::move(options), handler)) {}
HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const {
  return loop_->port;
}

void HttpServer::drain(std::chrono::milliseconds most) {
  loop_->drain(most);
}

std::size_t HttpServer::connections() const {
  return loop_->connection_count;
}

}  // namespace imagewright
