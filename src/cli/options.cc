#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <map>
#include <thread>

#include "core/config_values.h"
#include "core/suggest.h"

namespace imagewright {

namespace {

// Every option that takes a value: the word behind it is no command and no file.
const std::vector<std::string> kWithValue = {
    "-s",      "--state-dir", "--state",      "-i",       "--image",      "-j",
    "--jobs",  "--engine",    "--progress",   "--color",  "--format",     "--keep",
    "--grace", "--platform",  "--constraint", "--name",   "--interval",   "--listen",
    "--host",  "--tls-cert",  "--tls-key",    "--server", "--token-file", "--webhook-secret-file",
    "--role",  "--remove",    "--registry",   "--label",  "--store"};

bool among(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// The first argument that is neither an option nor an option's value; size() if there is none.
std::size_t first_word(const std::vector<std::string>& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--") return i + 1 < arguments.size() ? i + 1 : arguments.size();
    if (among(kWithValue, arguments[i])) {
      ++i;
    } else if (arguments[i].empty() || arguments[i][0] != '-') {
      return i;
    }
  }
  return arguments.size();
}

// A choice among words, with a message that a reader of the help understands.
CLI::Validator one_of(const std::vector<std::string>& words) {
  return CLI::Validator(
      [words](const std::string& value) {
        if (among(words, value)) return std::string();
        std::string all;
        for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
        return "'" + value + "' is none of " + all + did_you_mean(value, words);
      },
      "", "one of");
}

template <typename Value>
auto chosen_into(Value& value, const std::map<std::string, Value>& values) {
  return [&value, values](const std::string& word) { value = values.at(word); };
}

class CommandLine {
 public:
  CommandLine()
      : app_("Builds container images from one YAML file, only when their inputs changed.",
             "imagewright") {
    app_.set_version_flag("--version", "imagewright " IMAGEWRIGHT_VERSION);
    app_.require_subcommand(1);
    app_.get_formatter()->label("SUBCOMMAND", "COMMAND");
    app_.get_formatter()->label("Subcommands", "Commands");
    app_.footer(
        "`imagewright FILE` is `imagewright build FILE` with relative paths in the working "
        "directory.\n"
        "`imagewright COMMAND --help` tells more.");
  }

  static std::vector<std::string> words() {
    std::vector<std::string> all;
    for (const Command& command : kCommands) all.emplace_back(command.word);
    return all;
  }

  std::variant<Options, EarlyEnd> parse(std::vector<std::string> arguments) {
    const std::size_t word = first_word(arguments);
    std::string only;  // "": none is named
    if (word < arguments.size()) {
      const std::string name = arguments[word];
      if (name == "help" || name == "version") return parse({"--" + name});
      if (among(words(), name)) {
        only = name;
        std::rotate(arguments.begin(), arguments.begin() + static_cast<std::ptrdiff_t>(word),
                    arguments.begin() + static_cast<std::ptrdiff_t>(word) + 1);
      } else {
        only = "build";
        options_.original_form = true;
        arguments.insert(arguments.begin(), only);
      }
    }
    add_commands(only);
    if (arguments.empty()) return EarlyEnd{2, app_.help()};
    try {
      std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes a vector
      app_.parse(arguments);
      if (options_.command == CommandName::Serve) check_fleet();
    } catch (const CLI::CallForHelp&) {
      return EarlyEnd{0, help()};
    } catch (const CLI::CallForVersion&) {
      return EarlyEnd{0, "imagewright " IMAGEWRIGHT_VERSION "\n"};
    } catch (const CLI::ParseError& error) {
      return EarlyEnd{2, "imagewright: " + explain(error) + "\n"};
    }
    // The original worked on one image after the other, in the file's order.
    options_.run.jobs = options_.original_form ? 1 : cores();
    if (jobs_ > 0) options_.run.jobs = jobs_;
    options_.serve.version = IMAGEWRIGHT_VERSION;
    options_.worker.version = IMAGEWRIGHT_VERSION;
    options_.worker.labels = {labels_.begin(), labels_.end()};
    return options_;
  }

