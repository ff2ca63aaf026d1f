// What was found out about an engine's program, remembered between runs in the cache directory.
// Knows nothing of what is remembered.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace imagewright {

/// The files in which Podman and Buildah may find their settings, whether they are there or not.
std::vector<std::string> containers_settings();

/// Answers that hold as long as these programs are what they are.
class EngineMemory {
 public:
  /// `question` tells kinds of answers apart. An answer is forgotten when one of the `files`
  /// appears, goes or changes (size, mtime), and is another one for another user.
  EngineMemory(const std::filesystem::path& cache, const std::string& question,
               const std::vector<std::string>& files);

  /// What is remembered, or what `ask` answers, which is remembered unless it is "".
  std::string answer(const std::function<std::string()>& ask) const;

  std::optional<std::string> recall() const;
  /// `answer` is one line. A cache that cannot be written costs time, nothing else.
  void remember(const std::string& answer) const;

 private:
  std::filesystem::path path_;
};

}  // namespace imagewright
