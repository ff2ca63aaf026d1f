// Stands before an engine's program on PATH, under its name, runs it and notes how long it ran: so
// that the engine's own time can be taken off a run's.
//   TIMED_PROGRAM=PROGRAM TIMED_SPANS=FILE docker ARGUMENTS...
// Adds a line to FILE, "WORD BEGIN END": the first argument, and two times of the monotonic clock
// in µs. The time that it takes to start this program itself is in no span, and so counts as ours.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

long long now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

int main(int argc, char** argv) {
  const long long begin = now_us();
  const char* program = std::getenv("TIMED_PROGRAM");
  const char* spans = std::getenv("TIMED_SPANS");
  if (program == nullptr || spans == nullptr) {
    std::fputs("timed: TIMED_PROGRAM and TIMED_SPANS are not set\n", stderr);
    return 2;
  }
  pid_t child = 0;
  if (posix_spawn(&child, program, nullptr, nullptr, argv, environ) != 0) {
    std::perror(program);
    return 127;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const std::string line = std::string(argc > 1 ? argv[1] : "-") + ' ' + std::to_string(begin) +
                           ' ' + std::to_string(now_us()) + '\n';
  const int file = open(spans, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0 || write(file, line.data(), line.size()) < 0) std::perror(spans);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