 private:
  struct Command {
    const char* word;
    void (CommandLine::*add)();
  };
  static const std::array<Command, 19> kCommands;

  // (To tell CLI11 of all commands' options takes a tenth of a short command's time.) "": all.
  void add_commands(const std::string& only) {
    for (const Command& command : kCommands) {
      if (only.empty() || only == command.word) (this->*command.add)();
    }
  }

  static int cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

  CLI::App* add_command(CommandName command, const std::string& name,
                        const std::string& description) {
    CLI::App* sub = app_.add_subcommand(name, description);
    sub->callback([this, command] { options_.command = command; });
    return sub;
  }

  void add_build() {
    CLI::App* sub = add_command(CommandName::Build, "build", "build what changed");
    add_config_file(sub);
    add_state(sub);
    sub->add_flag("-c,--clean", options_.run.clean, "forget all state first: everything is built");
    sub->add_flag("-n,--dry-run", options_.run.dry_run,
                  "show what would be built; build and write nothing");
    sub->add_flag("--force", options_.run.force, "build whatever the verdict");
    sub->add_flag_callback(
        "--no-wait", [this] { options_.run.wait = false; },
        "give up if another run holds the state, instead of waiting");
    add_builds(sub);
  }

  void add_watch() {
    CLI::App* sub = add_command(CommandName::Watch, "watch",
                                "build what changed, and again whenever something changes");
    add_config_file(sub);
    add_state(sub);
    add_duration(sub, "--interval", options_.watch.interval,
                 "how often git repositories and registries are asked (default: 1m)");
    add_builds(sub);
  }

  // What is common to them.
  void add_builds(CLI::App* sub) {
    add_registry_state(sub);
    add_selection(sub);
    sub->add_option("-j,--jobs", jobs_,
                    "how many builds at once (default: as many as there are cores; of "
                    "`imagewright FILE`: one)")
        ->check(CLI::Range(1, 1024))
        ->option_text("N");
    add_push(sub);
    sub->add_flag("--fail-fast", options_.run.fail_fast, "start nothing more after a failure");
    add_git_jobs(sub);
    add_engine(sub);
    add_json(sub, "one JSON event a line");
    sub->add_option_function<std::string>(
           "--progress",
           chosen_into<ProgressStyle>(options_.progress, {{"auto", ProgressStyle::Auto},
                                                          {"tty", ProgressStyle::Tty},
                                                          {"plain", ProgressStyle::Plain}}),
           "how to show it: auto, tty or plain")
        ->check(one_of({"auto", "tty", "plain"}))
        ->option_text("STYLE");
    add_talk(sub);
  }

  void add_status() {
    CLI::App* sub =
        add_command(CommandName::Status, "status", "what would be built, and why; builds nothing");
    add_config_file(sub);
    add_state(sub);
    add_reading_store(sub);
    add_registry_state(sub);
    add_selection(sub);
    sub->add_flag("--force", options_.run.force, "as if everything were to be built");
    add_push(sub);
    add_git_jobs(sub);
    add_engine(sub);
    sub->add_flag("--exit-code", options_.exit_code, "exit 1 if anything is stale");
    add_json(sub, "one JSON document");
    add_talk(sub);
  }

  void add_why() {
    CLI::App* sub =
        add_command(CommandName::Why, "why", "every input of IMAGE, as it was and as it is now");
    add_image(sub);
    add_state(sub);
    add_reading_store(sub);
    add_registry_state(sub);
    sub->add_flag("--force", options_.run.force, "as if it were to be built whatever the verdict");
    add_push(sub);
    add_git_jobs(sub);
    add_engine(sub);
    add_json(sub, "one JSON document");
    add_talk(sub);
  }

  void add_history() {
    CLI::App* sub = add_command(CommandName::History, "history",
                                "past builds of IMAGE, or of all images, the newest first");
    sub->add_option("IMAGE", options_.image, "an image's name (default: all images)")
        ->option_text(" ");
    add_config_file(sub);
    add_state(sub);
    add_reading_store(sub);
    add_json(sub, "one JSON document");
    add_talk(sub);
  }

