#include "io/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>

namespace imagewright {

namespace {

// Written by a signal handler: lock-free atomics and a pipe, nothing else.
std::atomic<int> first_signal{0};
std::atomic<int> signal_count{0};
std::array<int, 2> wake_pipe{-1, -1};
std::atomic<bool> requests_first{false};
std::atomic<int> asked_end{0};
std::atomic<bool> asked_reload{false};
std::array<int, 2> request_pipe{-1, -1};

// Is it a request, and no interrupt yet?
bool note_request(int signal) {
  if (!requests_first) return false;
  int none = 0;
  if (signal == SIGHUP) {
    asked_reload = true;
  } else if (!asked_end.compare_exchange_strong(none, signal)) {
    return false;
  }
  if (request_pipe[1] >= 0 && write(request_pipe[1], "!", 1) < 0) {
    // A full pipe is readable already.
  }
  return true;
}

void drain(int fd) {
  std::array<char, 64> bytes{};
  while (fd >= 0 && read(fd, bytes.data(), bytes.size()) > 0) {
  }
}

void note(int signal) {
  const int saved = errno;
  if (note_request(signal)) {
    errno = saved;
    return;
  }
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
  signal_count.fetch_add(1);
  if (wake_pipe[1] >= 0 && write(wake_pipe[1], "!", 1) < 0) {
    // A full pipe is readable already.
  }
  errno = saved;
}

}  // namespace

void catch_interrupts() {
  if (wake_pipe[0] < 0 && pipe2(wake_pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0)
    wake_pipe = {-1, -1};
  struct sigaction action = {};
  action.sa_handler = note;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a wait for a lock or a child must come back and look.
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // The terminal is gone; unless somebody (nohup) wants us to go on without it.
  struct sigaction before = {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
    sigaction(SIGHUP, &action, nullptr);
  }
}

int interrupted() {
  return first_signal.load();
}
int interrupt_count() {
  return signal_count.load();
}
int interrupt_fd() {
  return wake_pipe[0];
}

void take_requests() {
  if (request_pipe[0] < 0 && pipe2(request_pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0)
    request_pipe = {-1, -1};
  requests_first = true;
  // Also where nohup had it ignored: a service has no terminal to lose.
  struct sigaction action = {};
  action.sa_handler = note;
  sigemptyset(&action.sa_mask);
  sigaction(SIGHUP, &action, nullptr);
}

int end_asked() {
  return asked_end.load();
}
bool take_reload_request() {
  return asked_reload.exchange(false);
}
int request_fd() {
  return request_pipe[0];
}
void clear_request_fd() {
  drain(request_pipe[0]);
}

void forget_interrupts() {
  drain(wake_pipe[0]);
  drain(request_pipe[0]);
  signal_count = 0;
  first_signal = 0;
  requests_first = false;
  asked_end = 0;
  asked_reload = false;
}

}  // namespace imagewright
