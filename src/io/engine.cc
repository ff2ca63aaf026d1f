#include "io/engine.h"

#include "io/buildah_engine.h"
#include "io/docker_engine.h"
#include "io/docker_socket.h"
#include "io/error.h"

namespace imagewright {

std::unique_ptr<Engine> find_engine(const std::string& wish, const std::filesystem::path& cache) {
  if (wish == "podman") {
    throw Error(Error::Kind::Usage,
                "the engine 'podman' is not available in this version of imagewright; use docker "
                "or buildah");
  }
  if (!wish.empty() && wish != "docker" && wish != "buildah") {
    throw Error(Error::Kind::Usage,
                "there is no engine '" + wish + "'; there are docker and buildah");
  }
  const auto missing = [](const std::string& message) {
    throw Error(Error::Kind::Missing, message);
  };
  const bool has_docker = wish != "buildah" && !find_program("docker").empty();
  const bool has_buildah = wish != "docker" && !find_program("buildah").empty();
  if (has_docker && docker_answers()) return std::make_unique<DockerEngine>(cache);
  if (has_buildah) return std::make_unique<BuildahEngine>(cache);
  if (has_docker) missing("no engine: the docker daemon does not answer at " + docker_host());
  if (!wish.empty()) missing("no engine: there is no program '" + wish + "' on PATH");
  missing("no engine: neither docker nor buildah is on PATH");
  return nullptr;
}

}  // namespace imagewright
