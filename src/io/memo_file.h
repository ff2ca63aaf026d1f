// What was once worked out, kept in a file of the cache for the next run. Knows nothing of what it
// is.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace imagewright {

class MemoFile {
 public:
  /// `about`: all that the content depends on; borrowed.
  MemoFile(std::filesystem::path path, std::string_view about);

  /// What was remembered about the same. nullopt: nothing was, or it is damaged.
  std::optional<std::string> recall() const;
  /// Instead of what the file holds. A cache that cannot be written costs time, nothing else.
  void remember(std::string_view content) const;

 private:
  std::filesystem::path path_;
  std::string_view about_;
};

/// The one in this directory that is named by what it is about.
MemoFile memo_in(const std::filesystem::path& directory, std::string_view about);

}  // namespace imagewright
