// The log file of one build: every line of the engine's output, and the last ones at hand. Knows
// nothing of engines.
#pragma once

#include <deque>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace imagewright {

class BuildLog {
 public:
  /// Starts a new file in `directory` (created if needed), named by the present time; of the older
  /// ones there only the newest 99 stay. A log that cannot be written hinders no build: see
  /// `error`.
  explicit BuildLog(const std::filesystem::path& directory);

  /// Adds a line; on disk at once.
  void add(std::string_view line);

  /// "" if there is no file.
  const std::filesystem::path& path() const { return path_; }
  const std::deque<std::string>& last_lines() const { return last_lines_; }
  /// What went wrong with the file, once and for all; "": nothing.
  const std::string& error() const { return error_; }

 private:
  void fail(int error);

  std::filesystem::path path_;
  std::ofstream file_;
  std::deque<std::string> last_lines_;
  std::string error_;
};

}  // namespace imagewright
