#include "io/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <set>

#include "io/error.h"
#include "io/fd.h"
#include "io/interrupt.h"

extern char** environ;

namespace imagewright {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kTick = std::chrono::milliseconds(100);
constexpr auto kPatience = std::chrono::seconds(3);  // from TERM to KILL
constexpr auto kCleaning = std::chrono::milliseconds(1000);
constexpr auto kDrain = std::chrono::milliseconds(500);  // for a pipe that a grandchild keeps open
constexpr std::size_t kLongestLine = std::size_t{64} * 1024;

std::mutex children_mutex;
std::set<pid_t> children;  // started by us and not yet reaped

struct Pipe {
  Fd read_end;
  Fd write_end;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw Error(Error::Kind::Missing, with_errno("cannot make a pipe"));
  return {Fd(ends[0]), Fd(ends[1])};
}

std::vector<std::string> merged_environment(const Command& command) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (command.environment.count(std::string(text.substr(0, text.find('=')))) == 0)
      merged.emplace_back(text);
  }
  for (const auto& [name, value] : command.environment) {
    if (value) merged.push_back(name + "=" + *value);
  }
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Descendants that lose their parent become our children, so that they can still be found and
// ended.
void become_subreaper() {
  static const int once = prctl(PR_SET_CHILD_SUBREAPER, 1);
  (void)once;
}

// What a child becomes.
struct Program {
  const char* path;
  char* const* argv;
  char* const* environment;
  const char* directory;  // "": where we are
  pid_t parent;
  int in;
  int out;
  int err;
  int failure;  // where the number of an error is written
};

// In the child, which has our memory and, until it is the program, one of our stacks:
// async-signal-safe calls only, and nothing is written to but what is its own.
[[noreturn, gnu::noinline]] void become(const Program& program) {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != program.parent) _exit(127);
  // None of our handlers may run here.
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action = {};
    if (sigaction(number, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    action = {};
    sigaction(number, &action, nullptr);
  }
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (dup2(program.in, 0) >= 0 && dup2(program.out, 1) >= 0 && dup2(program.err, 2) >= 0 &&
      (program.directory[0] == '\0' || chdir(program.directory) == 0)) {
    execve(program.path, program.argv, program.environment);
  }
  const int error = errno;
  if (write(program.failure, &error, sizeof error) < 0) _exit(126);
  _exit(127);
}

// Starts the command with these as its stdin, stdout and stderr.
pid_t start(const Command& command, int in, int out, int err) {
  become_subreaper();
  const std::string path = find_program(command.argv.at(0));
  if (path.empty()) {
    throw Error(Error::Kind::Missing, "cannot find the program '" + command.argv[0] + "' on PATH");
  }
  std::vector<std::string> argv_texts = command.argv;
  std::vector<std::string> environment_texts = merged_environment(command);
  const std::vector<char*> argv = pointers(argv_texts);
  const std::vector<char*> environment = pointers(environment_texts);
  Pipe failure = make_pipe();
  const pid_t parent = getpid();

  // Held until the child is known: to another thread that ends orphans it must never look like one.
  std::unique_lock lock(children_mutex);
  // (A signal that comes meanwhile must not be handled by the child, in our memory.)
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // What a fork would copy, and what it would cost to have it copied, is much in a process of many
  // threads: all of them would stop at every page that they write to next.
  const pid_t child = vfork();
  if (child == 0) {
    become({path.c_str(), argv.data(), environment.data(), command.directory.c_str(), parent, in,
            out, err, failure.write_end.get()});
  }
  const int fork_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0)
    throw Error(Error::Kind::Missing, with_errno("cannot start '" + path + "'", fork_error));
  children.insert(child);
  lock.unlock();
  failure.write_end.reset();
  int error = 0;
  if (read(failure.read_end.get(), &error, sizeof error) == sizeof error) {
    waitpid(child, nullptr, 0);
    lock.lock();
    children.erase(child);
    throw Error(Error::Kind::Missing, with_errno("cannot start '" + path + "'", error));
  }
  return child;
}

// (pid, parent) of every process that can be seen.
std::vector<std::pair<pid_t, pid_t>> process_table() {
  std::vector<std::pair<pid_t, pid_t>> table;
  DIR* const directory = opendir("/proc");
  if (directory == nullptr) return table;
  while (const dirent* entry = readdir(directory)) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    std::ifstream stat(std::string("/proc/") + entry->d_name + "/stat");
    std::string text;
    std::getline(stat, text);
    const std::size_t after_name = text.rfind(") ");  // the name may hold anything
    if (after_name == std::string::npos || after_name + 4 >= text.size()) continue;
    table.emplace_back(std::atoi(entry->d_name), std::atoi(text.c_str() + after_name + 4));
  }
  closedir(directory);
  return table;
}

std::vector<pid_t> descendants(pid_t root, const std::vector<std::pair<pid_t, pid_t>>& table) {
  std::vector<pid_t> found;
  for (std::size_t next = 0; root != 0; root = next < found.size() ? found[next++] : 0) {
    for (const auto& [pid, parent] : table) {
      if (parent == root) found.push_back(pid);
    }
  }
  return found;
}

