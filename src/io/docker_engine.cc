#include "io/docker_engine.h"

#include <cstdlib>
#include <optional>
#include <sstream>

#include "io/docker_socket.h"
#include "io/engine_memory.h"
#include "io/error.h"
#include "io/staging.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

std::string version_of(const std::string& program) {
  const Output output = capture({.argv = {program, "--version"}});
  constexpr std::string_view kBefore = "Docker version ";
  if (!output.exit.ok() || output.out.compare(0, kBefore.size(), kBefore) != 0) return "";
  return output.out.substr(kBefore.size(),
                           output.out.find_first_of(", \n", kBefore.size()) - kBefore.size());
}

// Where the plugin that newer CLIs build with can be (the docker CLI's own list).
std::vector<std::string> buildx_places() {
  const char* home = std::getenv("HOME");
  const char* config = std::getenv("DOCKER_CONFIG");
  const std::string own =
      config != nullptr ? config : std::string(home != nullptr ? home : "") + "/.docker";
  std::vector<std::string> places;
  for (const std::string& directory :
       {own, std::string("/usr/local/lib/docker"), std::string("/usr/local/libexec/docker"),
        std::string("/usr/lib/docker"), std::string("/usr/libexec/docker")}) {
    places.push_back(directory + "/cli-plugins/docker-buildx");
  }
  return places;
}

// How this CLI can build; asked once and remembered. nullopt: it is no docker CLI.
std::optional<DockerCli> examine_cli(const std::string& program, const fs::path& cache) {
  std::vector<std::string> files = buildx_places();
  files.push_back(program);
  const EngineMemory memory(cache, "docker cli", files);
  DockerCli cli{program, "", DockerCli::Builder::Classic};
  if (const auto remembered = memory.recall()) {
    std::istringstream fields(*remembered);
    std::string has_buildx;
    if (fields >> cli.version >> has_buildx) {
      cli.builder = docker_builder(cli.version, has_buildx == "buildx");
      return cli;
    }
  }
  cli.version = version_of(program);
  if (cli.version.empty()) return std::nullopt;
  const bool has_buildx = capture({.argv = {program, "buildx", "version"}}).exit.ok();
  cli.builder = docker_builder(cli.version, has_buildx);
  memory.remember(cli.version + (has_buildx ? " buildx" : " plain"));
  return cli;
}

// Several docker CLIs can be on PATH: the first one with BuildKit, else the first.
DockerCli choose_cli(const fs::path& cache) {
  DockerCli first;
  for (const std::string& program : find_programs("docker")) {
    const auto cli = examine_cli(program, cache);
    if (!cli) continue;
    if (cli->builder != DockerCli::Builder::Classic) return *cli;
    if (first.program.empty()) first = *cli;
  }
  return first;
}

const char* word(DockerCli::Builder builder) {
  switch (builder) {
    case DockerCli::Builder::BuiltIn:
      return "with BuildKit";
    case DockerCli::Builder::Buildx:
      return "with BuildKit (buildx)";
    case DockerCli::Builder::Classic:
      return "with the classic builder";
  }
  return "";
}

}  // namespace

DockerCli::Builder docker_builder(const std::string& version, bool has_buildx) {
  if (has_buildx) return DockerCli::Builder::Buildx;
  const int major = std::atoi(version.c_str());
  return major >= 18 && major < 23 ? DockerCli::Builder::BuiltIn : DockerCli::Builder::Classic;
}

std::set<std::string> DockerEngine::image_ids() {
  if (auto ids = docker_image_ids()) return *ids;
  const Output output = capture({.argv = {"docker", "images", "--all", "--quiet", "--no-trunc"}});
  if (!output.exit.ok()) {
    throw Error(Error::Kind::Missing, "docker does not answer (" + docker_host() +
                                          "): " + output.err.substr(0, output.err.find('\n')));
  }
  return lines_of(output.out);
}

Readiness DockerEngine::prepare() {
  if (cli_.program.empty()) {
    cli_ = choose_cli(cache_);
    if (cli_.program.empty())
      throw Error(Error::Kind::Missing, "no docker on PATH can say its version");
    if (docker_has_buildkit() == false) cli_.builder = DockerCli::Builder::Classic;
  }
  Readiness readiness;
  readiness.description = "docker " + cli_.version + " " + word(cli_.builder);
  if (cli_.builder == DockerCli::Builder::Classic) {
    readiness.warning =
        cli_.program +
        " cannot use BuildKit here (docker-buildx is missing, or the daemon is too old); " +
        "building with the classic builder, which leaves .dockerignore out of the image";
  }
  return readiness;
}

BuildOutcome DockerEngine::build(const BuildRequest& request, const OnLine& on_line,
                                 const OnTick& on_tick) {
  prepare();
  const bool classic = cli_.builder == DockerCli::Builder::Classic;
  const bool copy = cli_.builder == DockerCli::Builder::BuiltIn && request.ignore_has_exceptions;
  const Staging staging(cache_, request,
                        classic ? Staging::Context::ClassicCopy
                        : copy  ? Staging::Context::Copy
                                : Staging::Context::Directory);
  Command command;
  command.argv = {cli_.program, "build"};
  command.environment["DOCKER_BUILDKIT"] = classic ? "0" : "1";
  // Attestations would make the id in the iidfile that of an index.
  command.environment["BUILDX_NO_DEFAULT_ATTESTATIONS"] = "1";
  if (!classic) command.argv.emplace_back("--progress=plain");
  if (cli_.builder == DockerCli::Builder::Buildx) command.argv.emplace_back("--load");
  if (classic) {
    command.argv.emplace_back("--rm");
    command.argv.emplace_back("--force-rm");
  }
  add_common_arguments(command.argv, request, staging);
  command.argv.push_back(classic ? staging.context() : staging.named_context());

  BuildOutcome outcome;
  outcome.exit = run_command(command, on_line, on_tick);
  if (outcome.exit.status == 0) outcome.image_id = staging.image_id();
  return outcome;
}

}  // namespace imagewright
