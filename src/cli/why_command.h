// The commands that tell of what was built and why: `why` and `history`. Build nothing.
#pragma once

#include "cli/options.h"

namespace imagewright {

/// `imagewright why IMAGE`. The exit status.
int show_why(const Options& options, Progress& progress);

/// `imagewright history [IMAGE]`. The exit status.
int show_history(const Options& options);

/// A moment (milliseconds since 1970) as text: `2026-03-21T22:02:01.988Z`.
std::string time_text(std::int64_t ms);

}  // namespace imagewright