void kill_all(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids) kill(pid, SIGKILL);
}

// What an ended program left behind: our children that we did not start, and all below them. Where
// others of ours run, they may be theirs: then only those that were seen below this one, or are of
// its session.
void kill_orphans(pid_t session, const std::set<pid_t>& seen) {
  const auto table = process_table();
  for (const auto& [pid, parent] : table) {
    if (parent != getpid()) continue;
    {
      const std::lock_guard lock(children_mutex);
      if (children.count(pid) != 0) continue;
      if (!children.empty() && seen.count(pid) == 0 && getsid(pid) != session) continue;
    }
    kill_all(descendants(pid, table));
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
}

// A started program: its end, wished for or not.
class Child {
 public:
  Child(const Command& command, int in, int out, int err)
      : command_(command), pid_(start(command, in, out, err)), started_(Clock::now()) {}

  ~Child() {
    if (reaped_) return;
    kill(-pid_, SIGKILL);
    while (!reap(0)) {
    }
  }

  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Looks for an interrupt or the end of its time, and takes the next step of ending it.
  void look_after() {
    // What has ended by itself was not ended by us: a build that ends well as a signal comes is
    // kept.
    if (ended()) return;
    const auto now = Clock::now();
    if (!ending_) {
      if (interrupted() != 0 || (command_.stop != nullptr && command_.stop->load())) {
        exit_.interrupted = true;
      } else if (command_.timeout.count() > 0 && now - started_ > command_.timeout) {
        exit_.timed_out = true;
      } else {
        return;
      }
      ending_ = true;
      ending_since_ = next_step_ = now;
    }
    // (Who cleans up has that long, however often he is told.)
    const bool may_clean =
        command_.ending == Ending::DescendantsFirst && now - ending_since_ < kCleaning;
    const bool at_once = exit_.interrupted && interrupt_count() > 1 && !killed_ && !may_clean;
    if (at_once) step_ = Step::Kill;
    if (now >= next_step_ || at_once) end(now);
  }

  // Has it ended? Without waiting.
  bool ended() { return reaped_ || reap(WNOHANG); }

  // After the end. What an ended program left behind goes, too.
  Exit result() const {
    if (ending_) kill_orphans(pid_, seen_);
    return exit_;
  }

 private:
  enum class Step { Descendants, Terminate, Kill };

  void end(Clock::time_point now) {
    const auto running = descendants(pid_, process_table());
    seen_.insert(running.begin(), running.end());
    switch (step_) {
      case Step::Descendants: {
        if (command_.ending == Ending::Group || now - ending_since_ > kPatience) {
          step_ = Step::Terminate;
          return end(now);
        }
        // Where it has none now, its next step has. What comes soon after a kill may be what cleans
        // up.
        kill_all(running);
        next_step_ = running.empty() ? now : now + kCleaning;
        return;
      }
      case Step::Terminate:
        step_ = Step::Kill;
        kill(-pid_, SIGTERM);
        break;
      case Step::Kill:
        killed_ = true;
        kill_all(running);
        kill(-pid_, SIGKILL);
        break;
    }
    next_step_ = now + kPatience;
  }

  bool reap(int flags) {
    int status = 0;
    const pid_t got = waitpid(pid_, &status, flags);
    if (got == 0 || (got < 0 && errno == EINTR)) return false;
    if (got == pid_)
      exit_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    reaped_ = true;
    const std::lock_guard lock(children_mutex);
    children.erase(pid_);
    return true;
  }

  const Command& command_;
  pid_t pid_;
  Clock::time_point started_;
  Clock::time_point ending_since_;
  Clock::time_point next_step_;
  Exit exit_;
  std::set<pid_t> seen_;  // below it, when it was to end
  Step step_ = Step::Descendants;
  bool ending_ = false;
  bool killed_ = false;
  bool reaped_ = false;
};

// Bytes in, lines out.
class LineSplitter {
 public:
  explicit LineSplitter(const OnLine& on_line) : on_line_(on_line) {}

  void add(std::string_view bytes) {
    for (const char byte : bytes) {
      if (byte == '\n' || byte == '\r') {
        if (!(byte == '\n' && after_return_)) emit();
        after_return_ = byte == '\r';
        continue;
      }
      after_return_ = false;
      line_ += byte;
      if (line_.size() >= kLongestLine) emit();
    }
  }

  void finish() {
    if (!line_.empty()) emit();
  }

 private:
  void emit() {
    if (on_line_) on_line_(line_);
    line_.clear();
  }

  const OnLine& on_line_;
  std::string line_;
  bool after_return_ = false;
};

// Reads what is there; false at the end of the stream.
template <typename Sink>
bool read_some(int fd, const Sink& sink) {
  std::array<char, 65536> buffer;
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) return false;
  sink(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  return true;
}

// Writes without dying of SIGPIPE when the reader is gone.
ssize_t write_quietly(int fd, std::string_view bytes) {
  sigset_t pipe_signal;
  sigset_t before;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  const ssize_t written = write(fd, bytes.data(), bytes.size());
  const int error = errno;
  if (written < 0 && error == EPIPE) {
    const timespec now = {};
    sigtimedwait(&pipe_signal, nullptr, &now);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return written;
}

// Sleeps until one of the descriptors is ready, an interrupt comes, or a tick has passed. An
// interrupt that is known already does not wake again.
void wait_for(std::vector<pollfd>& descriptors, bool watch_interrupt) {
  if (watch_interrupt) descriptors.push_back({interrupt_fd(), POLLIN, 0});
  poll(descriptors.data(), descriptors.size(), static_cast<int>(kTick.count()));
  if (watch_interrupt) descriptors.pop_back();
}

Fd open_null() {
  Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) throw Error(Error::Kind::Missing, with_errno("cannot open /dev/null"));
  return null;
}

}  // namespace

