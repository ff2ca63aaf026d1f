#include "cli/service_commands.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/exit_status.h"
#include "cli/project.h"
#include "io/environment.h"
#include "io/error.h"
#include "io/file_read.h"
#include "run/json.h"
#include "service/api.h"
#include "service/queue.h"
#include "service/times.h"

namespace imagewright {

namespace {

void print(const Json& json) {
  fmt::print("{}\n", dump(json, true));
}

// "-": there is none.
std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_string()) return "-";
  return without_controls(found->get<std::string>());
}

// Columns as wide as what is in them; the last one as it is.
void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += i + 1 < row.size() ? fmt::format("{:<{}}  ", row[i], widths[i]) : row[i];
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }
}

ServerAddress address_of(const Options& options) {
  ServerAddress address = options.server;
  if (!options.token_file.empty()) {
    address.token = read_file(options.token_file);
    address.token.erase(address.token.find_last_not_of(" \t\r\n") + 1);
  } else {
    address.token = variable("IMAGEWRIGHT_TOKEN");
  }
  return address;
}

ServerClient client_of(const Options& options) {
  const ServerAddress address = address_of(options);
  if (!address.url.empty()) return ServerClient(address);
  const Project project = locate_project(options);
  const auto own = ServerClient::find(project);
  if (!own) {
    throw Error(Error::Kind::Missing,
                fmt::format("no server runs over the state in {}; name one with --server URL, or "
                            "start one: imagewright serve",
                            project.state_directory.string()));
  }
  return ServerClient(*own);
}

std::string note_of(const Json& job) {
  std::string note = text_of(job, "message");
  if (note == "-") note = text_of(job, "why");
  const auto& waits_for = job.at("waits_for");
  if (text_of(job, "state") == "blocked" && !waits_for.empty()) {
    std::string all;
    for (const Json& image : waits_for)
      all += (all.empty() ? "" : ", ") + without_controls(image.get<std::string>());
    note += "; waits for " + all;
  }
  return note;
}

void print_jobs(const Json& jobs) {
  std::vector<std::vector<std::string>> rows = {{"JOB", "IMAGE", "STATE", "SINCE", "WHY"}};
  for (const Json& job : jobs) {
    const std::string since = !job.at("finished").is_null()  ? text_of(job, "finished")
                              : !job.at("started").is_null() ? text_of(job, "started")
                                                             : text_of(job, "queued");
    rows.push_back({std::to_string(job.at("id").get<std::int64_t>()), text_of(job, "image"),
                    text_of(job, "state"), since, note_of(job)});
  }
  print_table(rows);
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

// The jobs that are meant by a number or an image's name.
std::vector<std::int64_t> jobs_meant(ServerClient& client, const std::string& text, bool active) {
  if (is_number(text) && text.size() < 19) return {std::stoll(text)};
  const Json jobs = client.get("/api/v1/jobs?image=" + percent_encoded(text) +
                               (active ? "&state=active" : "&limit=1"));
  std::vector<std::int64_t> ids;
  for (const Json& job : jobs.at("jobs")) ids.push_back(job.at("id").get<std::int64_t>());
  if (!ids.empty()) return ids;
  throw Error(Error::Kind::Usage, fmt::format("the server has no {}job of an image '{}'",
                                              active ? "waiting or running " : "", text));
}

int change_jobs(const Options& options, const char* what, bool active) {
  ServerClient client = client_of(options);
  Json jobs = Json::array();
  for (const std::int64_t job : jobs_meant(client, options.image, active))
    jobs.push_back(client.post(fmt::format("/api/v1/jobs/{}/{}", job, what), Json::object()));
  if (options.json) {
    print(jobs);
  } else if (!options.quiet) {
    print_jobs(jobs);
  }
  return 0;
}

std::unique_ptr<Queue> queue_of(const Options& options) {
  const Project project = locate_project(options);
  return open_queue(project.state_directory, project.database);
}

}  // namespace

int run_server(const Options& options) {
  ServeOptions serving = options.serve;
  serving.run = options.run;
  serving.times = options.watch;
  serving.json_log = options.json;
  return serve([&] { return load_project(options); }, serving);
}

int run_worker(const Options& options) {
  WorkerOptions working = options.worker;
  ServerAddress address = address_of(options);
  for (const std::string& url : options.servers) {
    address.url = url;
    working.servers.push_back(address);
  }
  working.engine = options.run.engine;
  working.jobs = options.run.jobs;
  working.places = Places::find();
  working.json_log = options.json;
  return work(working);
}

int show_jobs(const Options& options) {
  ServerClient client = client_of(options);
  const Json answer = client.get(options.all ? "/api/v1/jobs" : "/api/v1/jobs?state=active");
  if (options.json) {
    print(answer.at("jobs"));
  } else if (!answer.at("jobs").empty()) {
    print_jobs(answer.at("jobs"));
  } else if (!options.quiet) {
    fmt::print("nothing is to be built\n");
  }
  return 0;
}

int show_workers(const Options& options) {
  const Json answer = client_of(options).get("/api/v1/workers");
  if (options.json) {
    print(answer.at("workers"));
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"WORKER", "SEEN", "STATE", "LABELS"}};
  for (const Json& worker : answer.at("workers")) {
    std::string labels;
    for (const Json& label : worker.at("labels"))
      labels += (labels.empty() ? "" : ", ") + without_controls(label.get<std::string>());
    rows.push_back({text_of(worker, "name"), text_of(worker, "seen"),
                    worker.at("draining").get<bool>() ? "draining" : "working", labels});
  }
  print_table(rows);
  return 0;
}

int cancel_job(const Options& options) {
  return change_jobs(options, "cancel", true);
}

int retry_job(const Options& options) {
  return change_jobs(options, "retry", false);
}

int trigger_server(const Options& options) {
  const Json answer = client_of(options).post(
      "/api/v1/trigger", {{"images", options.run.images}, {"force", options.run.force}});
  if (options.json) {
    print(answer);
  } else if (!answer.at("jobs").empty()) {
    print_jobs(answer.at("jobs"));
  } else if (!options.quiet) {
    fmt::print("nothing is to be built\n");
  }
  return 0;
}

int manage_tokens(const Options& options) {
  const TokenOptions& wish = options.token;
  const auto queue = queue_of(options);
  if (!wish.remove.empty()) {
    if (!queue->remove_token(wish.remove))
      throw Error(Error::Kind::Usage, "there is no token '" + wish.remove + "'");
    return 0;
  }
  if (!wish.name.empty()) {
    const auto all = queue->tokens();
    if (std::any_of(all.begin(), all.end(),
                    [&](const Queue::Token& token) { return token.name == wish.name; }))
      throw Error(
          Error::Kind::Usage,
          fmt::format("there is a token '{0}' already; --remove {0} removes it", wish.name));
    const std::string token = new_token();
    queue->add_token(digest_of_token(token), wish.role, wish.name);
    if (options.json) {
      print({{"name", wish.name}, {"role", wish.role}, {"token", token}});
    } else {
      fmt::print("{}\n", token);
    }
    return 0;
  }
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows = {{"NAME", "ROLE", "MADE"}};
  for (const Queue::Token& token : queue->tokens()) {
    list.push_back(
        {{"name", token.name}, {"role", token.role}, {"made", utc_time(token.created_ms)}});
    rows.push_back({without_controls(token.name), token.role, utc_time(token.created_ms)});
  }
  if (options.json) {
    print(list);
  } else if (!list.empty()) {
    print_table(rows);
  } else if (!options.quiet) {
    fmt::print("there is none; --name NAME makes one\n");
  }
  return 0;
}

}  // namespace imagewright
