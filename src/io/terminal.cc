#include "io/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "io/interrupt.h"

namespace imagewright {

namespace {

// For a terminal that is stopped, when the run was interrupted.
constexpr std::chrono::seconds kPatience{1};

// For the signal handler.
std::atomic<int> stop_fd{-1};
std::atomic<const char*> stop_bytes{nullptr};

void handle_stops();

// Says goodbye and stops as if there were no handler; goes on here.
void stop(int signal) {
  const int saved = errno;
  if (const char* bytes = stop_bytes.load()) {
    if (write(stop_fd.load(), bytes, std::strlen(bytes)) < 0) {
      // Then nobody sees it either.
    }
  }
  raise(signal);
  handle_stops();
  errno = saved;
}

void handle_stops() {
  struct sigaction action = {};
  action.sa_handler = stop;
  sigemptyset(&action.sa_mask);
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER | SA_RESTART);
  sigaction(SIGTSTP, &action, nullptr);
}

}  // namespace

Terminal::Terminal(std::FILE* stream) : stream_(stream) {
  std::fflush(stream_);
  const int fd = fileno(stream_);
  if (fd < 0 || isatty(fd) == 0) return;
  const std::string path = fmt::format("/proc/self/fd/{}", fd);
  own_ = Fd(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

Terminal::~Terminal() {
  when_stopped(nullptr);
  flush();
}

TerminalSize Terminal::size() const {
  TerminalSize size;
  winsize told = {};
  if (ioctl(fileno(stream_), TIOCGWINSZ, &told) != 0) return size;
  if (told.ws_col > 0) size.columns = told.ws_col;
  if (told.ws_row > 0) size.rows = told.ws_row;
  return size;
}

void Terminal::write(std::string_view bytes) {
  if (!own_) {
    std::fwrite(bytes.data(), 1, bytes.size(), stream_);
    std::fflush(stream_);
    return;
  }
  rest_ += bytes;
  write_what_it_takes();
}

bool Terminal::keeps_up() {
  if (!rest_.empty()) write_what_it_takes();
  return rest_.empty();
}

void Terminal::when_stopped(const char* bytes) const {
  struct sigaction now = {};
  sigaction(SIGTSTP, nullptr, &now);
  stop_bytes = nullptr;
  if (bytes == nullptr || !own_ || now.sa_handler == SIG_IGN) return;
  stop_fd = own_.get();
  stop_bytes = bytes;
  handle_stops();
}

void Terminal::flush() {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!keeps_up()) {
    if (interrupted() != 0 && std::chrono::steady_clock::now() > give_up) return rest_.clear();
    pollfd ready = {own_.get(), POLLOUT, 0};
    poll(&ready, 1, 100);
  }
}

void Terminal::write_what_it_takes() {
  std::size_t taken = 0;
  while (taken < rest_.size()) {
    const ssize_t count = ::write(own_.get(), rest_.data() + taken, rest_.size() - taken);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN) taken = rest_.size();
    if (count <= 0) break;
    taken += static_cast<std::size_t>(count);
  }
  rest_.erase(0, taken);
}

}  // namespace imagewright
