#include "io/engine.h"

#include <stdexcept>

#include "io/buildah_engine.h"
#include "io/docker_engine.h"
#include "io/docker_socket.h"
#include "io/error.h"
#include "io/podman_engine.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void missing(const std::string& message) {
  throw Error(Error::Kind::Missing, "no engine: " + message);
}

// The program that is Podman, under whatever name; "": none.
std::string podman_program(const DockerCli& docker) {
  if (!find_program("podman").empty()) return "podman";
  return docker.is_podman ? docker.path : "";
}

std::unique_ptr<Engine> docker_wished_for(const fs::path& cache) {
  DockerCli cli = find_docker_cli(cache);
  if (cli.path.empty()) missing("there is no program 'docker' on PATH");
  if (cli.answer.empty()) missing("no docker on PATH can say its version");
  if (cli.is_podman) return std::make_unique<PodmanEngine>(cache, podman_program(cli));
  if (!docker_daemon()) missing("the docker daemon does not answer at " + docker_host());
  return std::make_unique<DockerEngine>(cache, std::move(cli));
}

std::unique_ptr<Engine> podman_wished_for(const fs::path& cache) {
  const std::string program = podman_program(find_docker_cli(cache));
  if (program.empty()) missing("there is no program 'podman' on PATH");
  return std::make_unique<PodmanEngine>(cache, program);
}

std::unique_ptr<Engine> buildah_wished_for(const fs::path& cache) {
  if (find_program("buildah").empty()) missing("there is no program 'buildah' on PATH");
  return std::make_unique<BuildahEngine>(cache);
}

std::unique_ptr<Engine> whichever_answers(const fs::path& cache) {
  DockerCli cli = find_docker_cli(cache);
  const bool is_docker = !cli.answer.empty() && !cli.is_podman;
  const auto daemon = is_docker ? docker_daemon() : std::nullopt;
  if (daemon && !daemon->podman) return std::make_unique<DockerEngine>(cache, std::move(cli));
  if (!find_program("buildah").empty()) return std::make_unique<BuildahEngine>(cache);
  if (const std::string podman = podman_program(cli); !podman.empty())
    return std::make_unique<PodmanEngine>(cache, podman);
  if (daemon) return std::make_unique<DockerEngine>(cache, std::move(cli));
  if (is_docker) missing("the docker daemon does not answer at " + docker_host());
  missing("neither docker nor buildah nor podman is on PATH");
}

}  // namespace

std::string Engine::name_for_made() {
  throw std::logic_error(name() + " takes directories as they are");
}

std::unique_ptr<Engine> find_engine(const std::string& wish, const fs::path& cache) {
  if (wish.empty()) return whichever_answers(cache);
  if (wish == "docker") return docker_wished_for(cache);
  if (wish == "buildah") return buildah_wished_for(cache);
  if (wish == "podman") return podman_wished_for(cache);
  throw Error(Error::Kind::Usage,
              "there is no engine '" + wish + "'; there are docker, buildah and podman");
}

}  // namespace imagewright
