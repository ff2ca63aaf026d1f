// The command `graph`: which image stands on which. Decides nothing.
#pragma once

#include "cli/options.h"

namespace imagewright {

/// Prints it, and gives the exit status. Throws as make_plan.
int show_graph(const Options& options);

}  // namespace imagewright
