#include "run/judge.h"

namespace imagewright {

Verdict Judge::decide(const std::string& image, const Manifest& now) {
  std::optional<LastSuccess> last;
  bool has_image = true;
  if (const auto row = store_.find(image)) {
    last.emplace();
    last->digest = row->digest;
    last->format = row->format;
    last->verified = row->verified;
    for (const StoredInput& input : row->inputs) {
      if (const auto kind = input_kind(input.kind))
        last->inputs.push_back({*kind, input.name, input.digest});
    }
    has_image = engine_has(row->image_id);
  }
  return imagewright::decide(now, last, has_image, engine_.name(), force_);
}

bool Judge::engine_has(const std::string& image_id) {
  if (!image_ids_) image_ids_ = engine_.image_ids();
  return image_ids_->count(image_id) != 0;
}

}  // namespace imagewright
