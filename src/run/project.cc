#include "run/project.h"

#include <system_error>

#include "core/digest.h"

namespace imagewright {

std::string state_key(const Project& project) {
  std::error_code ignored;
  const auto directory = std::filesystem::weakly_canonical(project.state_directory, ignored);
  return hex(sha256(directory.string())).substr(0, 16);
}

}  // namespace imagewright
