#include "io/local_git.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "core/source.h"
#include "io/error.h"
#include "io/process.h"

namespace imagewright {

namespace {

// "": it ended badly.
std::string ask(const std::filesystem::path& directory, std::vector<std::string> question) {
  try {
    Command command;
    // (A file-system monitor would be a program of the checkout's choice.)
    command.argv = {"git", "-c", "core.fsmonitor=false", "-C", directory};
    command.argv.insert(command.argv.end(), question.begin(), question.end());
    command.environment = {{"LC_ALL", "C"}, {"GIT_TERMINAL_PROMPT", "0"}};
    const Output output = capture(command);
    return output.exit.ok() ? output.out : "";
  } catch (const Error&) {
    return "";
  }
}

std::string line_of(std::string text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

std::string commit_time(const std::string& commit_object) {
  // "committer NAME <ADDRESS> SECONDS ZONE"
  const std::size_t begin = commit_object.find("\ncommitter ");
  const std::size_t headers = commit_object.find("\n\n");
  if (begin == std::string::npos || begin > headers) return "";
  const std::string line = line_of(commit_object.substr(begin + 1));
  const std::size_t mark = line.rfind("> ");
  if (mark == std::string::npos) return "";
  std::int64_t seconds = 0;
  const char* const first = line.data() + mark + 2;
  const auto read = std::from_chars(first, line.data() + line.size(), seconds);
  constexpr std::int64_t kEnd = 253402300800;  // the year 10000
  if (read.ptr == first || seconds < 0 || seconds >= kEnd) return "";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

LocalGit find_local_git(const std::filesystem::path& directory) {
  LocalGit git;
  git.commit = line_of(ask(directory, {"rev-parse", "--verify", "-q", "HEAD^{commit}"}));
  if (!is_full_git_id(git.commit)) return {};
  git.time = commit_time(ask(directory, {"cat-file", "commit", git.commit}));
  git.branch = line_of(ask(directory, {"symbolic-ref", "-q", "--short", "HEAD"}));
  git.tag = line_of(ask(directory, {"describe", "--tags", "--exact-match", git.commit}));
  git.url = redacted(line_of(ask(directory, {"config", "--get", "remote.origin.url"})));
  return git;
}

}  // namespace imagewright
