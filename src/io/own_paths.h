// Which of our own directories lie in a context. (The home directory can be one, with the cache in
// it.)
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

namespace imagewright {

class OwnPaths {
 public:
  /// `directories` need not be there: what counts is where they are, or would be.
  explicit OwnPaths(std::vector<std::filesystem::path> directories);

  /// The paths of those that lie in the directory of that identity, as seen from there; whatever
  /// symlinks lead to either. May be called by several threads.
  std::vector<std::string> inside(dev_t device, ino_t inode) const;

 private:
  // A directory above one of ours, and the way from there.
  struct Above {
    dev_t device = 0;
    ino_t inode = 0;
    std::string path;
  };

  void find() const;

  std::vector<std::filesystem::path> directories_;
  mutable std::once_flag found_;
  mutable std::vector<Above> above_;
};

}  // namespace imagewright
