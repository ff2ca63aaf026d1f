#include "run/bases.h"

namespace imagewright {

std::optional<BaseImage> Bases::find(const std::string& image, const std::string& platform,
                                     bool anew) {
  const std::pair key(image, platform);
  if (!anew) {
    const std::lock_guard lock(mutex_);
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
  }
  auto base = engine_.base_image(image, platform);
  if (!base) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return known_.insert_or_assign(key, *std::move(base)).first->second;
}

}  // namespace imagewright
