#include "cli/commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "cli/exit_status.h"
#include "cli/graph_command.h"
#include "cli/import_command.h"
#include "cli/project.h"
#include "cli/prune_command.h"
#include "cli/service_commands.h"
#include "cli/why_command.h"
#include "core/abandon.h"
#include "io/error.h"
#include "io/interrupt.h"
#include "run/config_text.h"
#include "run/json.h"
#include "run/next_context.h"
#include "run/observe.h"
#include "run/watch.h"
#include "service/handed_over.h"
#include "service/job_json.h"

namespace imagewright {

namespace {

void print(const std::string& text) {
  fmt::print(stdout, "{}", text);
}
void print(const Json& json) {
  print(dump(json, true) + "\n");
}

bool is_terminal(std::FILE* stream) {
  return isatty(fileno(stream)) == 1;
}

bool use_color(const Options& options) {
  if (options.color != ColorStyle::Auto) return options.color == ColorStyle::Always;
  const char* no_color = std::getenv("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && is_terminal(stdout);
}

std::unique_ptr<Progress> make_progress(const Options& options) {
  if (options.json) return make_json_progress(stdout);
  if (options.verbose > 0) return make_log_progress(options.verbose > 1);
  if (options.quiet) return make_plain_progress(stdout, stderr, true, false);
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  const bool live = options.progress == ProgressStyle::Tty ||
                    (options.progress == ProgressStyle::Auto && is_terminal(stdout) && !dumb);
  if (live) return make_live_progress(stdout, use_color(options));
  return make_plain_progress(stdout, stderr, false, is_terminal(stdout));
}

// For the commands that build nothing: their answer is on stdout, so what they tell meanwhile is on
// stderr.
std::unique_ptr<Progress> make_reader_progress(const Options& options) {
  if (options.verbose > 0) return make_log_progress(options.verbose > 1);
  return make_plain_progress(stderr, stderr, options.quiet, false);
}

void refuse_fleet(const RunOptions& run) {
  if (!run.make_engine) return;
  throw Error(Error::Kind::Missing,
              "workers built these images last: start their server (imagewright serve --fleet), "
              "or name an engine to build them here (--engine)");
}

int build(const Options& options) {
  const Project& project = until_the_end(load_project(options));
  const auto progress = make_progress(options);
  const RunOptions run = looking_options(options, project);
  const auto server = run.dry_run ? std::nullopt : ServerClient::find(project);
  if (!run.dry_run && !server) refuse_fleet(run);
  const RunSummary summary = server ? build_by_server(*server, project, options.run, *progress)
                                    : build_images(project, run, *progress);
  if (summary.signal != 0) return kInterruptedBase + summary.signal;
  const bool failed = summary.count(ImageState::Failed) > 0 || summary.publishing_failures > 0;
  return failed ? kSomethingFailed : 0;
}

int watch(const Options& options) {
  refuse_fleet(looking_options(options, load_project(options)));
  const auto progress = make_progress(options);
  const int signal =
      watch_images([&] { return load_project(options); }, options.run, options.watch, *progress);
  return kInterruptedBase + signal;
}

std::string status_line(const ImageStatus& image, std::size_t width, bool color) {
  const char* paint = image.standing == Standing::UpToDate ? "32"
                      : image.standing == Standing::Stale || image.standing == Standing::Unpublished
                          ? "33"
                          : "31";
  std::string state = fmt::format("{:<10}", word(image.standing));
  if (color) state = fmt::format("\x1b[{}m{}\x1b[0m", paint, state);
  std::string why = describe(image.reasons);
  if (!image.message.empty()) why += (why.empty() ? "" : "; ") + without_controls(image.message);
  std::string line = fmt::format("{:<{}}  {}  {}", image.name, width, state, why);
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

int status(const Options& options) {
  const Project& project = until_the_end(load_project(options));
  const auto progress = make_reader_progress(options);
  const RunOptions run = looking_options(options, project);
  const auto& images = until_the_end(image_status(project, run, *progress));
  if (const int status = interrupted_status()) return status;
  if (options.json) {
    Json list = Json::array();
    for (const ImageStatus& image : images) list.push_back(to_json(image));
    print(list);
  } else {
    std::size_t width = 0;
    for (const ImageStatus& image : images) width = std::max(width, image.name.size());
    const bool color = use_color(options);
    for (const ImageStatus& image : images) {
      if (options.quiet && image.standing == Standing::UpToDate) continue;
      print(status_line(image, width, color));
    }
  }
  const auto any = [&](auto&& holds) { return std::any_of(images.begin(), images.end(), holds); };
  const bool unknown =
      any([](const ImageStatus& image) { return image.standing == Standing::Unknown; });
  const bool stale =
      any([](const ImageStatus& image) { return image.standing != Standing::UpToDate; });
  return unknown || (options.exit_code && stale) ? kSomethingFailed : 0;
}

Json entry_json(const Entry& entry) {
  const bool file = entry.type == EntryType::File;
  return {{"path", entry.path},
          {"type", word(entry.type)},
          {"mode", fmt::format("{:04o}", entry.mode)},
          {"size", entry.size},
          {"digest", file ? Json("sha256:" + hex(entry.content)) : Json(nullptr)},
          {"target", entry.type == EntryType::Symlink ? Json(entry.target) : Json(nullptr)}};
}

std::string entry_line(const Entry& entry) {
  std::string line = fmt::format(
      "{:<7} {:04o} {:>10} {} {}", word(entry.type), entry.mode, entry.size,
      entry.type == EntryType::File ? hex(entry.content).substr(0, 12) : std::string(12, '-'),
      without_controls(entry.path));
  if (entry.type == EntryType::Symlink) line += " -> " + without_controls(entry.target);
  return line + "\n";
}

int context(const Options& options) {
  const Project project = load_project(options);
  const ImageConfig& image = find_image(project, options.image);
  Observer observer(project);
  const NextContext next =
      next_context(project, observer, image, wished_engine(project, options.run.engine));
  const ContextFiles& files = *next.observation.files;
  for (const std::string& warning : files.request.rules.warnings()) {
    fmt::print(stderr, "imagewright: warning: {}\n", without_controls(warning));
  }
  if (options.verbose > 0 && image.narrow && next.reach.text.empty()) {
    fmt::print(stderr, "imagewright: the whole context counts: {}\n",
               without_controls(next.reach.why_whole));
  }
  if (options.json) {
    Json list = Json::array();
    for (const Entry& entry : files.entries()) list.push_back(entry_json(entry));
    print(list);
  } else {
    for (const Entry& entry : files.entries()) print(entry_line(entry));
  }
  return 0;
}

int config(const Options& options) {
  const Project project = load_project(options);
  const Json builder = config_json(project.config, project.base);
  if (options.json) {
    print(Json{{"config", project.config_path.string()},
               {"state_directory", project.state_directory.lexically_normal().string()},
               {"builder", builder}});
    return 0;
  }
  print(config_yaml(builder));
  return 0;
}

int log(const Options& options) {
  const Project project = load_project(options);
  const ImageConfig& image = find_image(project, options.image);
  Store store = read_store(project);
  const auto last = store.last_build(image.name);
  if (!last) {
    fmt::print(stderr, "imagewright: no build of {} is known in {}\n", image.name,
               state_place(project));
    return kSomethingFailed;
  }
  std::ifstream file(last->log, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  if (options.json) {
    print(Json{{"name", image.name},
               {"result", word(last->result)},
               {"started", time_text(last->started_ms)},
               {"seconds", static_cast<double>(last->duration_ms) / 1000},
               {"engine", last->engine},
               {"exit_status", last->exit_status},
               {"reasons", last->reasons},
               {"message", text_or_null(last->message)},
               {"image_id", text_or_null(last->image_id)},
               {"log", text_or_null(last->log)},
               {"text", file ? Json(text) : Json(nullptr)}});
    return 0;
  }
  if (!file) {
    fmt::print(stderr, "imagewright: the log of the last build of {} is gone ({})\n", image.name,
               last->log);
    return kSomethingFailed;
  }
  print(text);
  return 0;
}

}  // namespace

int run_command_line(const Options& options) {
  switch (options.command) {
    case CommandName::Build:
      return build(options);
    case CommandName::Watch:
      return watch(options);
    case CommandName::Status:
      return status(options);
    case CommandName::Why:
      return show_why(options, *make_reader_progress(options));
    case CommandName::History:
      return show_history(options);
    case CommandName::Prune:
      return show_prune(options, *make_reader_progress(options));
    case CommandName::Graph:
      return show_graph(options);
    case CommandName::Context:
      return context(options);
    case CommandName::Config:
      return config(options);
    case CommandName::Log:
      return log(options);
    case CommandName::Import:
      return show_import(options);
    case CommandName::Serve:
      return run_server(options);
    case CommandName::Jobs:
      return show_jobs(options);
    case CommandName::Worker:
      return run_worker(options);
    case CommandName::Workers:
      return show_workers(options);
    case CommandName::Cancel:
      return cancel_job(options);
    case CommandName::Retry:
      return retry_job(options);
    case CommandName::Trigger:
      return trigger_server(options);
    case CommandName::Token:
      return manage_tokens(options);
  }
  return 0;
}

}  // namespace imagewright
