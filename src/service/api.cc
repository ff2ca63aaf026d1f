#include "service/api.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>

#include "core/digest.h"
#include "core/lower_case.h"
#include "core/webhook.h"
#include "io/error.h"
#include "io/wall_clock.h"
#include "run/json.h"
#include "run/observe.h"
#include "service/http_reply.h"
#include "service/job_json.h"
#include "service/pages.h"
#include "service/times.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kSmallBody = std::size_t{64} << 10;
constexpr std::size_t kLargestHook = std::size_t{1} << 20;
constexpr std::size_t kLargestCall = std::size_t{1} << 20;
constexpr std::size_t kMostLogPart = std::size_t{1} << 20;
constexpr std::size_t kLogOnPage = std::size_t{128} << 10;
constexpr int kMostJobs = 1'000;
constexpr milliseconds kWaitForLook{30'000};
constexpr int kMostLooks = 3;
constexpr char kCookie[] = "imagewright_token";

HttpReply json_reply(const Json& json, int status = 200) {
  HttpReply reply;
  reply.status = status;
  reply.body = dump(json, false) + "\n";
  return reply;
}

// Throws Error(Usage).
Json object_in(const std::string& body) {
  Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) throw Error(Error::Kind::Usage, "the body is no JSON object");
  return json;
}

// Among servers that share a store.
HttpReply does_not_count_reply() {
  return error_reply(503, "another server's settings count; ask that one");
}

HttpReply html_reply(const std::string& html, int status = 200) {
  HttpReply reply;
  reply.status = status;
  reply.type = "text/html; charset=utf-8";
  reply.body = html;
  return reply;
}

// The form for a token has to be sent somewhere.
HttpReply login_reply(const std::string& message) {
  HttpReply reply = html_reply(login_page_html(message), 401);
  reply.headers.emplace_back("Content-Security-Policy",
                             "default-src 'none'; style-src 'self'; base-uri 'none'; "
                             "frame-ancestors 'none'; form-action 'self'");
  return reply;
}

HttpReply redirect(const std::string& to) {
  HttpReply reply;
  reply.status = 303;
  reply.type = "text/plain";
  reply.headers.emplace_back("Location", to);
  return reply;
}

// nullopt: it is no number from 0 on.
std::optional<std::int64_t> number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::string cookie_of(const HttpHead& head) {
  const std::string cookies = head.header("cookie");
  const std::string wanted = std::string(kCookie) + "=";
  for (std::size_t at = 0; at < cookies.size();) {
    const std::size_t end = std::min(cookies.find(';', at), cookies.size());
    std::string_view one(cookies.data() + at, end - at);
    while (one.starts_with(' ')) one.remove_prefix(1);
    if (one.starts_with(wanted)) return std::string(one.substr(wanted.size()));
    at = end + 1;
  }
  return "";
}

// "": there is none.
std::string token_of(const HttpHead& head) {
  const std::string authorization = head.header("authorization");
  if (lower_case(authorization.substr(0, 7)) == "bearer ") return authorization.substr(7);
  return authorization.empty() ? cookie_of(head) : "";
}

bool accepts(const HttpHead& head, const std::string& type) {
  return head.header("accept").find(type) != std::string::npos;
}

bool may(Role has, Role wanted) {
  if (wanted == Role::None) return true;
  if (wanted == Role::Worker) return has == Role::Worker;
  return has != Role::Worker && has >= wanted;
}

// Of a form's body.
std::string form_value(const std::string& body, const std::string& name) {
  const std::string wanted = name + "=";
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = std::min(body.find('&', at), body.size());
    const std::string_view one(body.data() + at, end - at);
    if (one.starts_with(wanted)) return std::string(one.substr(wanted.size()));
    at = end + 1;
  }
  return "";
}

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t all = 0;
  std::int64_t resident = 0;
  file >> all >> resident;
  return resident * 4096;
}

}  // namespace

