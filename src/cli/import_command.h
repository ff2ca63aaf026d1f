// Other tools' files as configurations of ours: `imagewright import`, and `build` of such a file as
// it is. What the files say is in core/stackbrew.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"

namespace imagewright {

struct Imported {
  std::string yaml;                   ///< a configuration
  std::size_t images = 0;             ///< in it
  std::vector<std::string> warnings;  ///< what the file says and `yaml` does not, for people
};

/// nullopt: the text is no file of another tool that is known here. `file` is where it is from;
/// `repository`: of the images; "": as the file is called. Throws Error(Usage) with file and line
/// for what is wrong with it.
std::optional<Imported> import_text(std::string_view text, const std::string& file,
                                    const std::string& repository);

/// `imagewright import`. Throws Error(Usage).
int show_import(const Options& options);

}  // namespace imagewright
