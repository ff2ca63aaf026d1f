// The commands of the service: the server itself, and those that ask one. Each turns Options into
// work by service/ and shows what came of it.
#pragma once

#include "cli/options.h"

namespace imagewright {

/// Each gives the exit status. Throws Error.
int run_server(const Options& options);
int run_worker(const Options& options);
int show_jobs(const Options& options);
int show_workers(const Options& options);
int cancel_job(const Options& options);
int retry_job(const Options& options);
int trigger_server(const Options& options);
int manage_tokens(const Options& options);

}  // namespace imagewright