const char* word(Role role) {
  switch (role) {
    case Role::None:
      return "none";
    case Role::Read:
      return "read";
    case Role::Build:
      return "build";
    case Role::Admin:
      return "admin";
    case Role::Worker:
      return "worker";
  }
  return "none";
}

std::optional<Role> parse_role(std::string_view text) {
  for (const Role role : {Role::Read, Role::Build, Role::Admin, Role::Worker}) {
    if (text == word(role)) return role;
  }
  return std::nullopt;
}

std::string digest_of_token(const std::string& token) {
  return "sha256:" + hex(sha256(token));
}

std::string new_token() {
  std::array<unsigned char, 32> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw Error(Error::Kind::Missing, "there are no random bytes for a token");
  std::string text = "iwt_";
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

const std::vector<Api::Route>& Api::all_routes() {
  using Words = std::vector<std::string>;
  const auto route = [](const char* method, Words path, Role role, auto handler,
                        std::size_t largest_body = 0) {
    return Route{method, std::move(path), role, largest_body, handler};
  };
  static const std::vector<Route> all = {
      route("GET", {}, Role::Read, &Api::status_page),
      route("GET", {"jobs", "{id}"}, Role::Read, &Api::job_page),
      route("GET", {"style.css"}, Role::None, &Api::style),
      route("POST", {"login"}, Role::None, &Api::login, 4096),
      route("GET", {"healthz"}, Role::None, &Api::health),
      route("GET", {"readyz"}, Role::None, &Api::readiness),
      route("GET", {"metrics"}, Role::Read, &Api::metrics),
      route("GET", {"api", "v1", "images"}, Role::Read, &Api::images),
      route("GET", {"api", "v1", "jobs"}, Role::Read, &Api::jobs),
      route("GET", {"api", "v1", "jobs", "{id}"}, Role::Read, &Api::job),
      route("GET", {"api", "v1", "jobs", "{id}", "log"}, Role::Read, &Api::job_log),
      route("POST", {"api", "v1", "jobs", "{id}", "cancel"}, Role::Build, &Api::cancel, kSmallBody),
      route("POST", {"api", "v1", "jobs", "{id}", "retry"}, Role::Build, &Api::retry, kSmallBody),
      route("POST", {"api", "v1", "trigger"}, Role::Build, &Api::trigger, kSmallBody),
      route("GET", {"api", "v1", "workers"}, Role::Read, &Api::workers),
      route("POST", {"api", "v1", "reload"}, Role::Admin, &Api::reload, kSmallBody),
      route("POST", {"api", "v1", "work"}, Role::Worker, &Api::work, kLargestCall),
      route("POST", {"api", "v1", "work", "{job}", "{fence}", "orders", "{name}", "log"},
            Role::Worker, &Api::order_log, kLargestCall),
      route("POST", {"api", "v1", "work", "{job}", "{fence}", "orders", "{name}", "outcome"},
            Role::Worker, &Api::order_outcome, kLargestCall),
      route("POST", {"api", "v1", "work", "{job}", "{fence}", "hand-back"}, Role::Worker,
            &Api::hand_back, kSmallBody),
      route("GET", {"api", "v1", "packs", "{digest}"}, Role::Worker, &Api::pack),
      // (Who sends it shows that by a signature.)
      route("POST", {"hooks"}, Role::None, &Api::hook, kLargestHook),
  };
  return all;
}

Api::Api(ApiParts parts) : parts_(std::move(parts)) {}

std::vector<std::string> Api::routes() {
  std::vector<std::string> all;
  for (const Route& route : all_routes()) {
    std::string path;
    for (const std::string& segment : route.path) path += "/" + segment;
    all.push_back(
        fmt::format("{} {} {}", route.method, path.empty() ? "/" : path, word(route.role)));
  }
  return all;
}

const Api::Route* Api::find(const HttpHead& head, Parameters* parameters, bool* any_method) const {
  const std::string method = head.method == "HEAD" ? "GET" : head.method;
  for (const Route& route : all_routes()) {
    if (route.path.size() != head.path.size()) continue;
    Parameters found;
    bool fits = true;
    for (std::size_t i = 0; fits && i < route.path.size(); ++i) {
      const std::string& segment = route.path[i];
      if (segment.starts_with('{')) {
        found[segment.substr(1, segment.size() - 2)] = head.path[i];
      } else {
        fits = segment == head.path[i];
      }
    }
    if (!fits) continue;
    if (any_method != nullptr) *any_method = true;
    if (route.method != method) continue;
    if (parameters != nullptr) *parameters = std::move(found);
    return &route;
  }
  return nullptr;
}

HttpHandler::Admission Api::admit(const HttpHead& head) {
  bool any_method = false;
  const Route* route = find(head, nullptr, &any_method);
  if (route == nullptr) {
    return {any_method ? error_reply(405, "that cannot be done here")
                       : error_reply(404, "there is nothing here"),
            0};
  }
  // (Whether a token is known is asked later, by who may wait for the store.)
  const bool has_none = !head.is_local_user && token_of(head).empty();
  if (has_none && route->largest_body > 0 && route->role != Role::None)
    return {error_reply(401, "this takes a token"), 0};
  return {std::nullopt, route->largest_body};
}

Role Api::role_of(const HttpHead& head) {
  if (head.is_local_user) return Role::Admin;
  const std::string token = token_of(head);
  if (token.empty()) return Role::None;
  const auto known = parts_.queues.lend()->find_token(digest_of_token(token));
  return known ? parse_role(known->role).value_or(Role::None) : Role::None;
}

std::optional<HttpReply> Api::refuse(const Route& route, const HttpHead& head) {
  if (route.role == Role::None) return std::nullopt;
  if (head.is_loopback && route.handler == &Api::metrics) return std::nullopt;
  const Role role = role_of(head);
  if (may(role, route.role)) return std::nullopt;
  if (role != Role::None)
    return error_reply(403, fmt::format("this takes a token for '{}'", word(route.role)));
  const bool is_page = head.path.empty() || head.path.front() == "jobs";
  if (is_page && accepts(head, "text/html")) return login_reply("");
  HttpReply reply =
      error_reply(401, token_of(head).empty() ? "this takes a token" : "this token is not known");
  reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

HttpReply Api::answer(const HttpHead& head, const std::string& body) {
  Parameters parameters;
  const Route* route = find(head, &parameters, nullptr);
  if (route == nullptr) return error_reply(404, "there is nothing here");
  try {
    if (auto refusal = refuse(*route, head)) return *std::move(refusal);
    return (this->*route->handler)({head, body, std::move(parameters)});
  } catch (const Error& error) {
    switch (error.kind()) {
      case Error::Kind::Usage:
        return error_reply(400, error.what());
      case Error::Kind::Source:
        return error_reply(409, error.what());
      case Error::Kind::Missing:
        parts_.log.error(error.what());
        return error_reply(503, "the store cannot be used at the moment");
    }
    throw;
  }
}

// --- Pages

HttpReply Api::status_page(const Call& /*call*/) {
  const auto queue = parts_.queues.lend();
  JobFilter active;
  active.active = true;
  active.most = 200;
  std::vector<Job> ended;
  for (const Job& job : queue->jobs({})) {
    if (is_final(job.state) && ended.size() < 30) ended.push_back(job);
  }
  return html_reply(status_page_html(parts_.current.get()->project.config_path.string(),
                                     *parts_.checker.looked(), queue->jobs(active), ended,
                                     queue->workers()));
}

HttpReply Api::job_page(const Call& call) {
  const auto id = number(call.parameters.at("id"));
  const auto queue = parts_.queues.lend();
  const auto job = id ? queue->find(*id) : std::nullopt;
  if (!job)
    return html_reply("<!doctype html><title>imagewright</title><p>There is no such job.\n", 404);
  const std::int64_t left_out =
      std::max<std::int64_t>(0, job->log_bytes - static_cast<std::int64_t>(kLogOnPage));
  return html_reply(job_page_html(*job, queue->read_log(job->id, left_out, kLogOnPage), left_out));
}

HttpReply Api::style(const Call& /*call*/) {
  HttpReply reply;
  reply.type = "text/css";
  reply.body = style_sheet();
  reply.headers.emplace_back("Cache-Control", "max-age=3600");
  return reply;
}

HttpReply Api::login(const Call& call) {
  const std::string token = form_value(call.body, "token");
  if (!parts_.queues.lend()->find_token(digest_of_token(token)))
    return login_reply("This token is not known.");
  HttpReply reply = redirect("/");
  reply.headers.emplace_back(
      "Set-Cookie", fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict{}", kCookie, token,
                                call.head.is_encrypted ? "; Secure" : ""));
  return reply;
}

// --- How it is

HttpReply Api::health(const Call& /*call*/) {
  return json_reply({{"status", "alive"}, {"version", parts_.version}});
}

HttpReply Api::readiness(const Call& /*call*/) {
  if (is_draining_) return error_reply(503, "it takes on no more");
  (void)parts_.queues.lend()->counts();
  const auto looked = parts_.checker.looked();
  if (looked->at_ms == 0) return error_reply(503, "the first look has not ended yet");
  if (!looked->problem.empty()) return error_reply(503, "the last look failed");
  if (!parts_.current.counts()) return does_not_count_reply();
  return json_reply({{"status", "ready"}});
}

HttpReply Api::metrics(const Call& /*call*/) {
  std::string text;
  const auto head = [&](const char* name, const char* help) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} gauge\n", name, help);
  };
  const auto gauge = [&](const char* name, const char* help, auto value) {
    head(name, help);
    text += fmt::format("{} {}\n", name, value);
  };
  const auto looked = parts_.checker.looked();
  std::map<std::string, int> images;
  for (const Standing standing : {Standing::UpToDate, Standing::Stale, Standing::Failed,
                                  Standing::Unpublished, Standing::Unknown})
    images[word(standing)] = 0;
  for (const ImageStatus& image : looked->images) ++images[word(image.standing)];
  head("imagewright_images", "Images by state, as last looked at.");
  for (const auto& [state, count] : images)
    text += fmt::format("imagewright_images{{state=\"{}\"}} {}\n", state, count);
  head("imagewright_jobs", "Jobs in the store by state.");
  const auto counts = parts_.queues.lend()->counts();
  for (const JobState state :
       {JobState::Blocked, JobState::Queued, JobState::Running, JobState::Succeeded,
        JobState::UpToDate, JobState::Failed, JobState::Skipped, JobState::Cancelled,
        JobState::Superseded, JobState::Quarantined}) {
    const auto found = counts.find(state);
    text += fmt::format("imagewright_jobs{{state=\"{}\"}} {}\n", word(state),
                        found == counts.end() ? 0 : found->second);
  }
  gauge("imagewright_builds_running", "Jobs that this server carries out itself.",
        parts_.builder.running());
  gauge("imagewright_log_listeners", "Clients that follow a job's log.", parts_.logs.listeners());
  gauge("imagewright_last_look_timestamp_seconds", "When all images were last looked at.",
        static_cast<double>(looked->at_ms) / 1000);
  gauge("imagewright_config_is_current",
        "0: the configuration cannot be read, and an older one counts.",
        looked->config_problem.empty() ? 1 : 0);
  gauge("process_resident_memory_bytes", "Resident memory.", resident_bytes());
  HttpReply reply;
  reply.type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = std::move(text);
  return reply;
}