  void add_prune() {
    CLI::App* sub = add_command(CommandName::Prune, "prune",
                                "what is not needed any more: shows it, and removes it with --yes");
    add_config_file(sub);
    add_state(sub);
    sub->add_flag("-y,--yes", options_.prune.remove, "remove it");
    sub->add_option("--keep", options_.prune.keep,
                    "how many superseded images of each name stay (default: 1)")
        ->check(CLI::Range(0, 1'000'000))
        ->option_text("N");
    add_duration(sub, "--grace", options_.prune.grace,
                 "how long what went out of use stays (default: 24h)");
    sub->add_flag_callback(
        "--no-wait", [this] { options_.prune.wait = false; },
        "give up if another run holds the state, instead of waiting");
    add_engine(sub);
    add_json(sub, "one JSON document");
    add_talk(sub);
  }

  void add_import() {
    CLI::App* sub = add_command(CommandName::Import, "import",
                                "a stackbrew library file as a configuration, on stdout");
    sub->add_option("FILE", options_.config, "the library file, or - for standard input")
        ->required()
        ->option_text(" ");
    sub->add_option("--name", options_.repository,
                    "the images' name before their tags (default: the file's)")
        ->option_text("NAME");
    add_talk(sub);
  }

  void add_serve() {
    CLI::App* sub = add_command(CommandName::Serve, "serve",
                                "a service: watches, polls, queues and builds by itself");
    add_config_file(sub);
    add_state(sub);
    add_store(sub,
              "share state and queue with other servers in PostgreSQL; implies --fleet "
              "(default: $IMAGEWRIGHT_STORE)");
    sub->add_option_function<std::string>(
           "--listen", [this](const std::string& text) { take_listen(text); },
           "where it is asked (default: 127.0.0.1:8080; port 0: any that is free)")
        ->option_text("HOST:PORT");
    sub->add_option("--host", options_.serve.hosts,
                    "a further name by which it may be called; may be given again")
        ->option_text("NAME")
        ->allow_extra_args(false);
    CLI::Option* certificate = sub->add_option("--tls-cert", options_.serve.certificate,
                                               "serve https with this certificate (PEM)")
                                   ->option_text("FILE");
    CLI::Option* key = sub->add_option("--tls-key", options_.serve.key, "and this key of it (PEM)")
                           ->option_text("FILE");
    sub->add_option("--webhook-secret-file", options_.serve.webhook_secret_file,
                    "webhooks of GitHub, Gitea, Forgejo and GitLab are heard, by this secret")
        ->option_text("FILE");
    certificate->needs(key);
    key->needs(certificate);
    sub->add_flag("--fleet", options_.serve.fleet,
                  "builds are the workers' (imagewright worker), images are kept in registries");
    sub->add_option("--registry", options_.serve.registry,
                    "where workers keep images that are pushed nowhere and name no registry")
        ->option_text("HOST[/PATH]");
    add_duration(sub, "--interval", options_.watch.interval,
                 "how often git repositories and registries are asked (default: 1m)");
    add_registry_state(sub);
    sub->add_option("-j,--jobs", jobs_,
                    "how many builds at once (default: as many as there are cores)")
        ->check(CLI::Range(1, 1024))
        ->option_text("N");
    add_push(sub);
    add_git_jobs(sub);
    add_engine(sub);
    add_json(sub, "its log as one JSON object a line");
  }

  void add_worker() {
    CLI::App* sub =
        add_command(CommandName::Worker, "worker", "builds for a server (serve --fleet)");
    sub->add_option("--server", options_.servers,
                    "the server that it builds for; given again: the next one where it is away")
        ->required()
        ->option_text("URL")
        ->allow_extra_args(false);
    sub->add_option("--token-file", options_.token_file,
                    "holds its token, of the role 'worker' (default: $IMAGEWRIGHT_TOKEN)")
        ->option_text("FILE");
    sub->add_option("--name", options_.worker.name,
                    "its name, which no other worker has (default: this machine's)")
        ->option_text("NAME");
    sub->add_option("--label", labels_, "something that it has; may be given again")
        ->option_text("NAME=VALUE")
        ->allow_extra_args(false);
    sub->add_option("-j,--jobs", jobs_,
                    "how many builds at once (default: as many as there are cores)")
        ->check(CLI::Range(1, 1024))
        ->option_text("N");
    add_engine(sub);
    add_json(sub, "its log as one JSON object a line");
  }

