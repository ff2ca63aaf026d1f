#include "io/docker_engine.h"

#include <algorithm>
#include <cstdlib>

#include "io/docker_socket.h"
#include "io/error.h"
#include "io/staging.h"

namespace imagewright {

namespace {

std::string version_of(const std::string& program) {
  const Output output = capture({.argv = {program, "--version"}});
  constexpr std::string_view kBefore = "Docker version ";
  if (!output.exit.ok() || output.out.compare(0, kBefore.size(), kBefore) != 0) return "";
  return output.out.substr(kBefore.size(),
                           output.out.find_first_of(", \n", kBefore.size()) - kBefore.size());
}

// Several docker CLIs can be on PATH: the first one with BuildKit, else the first.
DockerCli choose_cli() {
  DockerCli first;
  for (const std::string& program : find_programs("docker")) {
    DockerCli cli{program, version_of(program), DockerCli::Builder::Classic};
    if (cli.version.empty()) continue;
    const bool has_buildx = capture({.argv = {program, "buildx", "version"}}).exit.ok();
    cli.builder = docker_builder(cli.version, has_buildx);
    if (cli.builder != DockerCli::Builder::Classic) return cli;
    if (first.program.empty()) first = cli;
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
    cli_ = choose_cli();
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
  const Staging staging(cache_, request);
  const bool classic = cli_.builder == DockerCli::Builder::Classic;
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
  command.argv.push_back(classic ? staging.copied_context() : staging.named_context());

  BuildOutcome outcome;
  outcome.exit = run_command(command, on_line, on_tick);
  if (outcome.exit.ok()) outcome.image_id = staging.image_id();
  return outcome;
}

}  // namespace imagewright