// --- The API

HttpReply Api::images(const Call& /*call*/) {
  const auto served = parts_.current.get();
  const auto looked = parts_.checker.looked();
  JobFilter filter;
  filter.active = true;
  filter.most = kMostJobs;
  std::map<std::string, Json> active;
  for (const Job& job : parts_.queues.lend()->jobs(filter))
    active[job.image].push_back({{"id", job.id}, {"state", word(job.state)}});
  Json list = Json::array();
  for (const ImageStatus& image : looked->images) {
    Json json = to_json(image);
    const Unit* unit = served->units.find_image(image.name);
    const auto jobs = unit != nullptr ? active.find(unit->name) : active.end();
    json["jobs"] = jobs != active.end() ? jobs->second : Json::array();
    list.push_back(std::move(json));
  }
  return json_reply({{"config", served->project.config_path.string()},
                     {"looked", looked->at_ms == 0 ? Json(nullptr) : Json(utc_time(looked->at_ms))},
                     {"problem", text_or_null(looked->problem)},
                     {"config_problem", text_or_null(looked->config_problem)},
                     {"images", std::move(list)}});
}

HttpReply Api::jobs(const Call& call) {
  JobFilter filter;
  for (const auto& [name, value] : call.head.query) {
    if (name == "image") {
      filter.image = value;
    } else if (name == "state" && value == "active") {
      filter.active = true;
    } else if (name == "state") {
      filter.state = parse_job_state(value);
      if (!filter.state) return error_reply(400, "there is no state '" + value + "'");
    } else if (name == "limit" || name == "before") {
      const auto given = number(value);
      if (!given || *given < 1) return error_reply(400, name + " is no number from 1 on");
      if (name == "before") {
        filter.before = *given;
      } else {
        filter.most = static_cast<int>(std::min<std::int64_t>(*given, kMostJobs));
      }
    } else {
      return error_reply(400, "there is no parameter '" + name + "'");
    }
  }
  Json list = Json::array();
  for (const Job& job : parts_.queues.lend()->jobs(filter)) list.push_back(to_json(job));
  return json_reply({{"jobs", std::move(list)}});
}

