#include "io/docker_engine.h"

#include <algorithm>
#include <cassert>
#include <nlohmann/json.hpp>

#include "core/reference.h"
#include "io/base_image_json.h"
#include "io/docker_socket.h"
#include "io/engine_memory.h"
#include "io/environment.h"
#include "io/error.h"
#include "io/staging.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

std::string first_line(const Output& output) {
  return output.exit.ok() ? output.out.substr(0, output.out.find('\n')) : "";
}

// Where the plugin that newer CLIs build with can be (the docker CLI's own list).
std::vector<std::string> buildx_places() {
  const std::string config = variable("DOCKER_CONFIG");
  const std::string own = config.empty() ? variable("HOME") + "/.docker" : config;
  std::vector<std::string> places;
  for (const std::string& directory :
       {own, std::string("/usr/local/lib/docker"), std::string("/usr/local/libexec/docker"),
        std::string("/usr/lib/docker"), std::string("/usr/libexec/docker")}) {
    places.push_back(directory + "/cli-plugins/docker-buildx");
  }
  return places;
}

// Two lines of answers in one.
constexpr char kBetween = '\t';

DockerCli examine_cli(const std::string& path, const fs::path& cache) {
  std::vector<std::string> files = buildx_places();
  files.push_back(path);
  const EngineMemory memory(cache, "docker cli's answers", files);
  std::string answers = memory.recall().value_or("");
  if (answers.empty()) {
    const std::string version = first_line(capture({.argv = {path, "--version"}}));
    answers = version + kBetween + first_line(capture({.argv = {path, "buildx", "version"}}));
    if (!version.empty()) memory.remember(answers);
  }
  const std::size_t end = answers.find(kBetween);
  DockerCli cli{path, answers.substr(0, end), answers.substr(std::min(end + 1, answers.size())),
                is_podman(answers)};
  if (!cli.is_podman && cli.answer.rfind("Docker version ", 0) != 0) cli.answer.clear();
  return cli;
}

const char* word(Builder builder) {
  switch (builder) {
    case Builder::BuiltInBuildKit:
      return "with BuildKit";
    case Builder::Buildx:
      return "with BuildKit (buildx)";
    case Builder::Classic:
      return "with the classic builder";
    case Builder::Buildah:
      break;
  }
  return "";
}

// What the daemon is, is asked anew by each run that builds: another one can stand behind the same
// address, or the same one with another image store, and no file here would tell.
EngineCapabilities examine(const DockerCli& cli) {
  DockerAnswers answers;
  answers.cli = cli.answer;
  answers.buildx = cli.buildx;
  if (const auto daemon = docker_daemon()) {
    answers.api = daemon->api;
    answers.os = daemon->os;
    answers.podman = daemon->podman;
    answers.info = docker_info();
  }
  return docker_capabilities(answers);
}

}  // namespace

DockerCli find_docker_cli(const fs::path& cache) {
  DockerCli best;
  const auto rank = [](const DockerCli& cli) {
    if (cli.path.empty()) return 0;
    if (cli.answer.empty()) return 1;
    if (cli.is_podman) return 2;
    DockerAnswers alone;
    alone.cli = cli.answer;
    alone.buildx = cli.buildx;
    return docker_capabilities(alone).builder == Builder::Classic ? 3 : 4;
  };
  for (const std::string& path : find_programs("docker")) {
    const DockerCli cli = examine_cli(path, cache);
    if (rank(cli) > rank(best)) best = cli;
  }
  return best;
}

EngineImages DockerEngine::images() {
  if (auto images = docker_images()) return *std::move(images);
  const Output output = capture({.argv = {cli_.path, "images", "--all", "--no-trunc", "--format",
                                          "{{.ID}} {{.Repository}}:{{.Tag}}"}});
  if (!output.exit.ok()) {
    throw Error(Error::Kind::Missing,
                "docker does not answer (" + docker_host() + "): " + output.first_error());
  }
  return read_image_list(output.out);
}

void DockerEngine::tag(const std::string& image_id, const std::string& reference) {
  const auto name = parse_reference(reference);
  if (name && docker_tag(image_id, name->repository, name->tag.empty() ? "latest" : name->tag))
    return;
  throw Error(Error::Kind::Source,
              "docker cannot name the image " + reference + ": it has no image " + image_id);
}

