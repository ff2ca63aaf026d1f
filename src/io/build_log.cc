#include "io/build_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <vector>

#include "io/error.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLastLines = 10;
constexpr std::size_t kOldLogs = 99;

// "2026-03-21T22-02-01.988123-4711.log": in order of time when sorted by name, and unique.
std::string file_name() {
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(now);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now - seconds).count();
  return fmt::format("{:%Y-%m-%dT%H-%M-%S}.{:06}-{}.log",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), micros, getpid());
}

void drop_old_logs(const fs::path& directory) {
  std::vector<fs::path> logs;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ignored)) {
    if (entry.path().extension() == ".log") logs.push_back(entry.path());
  }
  if (logs.size() <= kOldLogs) return;
  std::sort(logs.begin(), logs.end());
  for (std::size_t i = 0; i + kOldLogs < logs.size(); ++i) fs::remove(logs[i], ignored);
}

}  // namespace

BuildLog::BuildLog(const fs::path& directory) : path_(directory / file_name()) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    fail(error.value());
    return;
  }
  drop_old_logs(directory);
  file_.open(path_, std::ios::binary);
  if (!file_) fail(errno);
}

void BuildLog::add(std::string_view line) {
  last_lines_.emplace_back(line);
  if (last_lines_.size() > kLastLines) last_lines_.pop_front();
  if (!error_.empty()) return;
  errno = 0;
  file_ << line << '\n' << std::flush;
  if (!file_) fail(errno);
}

void BuildLog::fail(int error) {
  error_ = with_errno("the log '" + path_.string() + "' cannot be written", error);
  if (!file_.is_open()) path_.clear();
}

}  // namespace imagewright