  // What several servers share is of no use without what they both reach.
  void check_fleet() {
    if (!options_.database.empty()) options_.serve.fleet = true;
    if (!options_.serve.registry.empty() && !options_.serve.fleet)
      throw CLI::RequiresError("--registry", "--fleet");
  }

  void take_listen(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    std::string host = text.substr(0, std::min(colon, text.size()));
    int port = -1;
    if (colon != std::string::npos && colon + 1 < text.size() &&
        text.find_first_not_of("0123456789", colon + 1) == std::string::npos &&
        text.size() - colon <= 6)
      port = std::stoi(text.substr(colon + 1));
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
      host = host.substr(1, host.size() - 2);
    if (host.empty() || port < 0 || port > 65535) {
      throw CLI::ValidationError(
          "--listen", "'" + text + "' is no HOST:PORT; one is 127.0.0.1:8080 or [::1]:8080");
    }
    options_.serve.host = host;
    options_.serve.port = static_cast<std::uint16_t>(port);
  }

  // For the commands that ask one.
  void add_server(CLI::App* sub) {
    add_config_file(sub);
    add_state(sub);
    sub->add_option("--server", options_.server.url,
                    "the server to ask (default: the one over the same state on this machine)")
        ->option_text("URL");
    sub->add_option("--token-file", options_.token_file,
                    "holds the token for it (default: $IMAGEWRIGHT_TOKEN)")
        ->option_text("FILE");
    add_json(sub, "one JSON document");
    add_talk(sub);
  }

  void add_jobs() {
    CLI::App* sub =
        add_command(CommandName::Jobs, "jobs", "what a server has to build, and builds");
    sub->add_flag("-a,--all", options_.all, "also what has ended");
    add_server(sub);
  }

  void add_workers() {
    add_server(add_command(CommandName::Workers, "workers", "who builds for a server"));
  }

  void add_cancel() {
    add_job(add_command(CommandName::Cancel, "cancel", "end a server's job, or not begin it"));
  }

  void add_retry() {
    add_job(add_command(CommandName::Retry, "retry", "have a server do a job again, and now"));
  }

  void add_job(CLI::App* sub) {
    sub->add_option("JOB", options_.image, "a job's number, or the name of the image")
        ->required()
        ->option_text(" ");
    add_server(sub);
  }

  void add_trigger() {
    CLI::App* sub = add_command(CommandName::Trigger, "trigger",
                                "have a server look now, and build what changed");
    add_selection(sub);
    sub->add_flag("--force", options_.run.force, "build whatever the verdict");
    add_server(sub);
  }

  void add_token() {
    CLI::App* sub =
        add_command(CommandName::Token, "token",
                    "make a token for a server over this state, or show which there are");
    add_config_file(sub);
    add_state(sub);
    add_store(sub, "for servers over this database (default: $IMAGEWRIGHT_STORE)");
    sub->add_option("--name", options_.token.name, "make one of this name")->option_text("NAME");
    sub->add_option("--role", options_.token.role,
                    "what it may: read (the default), build or admin; or be a worker")
        ->check(one_of({"read", "build", "admin", "worker"}))
        ->option_text("ROLE");
    sub->add_option("--remove", options_.token.remove, "the token of this name is no more")
        ->option_text("NAME");
    add_json(sub, "one JSON document");
    add_talk(sub);
  }

  void add_graph() {
    CLI::App* sub = add_command(CommandName::Graph, "graph", "which image stands on which");
    add_config_file(sub);
    add_selection(sub);
    sub->add_option_function<std::string>(
           "--format",
           chosen_into<GraphFormat>(options_.graph, {{"text", GraphFormat::Text},
                                                     {"dot", GraphFormat::Dot},
                                                     {"json", GraphFormat::Json}}),
           "text, dot (Graphviz) or json")
        ->check(one_of({"text", "dot", "json"}))
        ->option_text("FORMAT");
    sub->add_flag_callback(
        "--json", [this] { options_.graph = GraphFormat::Json; }, "the same as --format json");
    add_git_jobs(sub);
    add_engine(sub);
    add_talk(sub);
  }