std::set<std::string> DockerEngine::used_image_ids() {
  if (auto ids = docker_used_image_ids()) return *std::move(ids);
  throw Error(Error::Kind::Missing, "docker does not say which images its containers use");
}

PushOutcome DockerEngine::push(const std::string& /*image_id*/, const std::string& reference,
                               bool /*insecure*/) {
  // (By its name; whether by plain http is the daemon's own setting.)
  PushOutcome outcome = run_push({.argv = {cli_.path, "push", reference}});
  // "1.0: digest: sha256:… size: 528"
  constexpr std::string_view kMark = " digest: ";
  const std::size_t mark = outcome.message.find(kMark);
  if (outcome.exit.ok() && mark != std::string::npos) {
    const std::size_t begin = mark + kMark.size();
    outcome.digest = outcome.message.substr(begin, outcome.message.find(' ', begin) - begin);
  }
  return outcome;
}

Readiness DockerEngine::prepare() {
  if (!prepared_) capabilities_ = examine(cli_);
  prepared_ = true;
  Readiness readiness;
  readiness.ids_are_configs = !capabilities_.ids_are_manifests;
  // (BuildKit remembers one by its name and compares size, mode and time, as it does a context; the
  // classic builder knows none.)
  readiness.takes_directories = false;
  readiness.description = "docker " + capabilities_.version + " " + word(capabilities_.builder);
  if (capabilities_.builder == Builder::Classic) {
    readiness.warning =
        cli_.path +
        " cannot use BuildKit here (docker-buildx is missing, or the daemon has no BuildKit); " +
        "building with the classic builder, which leaves .dockerignore out of the image";
  }
  return readiness;
}

std::string DockerEngine::reference_to(const std::string& image_id) {
  if (!tags_) tags_.emplace(cache_);
  return tags_->tag(image_id);
}

std::string DockerEngine::name_for_made() {
  if (!tags_) tags_.emplace(cache_);
  return tags_->for_made();
}

std::optional<EngineImage> DockerEngine::find_image(const std::string& image,
                                                    const std::string& platform) {
  const auto answer = nlohmann::json::parse(docker_image(image), nullptr, false);
  if (!answer.is_object()) return std::nullopt;
  return EngineImage{answer.value("Id", ""), fits_platform(answer, platform),
                     base_image_of(answer, platform)};
}

BuildOutcome DockerEngine::build(const BuildRequest& request, const OnLine& on_line) {
  prepare();
  const std::string problem = unsupported_of(capabilities_, name(), request);
  if (!problem.empty()) throw Error(Error::Kind::Source, problem);
  assert(request.named_contexts.empty());
  const bool classic = capabilities_.builder == Builder::Classic;
  const Staging staging(cache_, request, context_for(capabilities_, request));
  Command command;
  command.argv = {cli_.path, "build"};
  command.environment["DOCKER_BUILDKIT"] = classic ? "0" : "1";
  // Attestations would make the id in the iidfile that of an index.
  command.environment["BUILDX_NO_DEFAULT_ATTESTATIONS"] = "1";
  if (!classic) command.argv.emplace_back("--progress=plain");
  if (capabilities_.builder == Builder::Buildx) command.argv.emplace_back("--load");
  if (capabilities_.metadata_file)
    command.argv.insert(command.argv.end(), {"--metadata-file", staging.metadata_file()});
  if (classic) {
    command.argv.emplace_back("--rm");
    command.argv.emplace_back("--force-rm");
  }
  add_common_arguments(command.argv, request, staging);
  const auto options = option_arguments(capabilities_, request, staging);
  command.argv.insert(command.argv.end(), options.begin(), options.end());
  command.argv.push_back(capabilities_.remembers_names ? staging.named_context()
                                                       : staging.context());
  command.timeout = request.timeout;
  command.stop = request.stop;

  BuildOutcome outcome;
  outcome.exit = run_command(command, on_line);
  if (outcome.exit.status == 0) outcome.image_id = built_image_id(capabilities_, staging);
  return outcome;
}

}  // namespace imagewright
