// The program: argv to Options, one command, and every error to one message and an exit status.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <exception>
#include <string>
#include <variant>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "io/error.h"
#include "io/heap.h"
#include "io/interrupt.h"
#include "run/progress.h"

namespace {

// A standard stream that is closed would give its number to the next file we open.
void fill_standard_streams() {
  while (true) {
    const int fd = open("/dev/null", O_RDWR);
    if (fd > 2) close(fd);
    if (fd < 0 || fd > 2) return;
  }
}

int status_of(imagewright::Error::Kind kind) {
  switch (kind) {
    case imagewright::Error::Kind::Source:
      return 1;
    case imagewright::Error::Kind::Usage:
      return 2;
    case imagewright::Error::Kind::Missing:
      return 3;
  }
  return 3;
}

bool ends_soon(imagewright::CommandName command) {
  return command != imagewright::CommandName::Watch && command != imagewright::CommandName::Serve &&
         command != imagewright::CommandName::Worker;
}

int run(const std::vector<std::string>& arguments) {
  const auto parsed = imagewright::parse_options(arguments);
  if (const auto* end = std::get_if<imagewright::EarlyEnd>(&parsed)) {
    fmt::print(end->status == 0 ? stdout : stderr, "{}", end->text);
    return end->status;
  }
  const auto& options = std::get<imagewright::Options>(parsed);
  if (ends_soon(options.command)) imagewright::take_memory_in_large_pages();
  imagewright::catch_interrupts();
  try {
    return imagewright::run_command_line(options);
  } catch (const imagewright::Error& error) {
    if (imagewright::interrupted() != 0 && error.kind() == imagewright::Error::Kind::Source) {
      return 128 + imagewright::interrupted();
    }
    // One line, whatever a file may be called.
    fmt::print(stderr, "imagewright: {}\n", imagewright::without_controls(error.what()));
    return status_of(error.kind());
  }
}

}  // namespace

int main(int argc, char** argv) {
  fill_standard_streams();
  try {
    const int status = run(std::vector<std::string>(argv + 1, argv + argc));
    return std::fflush(stdout) == 0 ? status : 3;
  } catch (const std::exception& error) {
    // Nothing of ours throws this: out of memory, or a closed standard output.
    std::fprintf(stderr, "imagewright: %s\n", error.what());
    return 3;
  }
}