HttpReply Api::job(const Call& call) {
  const auto id = number(call.parameters.at("id"));
  const auto job = id ? parts_.queues.lend()->find(*id) : std::nullopt;
  return job ? json_reply(to_json(*job)) : error_reply(404, "there is no such job");
}

HttpReply Api::job_log(const Call& call) {
  const auto id = number(call.parameters.at("id"));
  const auto queue = parts_.queues.lend();
  const auto job = id ? queue->find(*id) : std::nullopt;
  if (!job) return error_reply(404, "there is no such job");
  // (An event's id: of which claim's log, and the offset in that.)
  std::string from = call.head.header("last-event-id");
  std::int64_t claim = 0;
  if (const std::size_t colon = from.find(':'); colon != std::string::npos) {
    claim = number(from.substr(0, colon)).value_or(0);
    from.erase(0, colon + 1);
  }
  if (const auto given = call.head.query.find("offset"); given != call.head.query.end())
    from = given->second;
  const auto offset = number(from.empty() ? "0" : from);
  if (!offset) return error_reply(400, "the offset is no number from 0 on");
  HttpReply reply;
  if (accepts(call.head, "text/event-stream")) {
    reply.type = "text/event-stream";
    reply.stream = [&logs = parts_.logs, job = job->id, claim, offset = *offset](auto stream) {
      logs.follow(job, claim, offset, std::move(stream));
    };
    return reply;
  }
  reply.type = "text/plain; charset=utf-8";
  reply.body = queue->read_log(job->id, *offset, kMostLogPart, job->fence);
  const std::int64_t end = *offset + static_cast<std::int64_t>(reply.body.size());
  // With these, whoever reads on knows where, and whether there may be more.
  reply.headers.emplace_back("Imagewright-Log-Next", std::to_string(end));
  reply.headers.emplace_back("Imagewright-Log-Claim", std::to_string(job->fence));
  const bool is_complete = is_final(job->state) && end >= job->log_bytes;
  reply.headers.emplace_back("Imagewright-Log-Complete", is_complete ? "true" : "false");
  return reply;
}

