#include "io/engine_memory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <system_error>

#include "core/digest.h"
#include "io/environment.h"
#include "io/error.h"
#include "io/scratch.h"

namespace imagewright {

std::vector<std::string> containers_settings() {
  std::vector<std::string> files = {variable("CONTAINERS_STORAGE_CONF"),
                                    variable("CONTAINERS_CONF")};
  for (const std::string& directory :
       {std::string("/usr/share/containers"), std::string("/etc/containers"),
        config_home() + "/containers"}) {
    files.push_back(directory + "/storage.conf");
    files.push_back(directory + "/containers.conf");
  }
  return files;
}

EngineMemory::EngineMemory(const std::filesystem::path& cache, const std::string& question,
                           const std::vector<std::string>& files) {
  Sha256 key;
  key.update_field(question);
  key.update_number(getuid());
  for (const std::string& file : files) {
    struct stat status = {};
    if (stat(file.c_str(), &status) != 0) continue;  // wherever it is not
    key.update_field(file);
    key.update_number(static_cast<std::uint64_t>(status.st_size));
    key.update_number(static_cast<std::uint64_t>(status.st_mtim.tv_sec));
    key.update_number(static_cast<std::uint64_t>(status.st_mtim.tv_nsec));
  }
  path_ = cache / "engines" / hex(key.finish());
}

std::string EngineMemory::answer(const std::function<std::string()>& ask) const {
  if (auto remembered = recall()) return *std::move(remembered);
  std::string answer = ask();
  if (!answer.empty()) remember(answer);
  return answer;
}

std::optional<std::string> EngineMemory::recall() const {
  std::ifstream file(path_);
  std::string answer;
  if (!std::getline(file, answer) || file.eof())
    return std::nullopt;  // an end without a newline was cut off
  return answer;
}

void EngineMemory::remember(const std::string& answer) const {
  std::error_code ignored;
  std::filesystem::create_directories(path_.parent_path(), ignored);
  try {
    write_file(path_, answer + "\n");
  } catch (const Error&) {
  }
}

}  // namespace imagewright
