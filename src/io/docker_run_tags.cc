#include "io/docker_run_tags.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <vector>

#include "core/digest.h"
#include "io/docker_socket.h"
#include "io/error.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

// (.invalid is nobody's domain: nothing of it is ever pulled. RFC 2606.)
constexpr char kRepositories[] = "imagewright.invalid/run/";
// At the end of those of images that were made for the run alone.
constexpr char kMade[] = "-made";

// A daemon may serve several machines, and a machine several users with a cache of their own.
std::string repository_of(const fs::path& cache) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  Sha256 hash;
  hash.update_field(host.data());
  hash.update_field(cache.string());
  return kRepositories + hex(hash.finish()).substr(0, 16);
}

}  // namespace

bool is_run_tag(const std::string& name) {
  return name.starts_with(kRepositories);
}

DockerRunTags::DockerRunTags(const fs::path& cache)
    : repository_(repository_of(cache)), alive_(cache / "runs") {
  sweep();
}

DockerRunTags::~DockerRunTags() {
  for (const auto& [id, reference] : references_) drop(id, reference);
  for (const std::string& reference : made_) docker_untag(reference);
}

std::string DockerRunTags::next_tag() const {
  return alive_.path().filename().string() + "-" +
         std::to_string(references_.size() + made_.size());
}

std::string DockerRunTags::for_made() {
  return made_.emplace_back(repository_ + ":" + next_tag() + kMade);
}

std::string DockerRunTags::tag(const std::string& image_id) {
  const auto [place, is_new] = references_.try_emplace(image_id);
  if (!is_new) return place->second;
  const std::string tag = next_tag();
  if (!docker_tag(image_id, repository_, tag)) {
    references_.erase(place);
    throw Error(Error::Kind::Source, "docker no longer has the image " + image_id);
  }
  return place->second = repository_ + ":" + tag;
}

void DockerRunTags::drop(const std::string& image_id, const std::string& reference) {
  if (reference.ends_with(kMade)) return (void)docker_untag(reference);
  const std::vector<std::string> names = docker_names(image_id);
  const bool has_another = std::any_of(names.begin(), names.end(),
                                       [](const std::string& name) { return !is_run_tag(name); });
  if (has_another) docker_untag(reference);
}

// Those whose process is no more: it had a directory.
void DockerRunTags::sweep() const {
  for (const std::string& reference : docker_tags(repository_)) {
    const std::string tag = reference.substr(repository_.size() + 1);
    const std::string owner = tag.substr(0, tag.find('-'));
    std::error_code ignored;
    if (!fs::exists(alive_.path().parent_path() / owner, ignored)) drop(reference, reference);
  }
}

}  // namespace imagewright
