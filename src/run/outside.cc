#include "run/outside.h"

#include <utility>
#include <vector>

namespace imagewright {

const Outside::Made& Outside::made() {
  const std::lock_guard lock(mutex_);
  if (!made_.registries) {
    ShortNames names = engine_ == "docker" ? ShortNames() : ShortNames::load();
    std::vector<std::string> insecure = project_.config.insecure_registries;
    insecure.insert(insecure.end(), names.insecure().begin(), names.insecure().end());
    made_.short_names = std::make_unique<ShortNames>(std::move(names));
    made_.registries = std::make_unique<Registries>(project_.places.cache, std::move(insecure));
  }
  return made_;
}

void Outside::stop() {
  const std::lock_guard lock(mutex_);
  if (made_.registries) made_.registries->stop();
}

}  // namespace imagewright
