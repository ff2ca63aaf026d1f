// What a command works on: a configuration, and where things are. Made by the command line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"
#include "io/places.h"
#include "io/store.h"

namespace imagewright {

/// A configuration and where it works.
struct Project {
  std::filesystem::path config_path;  ///< canonical: by it rows of the state are owned
  Config config;
  std::vector<std::string> warnings;      ///< what the file says and `config` does not
  std::filesystem::path base;             ///< what relative directories are against
  std::filesystem::path state_directory;  ///< with the lock; and the state, unless `database`
  std::string database;                   ///< as Store::open_shared; "": the directory's file
  Places places;
};

/// The project's state. Throw as those of Store do.
Store open_store(const Project& project);
Store run_store(const Project& project);  ///< as Store::open_late, where it is a file
Store read_store(const Project& project);
/// By which contents of secrets are digested there. Throws Error(Missing).
std::string secret_key(const Project& project);
/// Where it is, for people.
std::string state_place(const Project& project);

/// A name for what is kept for the project's state, in places shared with other states: 16
/// hexadecimal digits, the same for whatever path leads to the directory.
std::string state_key(const Project& project);

/// The engine to find: as an option says, else the configuration; "": the one that answers.
inline const std::string& wished_engine(const Project& project, const std::string& option) {
  return option.empty() ? project.config.engine : option;
}

}  // namespace imagewright
