// Measures one command, or two that take turns so that what drifts hits both: from before the
// process is made until it has ended.
//   measure [-n RUNS] [-w WARM-UPS] [-b SHELL] [-o SHELL] COMMAND... [-- OTHER...]
// -b is run, unmeasured, before each run of either; -o after it, before each of COMMAND's. A
// shell's `-c` makes a pipeline a command: sh -c 'a | b'. What the commands print is thrown away.
//
// Prints one line a command, of numbers with blanks between: the median, least and greatest wall
// time in µs, the median CPU time (user and system, of all its processes) in µs, and the greatest
// resident size of a process in KiB.
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Run {
  long wall = 0;      // µs
  long cpu = 0;       // µs
  long resident = 0;  // KiB
};

struct Measured {
  std::vector<char*> argv;  // ends in a null
  std::vector<Run> runs;
};

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "measure: %s\n", message.c_str());
  std::exit(1);
}

long microseconds(const timeval& time) {
  return time.tv_sec * 1'000'000 + time.tv_usec;
}

// This program is small so that its own size, which the kernel counts as the child's until the
// child's exec, hides none.
Run run(const std::vector<char*>& argv) {
  static const int errors = memfd_create("errors", MFD_CLOEXEC);
  static posix_spawn_file_actions_t* const quiet = [] {
    static posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    return &actions;
  }();
  const auto before = std::chrono::steady_clock::now();
  pid_t child = 0;
  const int error = posix_spawnp(&child, argv[0], quiet, nullptr, argv.data(), environ);
  if (error != 0) fail(std::string(argv[0]) + ": " + std::strerror(error));
  int status = 0;
  rusage usage = {};
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) fail("wait4");
  }
  const auto wall = std::chrono::steady_clock::now() - before;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    std::string command;
    for (const char* argument : argv) {
      if (argument != nullptr) command += std::string(" ") + argument;
    }
    if (command.size() > 500) command = command.substr(0, 500) + "…";
    char said[500] = "";
    const ssize_t size = pread(errors, said, sizeof said, 0);
    fail("did not end well (" + std::to_string(status) + "):" + command + "\n" +
         std::string(said, size > 0 ? static_cast<std::size_t>(size) : 0));
  }
  return {static_cast<long>(std::chrono::duration_cast<std::chrono::microseconds>(wall).count()),
          microseconds(usage.ru_utime) + microseconds(usage.ru_stime), usage.ru_maxrss};
}

std::vector<long> sorted(const std::vector<Run>& runs, long Run::*what) {
  std::vector<long> values;
  values.reserve(runs.size());
  for (const Run& run : runs) values.push_back(run.*what);
  std::sort(values.begin(), values.end());
  return values;
}

long median(const std::vector<long>& values) {
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void shell(char* text) {
  static char name[] = "sh";
  static char option[] = "-c";
  if (text != nullptr) run({name, option, text, nullptr});
}

}  // namespace

int main(int argc, char** argv) {
  int runs = 15;
  int warm_ups = 1;
  char* before_each = nullptr;
  char* before_first = nullptr;
  // (The + ends the options at the first word that is none.)
  for (int option = 0; (option = getopt(argc, argv, "+n:w:b:o:")) != -1;) {
    switch (option) {
      case 'n':
        runs = std::atoi(optarg);
        break;
      case 'w':
        warm_ups = std::atoi(optarg);
        break;
      case 'b':
        before_each = optarg;
        break;
      case 'o':
        before_first = optarg;
        break;
      default:
        return 2;
    }
  }
  std::vector<Measured> all(1);
  for (int i = optind; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--" && all.size() == 1) {
      all.emplace_back();
    } else {
      all.back().argv.push_back(argv[i]);
    }
  }
  for (Measured& one : all) {
    if (one.argv.empty() || runs < 1) fail("nothing to measure");
    one.argv.push_back(nullptr);
  }
  for (int i = -warm_ups; i < runs; ++i) {
    // The order changes each time: neither always runs in the other's wake.
    for (std::size_t k = 0; k < all.size(); ++k) {
      Measured& one = all[i % 2 == 0 ? k : all.size() - 1 - k];
      shell(before_each);
      if (&one == &all.front()) shell(before_first);
      const Run result = run(one.argv);
      if (i >= 0) one.runs.push_back(result);
    }
  }
  for (const Measured& one : all) {
    const std::vector<long> wall = sorted(one.runs, &Run::wall);
    std::printf("%ld %ld %ld %ld %ld\n", median(wall), wall.front(), wall.back(),
                median(sorted(one.runs, &Run::cpu)), sorted(one.runs, &Run::resident).back());
  }
  return 0;
}
