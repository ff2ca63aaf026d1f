// The plain pages of a server, as HTML without scripts: what is there until somebody opens the
// dashboard. Whatever comes from elsewhere is only ever text in them.
#pragma once

#include <string>
#include <vector>

#include "service/checker.h"
#include "service/queue.h"

namespace imagewright {

/// Text that means itself in HTML, in attributes too.
std::string html_text(std::string_view text);

std::string status_page_html(const std::string& config, const Looked& looked,
                             const std::vector<Job>& active, const std::vector<Job>& ended,
                             const std::vector<WorkerRow>& workers);
/// `log`: the last of it, after `left_out` bytes.
std::string job_page_html(const Job& job, const std::string& log, std::int64_t left_out);
/// `message`: what was wrong with what was entered; "": nothing.
std::string login_page_html(const std::string& message);
const char* style_sheet();

}  // namespace imagewright
