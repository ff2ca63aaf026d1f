#include "service/pages.h"

#include <fmt/format.h>

#include "io/wall_clock.h"
#include "run/progress.h"
#include "service/times.h"

namespace imagewright {

namespace {

std::string page(const std::string& title, bool refreshes, const std::string& body) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{}"
      "<title>{}</title>\n<link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n<body>\n{}"
      "</body>\n</html>\n",
      refreshes ? "<meta http-equiv=\"refresh\" content=\"5\">\n" : "", html_text(title), body);
}

std::string table(const std::string& caption, const std::vector<std::string>& heads,
                  const std::string& rows, const std::string& otherwise) {
  if (rows.empty())
    return fmt::format("<h2>{}</h2>\n<p>{}</p>\n", html_text(caption), html_text(otherwise));
  std::string head;
  for (const std::string& text : heads) head += "<th scope=\"col\">" + html_text(text) + "</th>";
  return fmt::format(
      "<h2>{}</h2>\n<div class=\"wide\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}"
      "</tbody></table></div>\n",
      html_text(caption), head, rows);
}

std::string row(const std::string& state, const std::vector<std::string>& cells) {
  std::string html = fmt::format("<tr class=\"{}\">", html_text(state));
  for (const std::string& cell : cells) html += "<td>" + cell + "</td>";
  return html + "</tr>\n";
}

std::string job_link(const Job& job) {
  return fmt::format("<a href=\"/jobs/{0}\">{0}</a>", job.id);
}

std::string ago(std::int64_t ms) {
  if (ms == 0) return "";
  const auto span = std::chrono::milliseconds(std::max<std::int64_t>(0, now_ms() - ms));
  return fmt::format("<time datetime=\"{}\">{} ago</time>", utc_time(ms),
                     html_text(describe(span)));
}

std::string took(const Job& job) {
  if (job.started_ms == 0) return "";
  const std::int64_t end = job.finished_ms != 0 ? job.finished_ms : now_ms();
  return html_text(
      describe(std::chrono::milliseconds(std::max<std::int64_t>(0, end - job.started_ms))));
}

std::string joined(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string note_of(const Job& job) {
  if (job.state == JobState::Blocked) return html_text("waits for " + joined(job.waits_for));
  if (job.state == JobState::Queued && job.not_before_ms > now_ms())
    return html_text("not before " + utc_time(job.not_before_ms));
  if (job.cancel_asked) return "is being cancelled";
  return html_text(job.message);
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string html;
  for (const char letter : without_controls(text)) {
    switch (letter) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += letter;
    }
  }
  return html;
}

std::string status_page_html(const std::string& config, const Looked& looked,
                             const std::vector<Job>& active, const std::vector<Job>& ended,
                             const std::vector<WorkerRow>& workers) {
  std::string body =
      "<header><h1>imagewright</h1><p>" + html_text(config) + "</p></header>\n<main>\n";
  for (const std::string& problem : {looked.problem, looked.config_problem}) {
    if (!problem.empty()) body += "<p class=\"problem\">" + html_text(problem) + "</p>\n";
  }
  std::string rows;
  for (const ImageStatus& image : looked.images) {
    std::string why = describe(image.reasons);
    if (!image.message.empty()) why += (why.empty() ? "" : "; ") + image.message;
    rows += row(word(image.standing), {html_text(image.name), html_text(word(image.standing)),
                                       html_text(why), html_text(image.source)});
  }
  body += table("Images", {"image", "state", "why", "source"}, rows, "No look has ended yet.");
  rows.clear();
  for (const Job& job : active) {
    rows +=
        row(word(job.state), {job_link(job), html_text(job.image), html_text(word(job.state)),
                              html_text(job.reasons), ago(job.queued_ms), took(job), note_of(job)});
  }
  body += table("Queue", {"job", "image", "state", "why", "queued", "builds for", "note"}, rows,
                "Nothing is to be built.");
  rows.clear();
  for (const Job& job : ended) {
    rows += row(word(job.state),
                {job_link(job), html_text(job.image), html_text(word(job.state)),
                 html_text(job.reasons), ago(job.finished_ms), took(job), note_of(job)});
  }
  body += table("Ended", {"job", "image", "state", "why", "ended", "took", "note"}, rows,
                "Nothing was built yet.");
  rows.clear();
  for (const WorkerRow& worker : workers) {
    rows += row(worker.draining ? "draining" : "working",
                {html_text(worker.name), html_text(joined(worker.labels)), ago(worker.seen_ms),
                 worker.draining ? "takes no more" : ""});
  }
  body += table("Workers", {"worker", "labels", "seen", ""}, rows, "None was seen yet.");
  if (looked.at_ms != 0)
    body += "<footer><p>Looked " + ago(looked.at_ms) +
            ". <a href=\"/metrics\">metrics</a></p></footer>\n";
  return page("imagewright: " + config, true, body + "</main>\n");
}

std::string job_page_html(const Job& job, const std::string& log, std::int64_t left_out) {
  std::string body = fmt::format(
      "<header><p><a href=\"/\">all images</a></p><h1>{}</h1><p>job {}, "
      "{}{}</p></header>\n<main>\n",
      html_text(job.image), job.id, html_text(word(job.state)),
      job.attempts > 1 ? fmt::format(", attempt {}", job.attempts) : "");
  const auto line = [&](const char* what, const std::string& html) {
    if (!html.empty()) body += fmt::format("<p><b>{}</b> {}</p>\n", what, html);
  };
  line("why", html_text(job.reasons));
  line("queued", ago(job.queued_ms));
  line("worker", html_text(job.worker));
  line("time", took(job));
  line("image", html_text(job.image_id));
  line("note", note_of(job));
  if (left_out > 0)
    body += fmt::format(
        "<p>The first {} bytes of the log are left out here: "
        "<a href=\"/api/v1/jobs/{}/log\">all of it</a></p>\n",
        left_out, job.id);
  std::string text;
  for (std::size_t at = 0; at < log.size();) {
    const std::size_t end = std::min(log.find('\n', at), log.size());
    text += html_text(std::string_view(log).substr(at, end - at)) + "\n";
    at = end + 1;
  }
  body += "<pre>" + text + "</pre>\n";
  return page(job.image + ", job " + std::to_string(job.id), !is_final(job.state),
              body + "</main>\n");
}

std::string login_page_html(const std::string& message) {
  return page(
      "imagewright", false,
      "<main><h1>imagewright</h1>\n" +
          (message.empty() ? "" : "<p class=\"problem\">" + html_text(message) + "</p>\n") +
          "<form method=\"post\" action=\"/login\">\n"
          "<label>A token (<code>imagewright token</code> on the server's machine makes one)"
          " <input type=\"password\" name=\"token\" autofocus required></label>\n"
          "<button>Look</button>\n</form></main>\n");
}

const char* style_sheet() {
  return R"(:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 0 1rem 2rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
header p { margin: 0; opacity: .75; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; min-width: 4rem; }
tr.failed td:nth-child(2), tr.unknown td:nth-child(2), tr.quarantined td:nth-child(3),
tr.failed td:nth-child(3), .problem { color: light-dark(#b3261e, #ff8a80); }
.problem { border-left: .25rem solid; padding-left: .75rem; }
pre { background: #8882; overflow-x: auto; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
input { font: inherit; display: block; margin: .5rem 0; width: min(100%, 32rem); }
button { font: inherit; }
)";
}

}  // namespace imagewright