HttpReply Api::cancel(const Call& call) {
  const auto id = number(call.parameters.at("id"));
  const auto queue = parts_.queues.lend();
  if (!id || !queue->find(*id)) return error_reply(404, "there is no such job");
  if (!queue->cancel(*id)) return error_reply(409, "it has ended already");
  parts_.builder.look_at_cancellations();
  parts_.log.info("is to be cancelled", {*id, 0, ""});
  return json_reply(to_json(queue->find(*id).value()), 202);
}

HttpReply Api::retry(const Call& call) {
  const auto id = number(call.parameters.at("id"));
  const auto queue = parts_.queues.lend();
  if (!id || !queue->find(*id)) return error_reply(404, "there is no such job");
  // (As of trigger.)
  parts_.remembered.forget_all();
  const std::int64_t now = queue->retry(*id);
  if (now == 0) return error_reply(409, "it runs already");
  parts_.log.info("is to be tried again", {now, 0, ""});
  return json_reply(to_json(queue->find(now).value()), 202);
}

namespace {

// Units and what they stand on, parents first.
std::vector<std::string> with_parents(const std::set<std::string>& units, const Looked& looked) {
  std::vector<std::string> ordered;
  std::set<std::string> seen;
  const std::function<void(const std::string&)> add = [&](const std::string& unit) {
    if (!seen.insert(unit).second) return;
    if (const auto parents = looked.parents.find(unit); parents != looked.parents.end()) {
      for (const std::string& parent : parents->second) add(parent);
    }
    ordered.push_back(unit);
  };
  for (const std::string& unit : units) add(unit);
  return ordered;
}

std::vector<Job> jobs_of(Queue& queue, const std::string& unit, bool active) {
  JobFilter filter;
  filter.image = unit;
  filter.active = active;
  filter.most = active ? 2 : 1;
  return queue.jobs(filter);
}

NewJob forced_job(const std::string& unit, const Looked& looked) {
  NewJob job;
  job.image = unit;
  job.inputs = fmt::format("forced at {}", now_ms());
  job.reasons = "somebody asked for it";
  job.details = "[]";
  job.trigger = "force";
  if (const auto parents = looked.parents.find(unit); parents != looked.parents.end())
    job.waits_for = parents->second;
  return job;
}

// Somebody wants a unit that waits for another day, or was given up. True: it is queued anew.
bool is_wanted_after_all(Queue& queue, const std::string& unit, bool is_to_be_built) {
  const std::vector<Job> active = jobs_of(queue, unit, true);
  for (const Job& job : active) {
    if (job.state != JobState::Running && job.not_before_ms > queue.now_ms()) queue.retry(job.id);
  }
  if (!active.empty() || !is_to_be_built) return false;
  for (const Job& job : jobs_of(queue, unit, false)) {
    if (job.state == JobState::Cancelled || job.state == JobState::Quarantined ||
        job.state == JobState::UpToDate)
      return queue.retry(job.id) != 0;
  }
  return false;
}

}  // namespace

