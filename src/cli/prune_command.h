// The command `prune`: shows what is not needed any more, and has it removed.
#pragma once

#include "cli/options.h"

namespace imagewright {

/// The exit status.
int show_prune(const Options& options, Progress& progress);

}  // namespace imagewright
