// StateLock of io/store.h: flock on a file that is never deleted and holds the process id of its
// holder.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "io/error.h"
#include "io/fd.h"
#include "io/interrupt.h"
#include "io/store.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::milliseconds kPoll{50};

[[noreturn]] void fail(const fs::path& state_directory, int error) {
  throw Error(Error::Kind::Missing, with_errno(fmt::format("cannot lock the state directory '{}'",
                                                           state_directory.string()),
                                               error));
}

Fd open_lock_file(const fs::path& state_directory) {
  std::error_code error;
  fs::create_directories(state_directory, error);
  if (error) fail(state_directory, error.value());
  const fs::path file = state_directory / Store::file_names().back();
  Fd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) fail(state_directory, errno);
  return fd;
}

/// False: another process has it.
bool try_lock(int fd, const fs::path& state_directory) {
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) fail(state_directory, errno);
  }
  return true;
}

int holder(int fd) {
  std::array<char, 16> text{};
  const ssize_t size = pread(fd, text.data(), text.size(), 0);
  int process_id = 0;
  if (size > 0) std::from_chars(text.data(), text.data() + size, process_id);
  return process_id;
}

/// For those who wait to be told. That it may fail on a full disk does not matter.
void write_holder(int fd) {
  const std::string text = std::to_string(getpid()) + "\n";
  if (ftruncate(fd, 0) == 0 && pwrite(fd, text.data(), text.size(), 0) < 0) {
    return;
  }
}

}  // namespace

std::optional<StateLock> StateLock::acquire(const fs::path& state_directory,
                                            const std::function<bool(int process_id)>& on_wait) {
  Fd fd = open_lock_file(state_directory);
  if (!try_lock(fd.get(), state_directory)) {
    if (on_wait && !on_wait(holder(fd.get()))) return std::nullopt;
    do {
      if (interrupted() != 0) return std::nullopt;
      std::this_thread::sleep_for(kPoll);
    } while (!try_lock(fd.get(), state_directory));
  }
  write_holder(fd.get());
  return StateLock(fd.release());
}

StateLock::StateLock(StateLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

StateLock& StateLock::operator=(StateLock&& other) noexcept {
  if (this != &other) {
    const StateLock released(std::exchange(fd_, std::exchange(other.fd_, -1)));
  }
  return *this;
}

StateLock::~StateLock() {
  if (fd_ < 0) return;
  // Whoever finds the next holder before it has written its id shall not be told ours.
  if (ftruncate(fd_, 0) != 0) {
  }
  close(fd_);
}

}  // namespace imagewright
