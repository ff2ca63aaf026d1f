// A terminal that is written to without waiting for it: what it does not take at once stays here,
// in order, until it does. Knows nothing of what is shown.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

#include "io/fd.h"

namespace imagewright {

struct TerminalSize {
  std::size_t columns = 80;
  std::size_t rows = 24;
  bool operator==(const TerminalSize&) const = default;
};

class Terminal {
 public:
  /// Any other stream is written to as it is, waiting for it. The stream must outlive the terminal
  /// and should not be written to by others meanwhile.
  explicit Terminal(std::FILE* stream);
  /// Flushes.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// What it is now; 80 by 24 where it does not say.
  TerminalSize size() const;

  /// In one write, if nothing waits and the terminal takes it. Never waits for a terminal.
  void write(std::string_view bytes);

  /// Tries again to write what waits. False: some of it still does.
  bool keeps_up();

  /// What is written, at once, when the user stops us (Ctrl-Z); it must stay valid. nullptr:
  /// nothing. One terminal at a time.
  void when_stopped(const char* bytes) const;

  /// Waits until all is written; a second at most once the run is interrupted. A terminal that is
  /// gone takes everything.
  void flush();

 private:
  void write_what_it_takes();

  std::FILE* stream_;
  Fd own_;  // the terminal, opened once more: the other one is shared, and may have to wait
  std::string rest_;  // what waits
};

}  // namespace imagewright