bool Api::is_to_be_built(const Looked& looked, const Served& served, const std::string& unit) {
  return std::any_of(looked.images.begin(), looked.images.end(), [&](const ImageStatus& image) {
    const Unit* its = served.units.find_image(image.name);
    return its != nullptr && its->name == unit && image.standing != Standing::UpToDate &&
           image.standing != Standing::Unknown;
  });
}

// {"images": [globs], "force": false}. Looks at everything first, so that the answer has the jobs
// of whatever has changed until now, and of what that stands on.
HttpReply Api::trigger(const Call& call) {
  if (!parts_.current.counts()) return does_not_count_reply();
  const Json request = call.body.empty() ? Json::object() : object_in(call.body);
  std::vector<std::string> globs;
  bool is_forced = false;
  for (const auto& [name, value] : request.items()) {
    if (name == "force" && value.is_boolean()) {
      is_forced = value;
    } else if (name == "images" && value.is_array() &&
               std::all_of(value.begin(), value.end(),
                           [](const Json& one) { return one.is_string(); })) {
      globs = value.get<std::vector<std::string>>();
    } else {
      return error_reply(400, "'" + name + "' is not known, or of another type");
    }
  }
  if (is_draining_) return error_reply(503, "it takes on no more");
  // Whoever asks knows more than what was said lately.
  parts_.remembered.forget_all();
  const auto queue = parts_.queues.lend();
  std::vector<std::string> units;
  std::shared_ptr<const Looked> looked;
  std::shared_ptr<const Served> served;
  // What is queued anew lets others be queued; what ended during a look was not seen by it.
  for (int look = 0; look < kMostLooks; ++look) {
    if (!parts_.checker.wait_for_look(kWaitForLook))
      return error_reply(503, "the images are still being looked at");
    served = parts_.current.get();
    looked = parts_.checker.looked();
    if (!looked->problem.empty()) return error_reply(503, looked->problem);
    std::set<std::string> meant;
    for (const std::size_t i : select_images(served->project.config.images, globs))
      meant.insert(served->units.of_image(served->project.config.images[i].name).name);
    units = with_parents(meant, *looked);
    bool is_complete = true;
    for (const std::string& unit : units) {
      const bool to_be_built = is_to_be_built(*looked, *served, unit);
      if (is_wanted_after_all(*queue, unit, to_be_built) ||
          (to_be_built && jobs_of(*queue, unit, true).empty()))
        is_complete = false;
    }
    if (is_complete) break;
  }
  for (const std::string& unit : units) {
    if (!is_forced) break;
    NewJob job = forced_job(unit, *looked);
    if (parts_.workers != nullptr) job.needs = served->units.find(unit)->needs;
    const auto result = queue->enqueue(job);
    parts_.log.info("to be built: " + job.reasons, {result.job, 0, unit});
  }
  Json jobs = Json::array();
  Json images = Json::array();
  for (const std::string& unit : units) {
    Json its = Json::array();
    for (const Job& job : jobs_of(*queue, unit, true)) {
      jobs.push_back(to_json(job));
      its.push_back({{"id", job.id}, {"state", word(job.state)}});
    }
    for (const ImageStatus& image : looked->images) {
      const Unit* owner = served->units.find_image(image.name);
      if (owner == nullptr || owner->name != unit) continue;
      Json json = to_json(image);
      json["jobs"] = its;
      images.push_back(std::move(json));
    }
  }
  return json_reply({{"jobs", std::move(jobs)}, {"images", std::move(images)}}, 202);
}

