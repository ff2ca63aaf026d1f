// The commands: each turns Options into work by run/ and shows what came of it.
#pragma once

#include "cli/options.h"

namespace imagewright {

/// Runs the command; gives the exit status (docs/cli.md, "Exit status"). Throws Error.
int run_command_line(const Options& options);

}  // namespace imagewright