Exit run_command(const Command& command, const OnLine& on_line, const OnTick& on_tick) {
  const Fd null = open_null();
  Pipe output = make_pipe();
  Child child(command, null.get(), output.write_end.get(), output.write_end.get());
  output.write_end.reset();

  LineSplitter lines(on_line);
  bool open = true;
  bool ended = false;
  Clock::time_point give_up;
  while (!ended || (open && Clock::now() < give_up)) {
    std::vector<pollfd> descriptors;
    if (open) descriptors.push_back({output.read_end.get(), POLLIN, 0});
    if (open) {
      wait_for(descriptors, interrupted() == 0);
      if (descriptors[0].revents != 0)
        open = read_some(output.read_end.get(), [&](auto bytes) { lines.add(bytes); });
    } else {
      poll(nullptr, 0, 1);
    }
    child.look_after();
    if (!ended && child.ended()) {
      ended = true;
      give_up = Clock::now() + kDrain;
    }
    if (on_tick) on_tick();
  }
  lines.finish();
  return child.result();
}

Output capture(const Command& command, std::string_view input) {
  const Fd null = open_null();
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  Output output;
  Child child(command, input.empty() ? null.get() : in.read_end.get(), out.write_end.get(),
              err.write_end.get());
  in.read_end.reset();
  out.write_end.reset();
  err.write_end.reset();
  if (input.empty()) in.write_end.reset();
  if (in.write_end) fcntl(in.write_end.get(), F_SETFL, O_NONBLOCK);

  bool ended = false;
  Clock::time_point give_up;
  while (!ended || ((out.read_end || err.read_end) && Clock::now() < give_up)) {
    // A descriptor of -1 is passed over by poll.
    std::vector<pollfd> descriptors = {{out.read_end.get(), POLLIN, 0},
                                       {err.read_end.get(), POLLIN, 0},
                                       {in.write_end.get(), POLLOUT, 0}};
    if (out.read_end || err.read_end || in.write_end) {
      wait_for(descriptors, interrupted() == 0);
    } else {
      poll(nullptr, 0, 1);
    }
    if (descriptors[0].revents != 0 &&
        !read_some(out.read_end.get(), [&](auto bytes) { output.out += bytes; })) {
      out.read_end.reset();
    }
    if (descriptors[1].revents != 0 &&
        !read_some(err.read_end.get(), [&](auto bytes) { output.err += bytes; })) {
      err.read_end.reset();
    }
    if (descriptors[2].revents != 0) {
      const ssize_t written = write_quietly(in.write_end.get(), input.substr(0, 65536));
      if (written > 0) input.remove_prefix(static_cast<std::size_t>(written));
      if (input.empty() || (written < 0 && errno != EAGAIN && errno != EINTR)) in.write_end.reset();
    }
    child.look_after();
    if (!ended && child.ended()) {
      ended = true;
      give_up = Clock::now() + kDrain;
    }
  }
  output.exit = child.result();
  return output;
}

std::vector<std::string> find_programs(const std::string& name) {
  const auto executable = [](const std::string& path) {
    struct stat status = {};
    return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
           access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    return executable(name) ? std::vector<std::string>{name} : std::vector<std::string>{};
  }
  std::vector<std::string> found;
  const char* variable = std::getenv("PATH");
  std::string_view path = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  while (!path.empty()) {
    const std::size_t colon = std::min(path.find(':'), path.size());
    const std::string directory(path.substr(0, colon));
    path.remove_prefix(std::min(colon + 1, path.size()));
    // An empty or relative part of PATH means the working directory: never a program's place for
    // us.
    if (directory.empty() || directory[0] != '/') continue;
    if (std::string candidate = directory + "/" + name; executable(candidate))
      found.push_back(std::move(candidate));
  }
  return found;
}

std::string find_program(const std::string& name) {
  const auto found = find_programs(name);
  return found.empty() ? std::string() : found.front();
}

}  // namespace imagewright
