#include "run/project.h"

#include <system_error>

#include "core/digest.h"
#include "io/secret_key.h"
#include "io/state_database.h"

namespace imagewright {

Store open_store(const Project& project) {
  return project.database.empty() ? Store::open(project.state_directory)
                                  : Store::open_shared(project.database);
}

Store run_store(const Project& project) {
  return project.database.empty() ? Store::open_late(project.state_directory)
                                  : Store::open_shared(project.database);
}

Store read_store(const Project& project) {
  return project.database.empty() ? Store::open_read_only(project.state_directory)
                                  : Store::read_shared(project.database);
}

std::string secret_key(const Project& project) {
  return project.database.empty() ? secret_key(project.places.cache)
                                  : shared_secret_key(project.database);
}

std::string state_place(const Project& project) {
  return project.database.empty() ? (project.state_directory / Store::file_names().front()).string()
                                  : "PostgreSQL";
}

std::string state_key(const Project& project) {
  std::error_code ignored;
  const auto directory = std::filesystem::weakly_canonical(project.state_directory, ignored);
  return hex(sha256(directory.string())).substr(0, 16);
}

}  // namespace imagewright
