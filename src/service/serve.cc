#include "service/serve.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <system_error>

#include "core/digest.h"
#include "core/fingerprint.h"
#include "io/error.h"
#include "io/file_read.h"
#include "io/host_name.h"
#include "io/host_platform.h"
#include "io/interrupt.h"
#include "io/store.h"
#include "run/config_text.h"
#include "service/api.h"
#include "service/checker.h"
#include "service/local_builder.h"
#include "service/log_streams.h"
#include "service/packs.h"
#include "service/queue.h"
#include "service/queue_pool.h"
#include "service/remote_builder.h"
#include "service/service_log.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr int kJobsKept = 100;  // of each image, with their logs
constexpr milliseconds kBetweenPrunes{60 * 60 * 1'000};
constexpr milliseconds kDrainRequests{2'000};
constexpr milliseconds kLook{200};
constexpr int kHandlerThreads = 16;  // some may wait for a look

// "": there is none.
std::string read_secret(const fs::path& file) {
  if (file.empty()) return "";
  std::string secret = read_file(file);
  secret.erase(secret.find_last_not_of(" \t\r\n") + 1);
  if (secret.empty())
    throw Error(Error::Kind::Usage, "the secret of webhooks in '" + file.string() + "' is empty");
  return secret;
}

// What a server before us was carrying out is lost: with the state's lock, we are the only one.
void take_over(Queue& queue, const ServiceLog& log) {
  tell(queue.reap(Leases::AreOver), "was being built when the server before ended; it waits again",
       log);
}

std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// Over all by which servers that share a store would undo what the others do.
std::string settings_of(const Project& project, const ServeOptions& options) {
  Sha256 hash;
  hash.update_field(dump(config_json(project.config, project.base), false));
  hash.update_field(project.config_path.string());
  hash.update_field(options.registry);
  hash.update_field(options.run.push ? "push" : "");
  hash.update_field(host_platform());
  hash.update_field(std::to_string(kFingerprintFormat));
  return hex(hash.finish());
}

StateLock lock_state(const Project& project) {
  int holder = 0;
  auto lock = StateLock::acquire(project.state_directory, [&](int process_id) {
    holder = process_id;
    return false;
  });
  if (lock) return *std::move(lock);
  throw Error(Error::Kind::Missing,
              fmt::format("another run or server{} has the state in {}",
                          holder > 0 ? fmt::format(" (process {})", holder) : "",
                          project.state_directory.string()));
}

// Until an end is asked for, and what it is about has ended.
void wait_for_end(Builder& builder, Checker& checker, Api& api, Queue& queue,
                  const ServiceLog& log) {
  auto pruned = std::chrono::steady_clock::now();
  bool is_ending = false;
  const auto running = [&] { return builder.ends_with_us() ? builder.running() : 0; };
  while (interrupted() == 0 && !(is_ending && running() == 0)) {
    std::array<pollfd, 2> descriptors = {pollfd{request_fd(), POLLIN, 0},
                                         pollfd{interrupt_fd(), POLLIN, 0}};
    const milliseconds most = is_ending ? kLook : milliseconds(10'000);
    poll(descriptors.data(), descriptors.size(), static_cast<int>(most.count()));
    clear_request_fd();
    if (take_reload_request()) checker.reload();
    if (end_asked() != 0 && !is_ending) {
      is_ending = true;
      api.drain();
      checker.stop();
      builder.stop_claiming();
      const std::size_t count = running();
      log.info(count == 0 ? "ending"
                          : fmt::format("ending when {} ended; a second signal ends {} now",
                                        count == 1 ? "a build has" : "builds have",
                                        count == 1 ? "it" : "them"));
    }
    if (std::chrono::steady_clock::now() - pruned > kBetweenPrunes) {
      pruned = std::chrono::steady_clock::now();
      try {
        queue.prune(kJobsKept);
      } catch (const Error& error) {
        log.error(error.what());
      }
    }
  }
}

}  // namespace

fs::path server_socket(const Project& project) {
  return project.places.sockets / (state_key(project) + ".sock");
}

int serve(const LoadProject& load, const ServeOptions& options) {
  if (options.fleet && options.run.registry_state)
    throw Error(
        Error::Kind::Usage,
        "with --fleet registries say where images are anyway: leave '--state registry' out");
  const ServiceLog log(stderr,
                       options.json_log ? ServiceLog::Style::Json : ServiceLog::Style::Text);
  Current current(load());
  const Project project = current.get()->project;
  // What would be missing for every build is better told now.
  const std::string engine =
      options.fleet
          ? "workers"
          : find_engine(wished_engine(project, options.run.engine), project.places.cache)->name();
  const std::string webhook_secret = read_secret(options.webhook_secret_file);
  const StateLock lock = lock_state(project);
  take_requests();
  fs::create_directories(project.places.cache);
  fs::create_directories(project.places.logs);
  (void)open_store(project);
  const OpenQueue open = [project] {
    return open_queue(project.state_directory, project.database);
  };
  QueuePool queues(open);
  const auto own = queues.lend();
  // (What workers build goes on, whichever server they find.)
  if (!options.fleet) take_over(*own, log);
  own->prune(kJobsKept);

  LogStreams logs(queues, log);
  Remembered remembered(options.times.interval);
  const std::string name = host_name() + ':' + project.state_directory.lexically_normal().string();
  const auto shared =
      project.database.empty() ? nullptr : share_answers(project.database, name, remembered);
  KnownManifests manifests(options.times.interval);
  const FleetPlaces places{options.registry.empty() ? "" : fleet_registry(options.registry),
                           options.run.push};
  RunOptions look = options.run;
  look.images.clear();
  look.remembered = &remembered;
  if (options.fleet) {
    look.make_engine = [&] {
      const auto served = current.get();
      Store store = read_store(served->project);
      return std::make_unique<FleetEngine>(served->project, manifests, store, places);
    };
  }
  Looking looking;
  Checker checker(load, look, options.times, open, current, looking, shared.get(), log);
  RunOptions build = options.run;
  build.remembered = &remembered;
  build.ask_anew = true;
  const auto look_again = [&] { checker.look(); };
  std::optional<Packs> packs;
  std::optional<RemoteBuilder> workers;
  std::optional<LocalBuilder> here;
  if (options.fleet) {
    packs.emplace(project.places.cache / "packs");
    RemoteBuilderOptions remote;
    remote.run = build;
    remote.places = places;
    remote.shared = shared.get();
    remote.server = name;
    remote.settings = [&](const Served& served) { return settings_of(served.project, options); };
    workers.emplace(std::move(remote), open, current, manifests, *packs, looking, log, look_again);
  } else {
    here.emplace(LocalBuilderOptions{host_name(), {"engine=" + engine}, build}, open, current,
                 looking, log, look_again);
  }
  Builder& builder = workers ? static_cast<Builder&>(*workers) : *here;
  Api api({checker, builder, queues, logs, remembered, current, log, [&] { checker.reload(); },
           webhook_secret, options.version, workers ? &*workers : nullptr,
           packs ? &*packs : nullptr});

  HttpServerOptions http;
  http.host = options.host;
  http.port = options.port;
  http.hosts = options.hosts;
  http.certificate = options.certificate;
  http.key = options.key;
  http.handler_threads = kHandlerThreads;
  http.log = [&](const std::string& line) { log.warning(line); };
  http.socket = server_socket(project);
  fs::create_directories(http.socket.parent_path());
  fs::permissions(http.socket.parent_path(), fs::perms::owner_all);
  HttpServer server(http, api);
  log.info(fmt::format("serving {} ({}) on {}://{}:{}, building with {}",
                       project.config_path.string(), counted(project.config.images.size(), "image"),
                       options.certificate.empty() ? "http" : "https", options.host, server.port(),
                       engine));
  for (const std::string& warning : project.warnings) log.warning(warning);
  checker.begin();
  builder.begin();

  wait_for_end(builder, checker, api, *own, log);
  builder.drain();
  server.drain(kDrainRequests);
  log.info("ended");
  return interrupted() == 0 ? 0 : 128 + interrupted();
}

}  // namespace imagewright
