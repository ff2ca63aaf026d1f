// A pseudo-terminal of some size, for tests.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "io/fd.h"

namespace imagewright {

class Pty {
 public:
  Pty(unsigned short columns, unsigned short rows)
      : outer_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    std::array<char, 64> name{};
    if (!outer_ || grantpt(outer_.get()) != 0 || unlockpt(outer_.get()) != 0 ||
        ptsname_r(outer_.get(), name.data(), name.size()) != 0) {
      throw std::runtime_error("no pseudo-terminal");
    }
    resize(columns, rows);
    const int inner = open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    stream_ = fdopen(inner, "w");
    if (stream_ == nullptr) throw std::runtime_error("no pseudo-terminal");
  }
  ~Pty() { std::fclose(stream_); }
  Pty(const Pty&) = delete;
  Pty& operator=(const Pty&) = delete;

  std::FILE* stream() { return stream_; }

  void resize(unsigned short columns, unsigned short rows) {
    const winsize size = {rows, columns, 0, 0};
    ioctl(outer_.get(), TIOCSWINSZ, &size);
  }

  /// What was written since the last time; a line ends with `\r\n`.
  std::string read() {
    std::string text;
    std::array<char, 4096> bytes{};
    pollfd readable = {outer_.get(), POLLIN, 0};
    while (poll(&readable, 1, 0) > 0 && (readable.revents & POLLIN) != 0) {
      const ssize_t count = ::read(outer_.get(), bytes.data(), bytes.size());
      if (count <= 0) break;
      text.append(bytes.data(), static_cast<std::size_t>(count));
    }
    return text;
  }

 private:
  Fd outer_;
  std::FILE* stream_ = nullptr;
};

}  // namespace imagewright
