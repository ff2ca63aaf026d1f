#include "io/own_paths.h"

#include <sys/stat.h>

#include <system_error>

namespace imagewright {

namespace fs = std::filesystem;

OwnPaths::OwnPaths(std::vector<fs::path> directories) : directories_(std::move(directories)) {}

std::vector<std::string> OwnPaths::inside(dev_t device, ino_t inode) const {
  std::call_once(found_, [this] { find(); });
  std::vector<std::string> paths;
  for (const Above& above : above_) {
    if (above.device == device && above.inode == inode) paths.push_back(above.path);
  }
  return paths;
}

void OwnPaths::find() const {
  for (const fs::path& directory : directories_) {
    std::error_code error;
    const fs::path whole = fs::weakly_canonical(directory, error);
    if (error) continue;
    fs::path above = whole;
    while (above.has_relative_path()) {
      above = above.parent_path();
      struct stat status = {};
      if (stat(above.c_str(), &status) != 0) continue;
      above_.push_back({status.st_dev, status.st_ino, whole.lexically_relative(above).string()});
    }
  }
}

}  // namespace imagewright
