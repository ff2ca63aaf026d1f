#include "io/podman_engine.h"

#include <nlohmann/json.hpp>

#include "io/base_image_json.h"
#include "io/engine_isolation.h"
#include "io/engine_memory.h"
#include "io/environment.h"
#include "io/error.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// An answer to be remembered as long as these programs, and all that tells them where their store
// is, are what they are. (containers-storage.conf(5), containers.conf(5), podman(1).)
EngineMemory memory_of(const fs::path& cache, const std::string& question,
                       std::vector<std::string> programs) {
  std::string asked = question;
  for (const char* name :
       {"CONTAINERS_STORAGE_CONF", "CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE", "STORAGE_DRIVER",
        "STORAGE_OPTS", "CONTAINER_HOST", "CONTAINER_CONNECTION", "XDG_CONFIG_HOME",
        "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "HOME"}) {
    asked += '\n' + variable(name);
  }
  std::vector<std::string> files = std::move(programs);
  for (std::string& file : containers_settings()) files.push_back(std::move(file));
  return EngineMemory(cache, asked, files);
}

// `podman info`, in one line; a third of a second, so asked once.
std::string info_of(const std::string& program, const fs::path& cache) {
  return memory_of(cache, "podman info", {find_program(program)}).answer([&] {
    const Output output = capture({.argv = {program, "info", "--format", "json"}});
    const Json info = Json::parse(output.out, nullptr, false);
    if (!output.exit.ok() || !info.is_object()) {
      throw Error(Error::Kind::Missing, "podman does not answer: " + output.first_error());
    }
    return info.dump();
  });
}

// Where Buildah keeps its images; "" where there is none. (Podman's own can be another one with the
// same configuration: its database remembers the first.)
std::string buildah_store(const fs::path& cache) {
  const std::string buildah = find_program("buildah");
  if (buildah.empty()) return "";
  return memory_of(cache, "buildah store", {buildah}).answer([] {
    const Output output =
        capture({.argv = {"buildah", "info", "--format", "{{.store.GraphRoot}}"}});
    return output.exit.ok() ? output.out.substr(0, output.out.find('\n')) : std::string();
  });
}

}  // namespace

EngineImages PodmanEngine::images() {
  return listed_images(shares_buildahs_store() ? "buildah" : program_);
}

bool PodmanEngine::shares_buildahs_store() const {
  const std::string store = podman_store(info_of(program_, cache_));
  return !store.empty() && buildah_store(cache_) == store;
}

std::optional<EngineImage> PodmanEngine::find_image(const std::string& image,
                                                    const std::string& platform) {
  if (shares_buildahs_store()) return listed_image(image, platform);
  const Output output = capture({.argv = {program_, "image", "inspect", image_argument(image)}});
  const Json list = Json::parse(output.exit.ok() ? output.out : "", nullptr, false);
  if (!list.is_array() || list.empty() || !list[0].is_object()) return std::nullopt;
  EngineImage found;
  const std::string id = list[0].value("Id", "");
  if (id.empty()) return std::nullopt;
  found.id = "sha256:" + id;
  found.fits = fits_platform(list[0], platform);
  // It never shows an ONBUILD. In OCI's own format there is none, and its builds read none from it.
  if (list[0].value("ManifestType", "") == "application/vnd.oci.image.manifest.v1+json")
    found.brings = base_image_of(list[0], platform);
  return found;
}

Readiness PodmanEngine::prepare() {
  if (podman_.program.empty()) {
    podman_.capabilities = podman_capabilities(info_of(program_, cache_));
    take_isolation(podman_, find_isolation(cache_, program_));
    podman_.program = program_;
  }
  return {describe(name(), podman_), ""};
}

BuildOutcome PodmanEngine::build(const BuildRequest& request, const OnLine& on_line) {
  prepare();
  return build_by(podman_, cache_, request, on_line);
}

}  // namespace imagewright
