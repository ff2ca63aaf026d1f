// Running a program: argv (never a shell), its environment, its output line by line, and ending it
// with all it started. Knows nothing of what the programs are.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imagewright {

/// How a command is ended when the run is interrupted or its time is over.
enum class Ending {
  /// TERM to the process group, KILL after 3 s, then what it left behind.
  Group,
  /// KILL the descendants (a build's RUN processes, and what copies for it), whenever there are
  /// some and a while for cleaning up has passed, so that the program itself fails the step and
  /// cleans up; if that has not ended it after 3 s, or after 1 s of which it was told twice, as
  /// Group. (Buildah and Podman, which after a TERM leave the RUN alive or a container behind.)
  DescendantsFirst,
};

struct Command {
  std::vector<std::string> argv;  ///< argv[0] is looked up on PATH unless it holds a `/`
  std::map<std::string, std::optional<std::string>> environment =
      {};                                ///< changes to ours; nullopt unsets
  std::string directory = {};            ///< "" is ours
  std::chrono::milliseconds timeout{0};  ///< 0: none
  Ending ending = Ending::Group;
  const std::atomic<bool>* stop = nullptr;  ///< true: ended as by an interrupt; borrowed
};

struct Exit {
  int status = 0;            ///< the exit status, or 128 + signal
  bool interrupted = false;  ///< ended by us because of SIGINT or SIGTERM, or `stop`
  bool timed_out = false;    ///< ended by us because its time was over
  bool ok() const { return status == 0 && !interrupted && !timed_out; }
};

/// Called with each line of output, without its line end, as it comes; stdout and stderr in order
/// of arrival. A line longer than 64 KiB comes in pieces. `\r` ends a line, too.
using OnLine = std::function<void(std::string_view line)>;
/// Called at least about ten times a second while the program runs.
using OnTick = std::function<void()>;

/// Runs a program to its end, with stdin from /dev/null, in a session of its own; it is killed if
/// we die. An interrupt (io/interrupt.h) ends it as `command.ending` says. Throws Error(Missing) if
/// the program cannot be started.
Exit run_command(const Command& command, const OnLine& on_line, const OnTick& on_tick = {});

struct Output {
  Exit exit;
  std::string out;  ///< stdout's bytes
  std::string err;  ///< stderr's bytes
  /// The first line of that.
  std::string first_error() const { return err.substr(0, err.find('\n')); }
};

/// Runs a program and collects what it writes, both apart. `input` goes to its stdin. Throws as
/// above.
Output capture(const Command& command, std::string_view input = {});

/// The program's path by PATH ("" if there is none); all of them in PATH's order.
std::string find_program(const std::string& name);
std::vector<std::string> find_programs(const std::string& name);

}  // namespace imagewright
