// What the directories of a project came to at an earlier run, each with the stamp of its whole
// tree: all that has to be known of a small context that nobody touched. In one file for all of
// them, as opening a file for each would cost more than looking at it. Only caches; only
// directories in which everything that counts is part of the stamp.
#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "io/tree.h"

namespace imagewright {

struct KnownDirectory {
  TreeStamp stamp;
  std::string context_digest;  ///< both hexadecimal
  std::string dockerfile_digest;
};

class KnownDirectories {
 public:
  /// Kept in `file`. `condition`: what else the digests depend on; with another one, or damaged, it
  /// is as good as none.
  KnownDirectories(std::filesystem::path file, std::string condition);

  /// May be called by several threads.
  std::optional<KnownDirectory> find(const std::string& directory);
  void remember(const std::string& directory, const KnownDirectory& known);
  /// Writes what is new. A cache that cannot be written is no error.
  void save();

 private:
  void load();
  std::string check(std::string_view entries) const;

  std::filesystem::path file_;
  std::string condition_;
  std::mutex mutex_;
  bool loaded_ = false;
  bool changed_ = false;
  std::unordered_map<std::string, KnownDirectory> known_;
};

}  // namespace imagewright
