// From Options to a Project: finds, reads and parses the configuration, and settles where its state
// lies.
#pragma once

#include "cli/options.h"
#include "run/run.h"

namespace imagewright {

/// Throws Error(Usage) with file, line and column if the configuration cannot be read or is wrong.
Project load_project(const Options& options);

/// Where a configuration and its state lie, without what it says: it need not be readable. Throws
/// Error(Missing).
Project locate_project(const Options& options);

/// The text of the file that `options` names (`-`: standard input); never much more than a
/// configuration may have. Throws Error(Usage).
std::string read_configuration(const Options& options);

/// How the images of a project are looked at, by a command that does nothing else: what a fleet
/// built last, by what registries have.
RunOptions looking_options(const Options& options, const Project& project);

/// The image of that name: as written in the configuration, or without its tag. Throws
/// Error(Usage).
const ImageConfig& find_image(const Project& project, const std::string& name);

}  // namespace imagewright