  void add_context() {
    CLI::App* sub =
        add_command(CommandName::Context, "context", "the files that a build of IMAGE would send");
    add_image(sub);
    add_git_jobs(sub);
    add_engine(sub);
    add_json(sub, "one JSON document");
    add_talk(sub);
  }

  void add_config() {
    CLI::App* sub = add_command(CommandName::Config, "config", "the resolved configuration");
    add_config_file(sub);
    add_state(sub);
    add_json(sub, "one JSON document");
    add_talk(sub);
  }

  void add_log() {
    CLI::App* sub = add_command(CommandName::Log, "log", "the output of the last build of IMAGE");
    add_image(sub);
    add_state(sub);
    add_reading_store(sub);
    add_json(sub, "one JSON document");
    add_talk(sub);
  }

  void add_config_file(CLI::App* sub) {
    sub->add_option("CONFIG", options_.config, "the configuration (default: imagewright.yml)")
        ->option_text(" ");
    sub->add_option_function<std::string>(
           "--platform",
           [this](const std::string& text) {
             if (!is_selectable_platform(text)) {
               throw CLI::ValidationError("--platform", "'" + text +
                                                            "' is no platform; one is native, "
                                                            "linux/arm64, linux/arm/v7, …");
             }
             options_.platform = text;
           },
           "only images for this platform, and only for it: native or OS/ARCH (default: the "
           "configuration's)")
        ->option_text("PLATFORM");
    sub->add_option("--constraint", options_.constraints,
                    "holds here, so images with this constraint are built; may be given again")
        ->option_text("NAME")
        ->allow_extra_args(false);
  }
  static void add_duration(CLI::App* sub, const char* name, std::chrono::milliseconds& value,
                           const char* what) {
    sub->add_option_function<std::string>(
           name,
           [name, &value](const std::string& text) {
             const auto duration = parse_duration(text);
             if (!duration) throw CLI::ValidationError(name, duration.error().message);
             value = *duration;
           },
           what)
        ->option_text("DURATION");
  }
  void add_image(CLI::App* sub) {
    sub->add_option("IMAGE", options_.image, "an image's name")->required()->option_text(" ");
    add_config_file(sub);
  }
  void add_state(CLI::App* sub) {
    sub->add_option("-s,--state-dir", options_.state_directory,
                    "where .builder.state.db is (default: the configuration's directory)")
        ->option_text("DIR");
  }
  void add_store(CLI::App* sub, const char* what) {
    sub->add_option_function<std::string>(
           "--store",
           [this](const std::string& url) {
             // (It may have a password, which is not repeated.)
             if (!url.starts_with("postgresql://") && !url.starts_with("postgres://"))
               throw CLI::ValidationError("--store", "that is no postgresql://HOST/DATABASE");
             options_.database = url;
           },
           what)
        ->envname("IMAGEWRIGHT_STORE")
        ->option_text("URL");
  }
  void add_reading_store(CLI::App* sub) {
    add_store(sub,
              "read the state that servers share, in PostgreSQL (default: $IMAGEWRIGHT_STORE)");
  }
  void add_registry_state(CLI::App* sub) {
    sub->add_option_function<std::string>(
           "--state",
           [this](const std::string& word) { options_.run.registry_state = word == "registry"; },
           "registry: keep with what is pushed by which inputs it was built, and build nothing "
           "that the registry has; file (the default): only the state directory counts")
        ->check(one_of({"file", "registry"}))
        ->option_text("WHERE");
  }
  void add_git_jobs(CLI::App* sub) {
    sub->add_option("--git-jobs", options_.git_jobs,
                    "how many git programs run, and how many questions one host is asked, at once "
                    "(default: the configuration's, else 16)")
        ->check(CLI::Range(1, kMaxGitJobs))
        ->option_text("N");
  }
  void add_selection(CLI::App* sub) {
    sub->add_option("-i,--image", options_.run.images,
                    "only images whose name matches; may be given again")
        ->option_text("GLOB")
        ->allow_extra_args(false);
  }
  void add_push(CLI::App* sub) {
    sub->add_flag(
        "--push", options_.run.push,
        "push all images but those with 'push: false' (default: those with 'push: true')");
  }
  void add_engine(CLI::App* sub) {
    sub->add_option("--engine", options_.run.engine,
                    "docker, buildah or podman (default: the configuration's, else by itself)")
        ->check(one_of({"docker", "buildah", "podman"}))
        ->option_text("NAME");
  }
  void add_json(CLI::App* sub, const std::string& what) {
    sub->add_flag("--json", options_.json, what);
  }
  void add_talk(CLI::App* sub) {
    sub->add_flag("-v,--verbose", options_.verbose, "tell each step; twice: digests and ids, too");
    sub->add_flag("-q,--quiet", options_.quiet, "tell only what failed");
    sub->add_option_function<std::string>(
           "--color",
           chosen_into<ColorStyle>(options_.color, {{"auto", ColorStyle::Auto},
                                                    {"always", ColorStyle::Always},
                                                    {"never", ColorStyle::Never}}),
           "auto, always or never")
        ->check(one_of({"auto", "always", "never"}))
        ->option_text("WHEN");
  }