HttpReply Api::workers(const Call& /*call*/) {
  Json list = Json::array();
  for (const WorkerRow& worker : parts_.queues.lend()->workers()) list.push_back(to_json(worker));
  return json_reply({{"workers", std::move(list)}});
}

// Never believed: what it names is only asked soon.
HttpReply Api::hook(const Call& call) {
  const HookHeaders& headers = call.head.headers;
  const auto kind = kind_of(headers);
  if (!kind) return error_reply(400, "this is no webhook of GitHub, Gitea, Forgejo or GitLab");
  if (!is_authentic(*kind, headers, call.body, parts_.webhook_secret))
    return error_reply(401, "the signature is missing or wrong");
  const auto push = parse_push(*kind, headers, call.body);
  if (!push) return error_reply(400, push.error());
  if (push->event == HookEvent::Ping) return json_reply({{"status", "heard"}, {"sources", 0}});
  if (push->event == HookEvent::Other)
    return json_reply({{"status", "nothing of interest"}, {"sources", 0}});
  if (!push->delivery.empty() && !parts_.queues.lend()->is_new_delivery(push->delivery))
    return json_reply({{"status", "heard before"}, {"sources", 0}});
  std::vector<GitSource> sources;
  const auto served = parts_.current.get();
  for (const ImageConfig& image : served->project.config.images) {
    const auto* source = std::get_if<GitSource>(&image.source);
    if (source != nullptr && means(*push, *source)) sources.push_back(*source);
  }
  if (sources.empty()) return json_reply({{"status", "no image is from there"}, {"sources", 0}});
  parts_.remembered.forget(sources);
  parts_.log.info(
      fmt::format("{} told of a push to {}", word(*kind), redacted(push->repositories.front())));
  parts_.checker.look();
  return json_reply({{"status", "is looked at"}, {"sources", sources.size()}}, 202);
}