  std::string help() const {
    const auto chosen = app_.get_subcommands();
    return chosen.empty() ? app_.help() : chosen.front()->help("imagewright");
  }

  std::string explain(const CLI::ParseError& error) const {
    const auto chosen = app_.get_subcommands();
    const std::string command = chosen.empty() ? "" : chosen.front()->get_name() + " ";
    const std::string more = "\nsee: imagewright " + command + "--help";
    if (chosen.empty()) {
      const auto words = app_.remaining();
      if (words.size() == 1 && words.front() == "-V")
        return "there is no option '-V'; did you mean '--version'?" + more;
      return "a command or a configuration file is missing" +
             did_you_mean(words.empty() ? "" : words.front(), {"--version", "--help"}) + more;
    }
    if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
      const std::string what = error.what();
      return "the option " + what.substr(0, what.find(':')) + " needs a value" + more;
    }
    if (dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return error.what() + more;
    std::vector<std::string> known;
    for (const CLI::Option* option : chosen.front()->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
    const auto extras = chosen.front()->remaining();
    const std::string extra = extras.empty() ? "" : extras.front();
    if (extra.empty() || extra[0] != '-') return "'" + extra + "' is one argument too many" + more;
    return "there is no option '" + extra + "'" +
           did_you_mean(extra.substr(0, extra.find('=')), known) + more;
  }

  CLI::App app_;
  Options options_;
  int jobs_ = 0;  // 0: not given
  std::vector<std::string> labels_;
};

const std::array<CommandLine::Command, 19> CommandLine::kCommands = {{
    {"build", &CommandLine::add_build},     {"watch", &CommandLine::add_watch},
    {"status", &CommandLine::add_status},   {"why", &CommandLine::add_why},
    {"graph", &CommandLine::add_graph},     {"context", &CommandLine::add_context},
    {"config", &CommandLine::add_config},   {"log", &CommandLine::add_log},
    {"history", &CommandLine::add_history}, {"prune", &CommandLine::add_prune},
    {"import", &CommandLine::add_import},   {"serve", &CommandLine::add_serve},
    {"worker", &CommandLine::add_worker},   {"jobs", &CommandLine::add_jobs},
    {"workers", &CommandLine::add_workers}, {"cancel", &CommandLine::add_cancel},
    {"retry", &CommandLine::add_retry},     {"trigger", &CommandLine::add_trigger},
    {"token", &CommandLine::add_token},
}};

}  // namespace

const std::vector<std::string>& command_words() {
  static const std::vector<std::string> all = CommandLine::words();
  return all;
}

std::variant<Options, EarlyEnd> parse_options(const std::vector<std::string>& arguments) {
  return CommandLine().parse(arguments);
}

}  // namespace imagewright