HttpReply Api::reload(const Call& /*call*/) {
  parts_.reload();
  return json_reply({{"status", "the configuration is being read"}}, 202);
}

// --- Workers

namespace {

// nullopt: it is none of the two numbers.
std::optional<std::pair<std::int64_t, std::int64_t>> held_of(
    const std::map<std::string, std::string>& parameters) {
  const auto job = number(parameters.at("job"));
  const auto fence = number(parameters.at("fence"));
  if (!job || !fence) return std::nullopt;
  return std::pair(*job, *fence);
}

HttpReply log_end_reply(const LogEnd& end) {
  return json_reply({{"log_bytes", end ? Json(*end) : Json(nullptr)}});
}

HttpReply no_workers_reply() {
  return error_reply(409, "this server builds by itself (serve --fleet is for workers)");
}

}  // namespace

HttpReply Api::work(const Call& call) {
  if (parts_.workers == nullptr) return no_workers_reply();
  if (!parts_.current.counts()) return does_not_count_reply();
  WorkerCall said = worker_call_of(object_in(call.body));
  const auto news = parts_.workers->answer(*parts_.queues.lend(), said);
  if (news || said.wait.count() <= 0) return json_reply(news.value_or(Json::object()));
  HttpReply reply;
  reply.stream = [this, said = std::move(said)](std::shared_ptr<HttpStream> stream) {
    parts_.workers->wait(said, std::move(stream));
  };
  return reply;
}

std::shared_ptr<RemoteJob> Api::held_job(const Call& call) const {
  const auto held = held_of(call.parameters);
  return held && parts_.workers != nullptr ? parts_.workers->find(held->first, held->second)
                                           : nullptr;
}

HttpReply Api::order_log(const Call& call) {
  const auto given = call.head.query.find("offset");
  const auto offset = number(given == call.head.query.end() ? "" : given->second);
  if (!offset) return error_reply(400, "the offset is no number from 0 on");
  const auto job = held_job(call);
  if (!job) return log_end_reply(std::nullopt);
  return log_end_reply(
      job->take_log(call.parameters.at("name"), static_cast<std::uint64_t>(*offset), call.body));
}

HttpReply Api::order_outcome(const Call& call) {
  const auto [outcome, log_bytes] = told_outcome_of(object_in(call.body));
  const auto job = held_job(call);
  if (!job) return log_end_reply(std::nullopt);
  return log_end_reply(job->take_outcome(call.parameters.at("name"), outcome, log_bytes));
}

HttpReply Api::hand_back(const Call& call) {
  const auto held = held_of(call.parameters);
  if (parts_.workers == nullptr) return no_workers_reply();
  if (!held) return error_reply(404, "there is no such job");
  return json_reply(
      {{"held", parts_.workers->hand_back(*parts_.queues.lend(), held->first, held->second)}});
}

HttpReply Api::pack(const Call& call) {
  const auto given = call.head.query.find("offset");
  const auto offset = number(given == call.head.query.end() ? "0" : given->second);
  if (!offset) return error_reply(400, "the offset is no number from 0 on");
  auto pack = parts_.packs == nullptr ? nullptr : parts_.packs->find(call.parameters.at("digest"));
  if (!pack) return error_reply(404, "there is no such pack");
  HttpReply reply;
  reply.type = "application/octet-stream";
  reply.stream = [this, pack = std::move(pack), offset = static_cast<std::uint64_t>(*offset)](
                     std::shared_ptr<HttpStream> stream) {
    parts_.packs->send(pack, offset, std::move(stream));
  };
  return reply;
}

}  // namespace imagewright
