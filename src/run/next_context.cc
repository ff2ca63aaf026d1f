#include "run/next_context.h"

#include <memory>
#include <optional>

#include "core/graph.h"
#include "io/engine.h"
#include "io/error.h"
#include "io/store.h"

namespace imagewright {

NextContext next_context(const Project& project, Observer& observer, const ImageConfig& image,
                         const std::string& engine) {
  std::unique_ptr<Engine> asked;
  std::optional<ImageNames> names;
  const auto find_base = [&](const Link& base) -> std::optional<BaseImage> {
    try {
      if (!asked) asked = find_engine(engine, project.places.cache);
      if (!names) names.emplace(project.config.images, asked->name() != "docker");
      const std::string platform =
          base.platform.empty() ? observer.platform_of(image) : base.platform;
      const auto parent = names->find(base.image);
      if (!parent) return asked->base_image(base.image, platform);
      const auto row =
          Store::open_read_only(project.state_directory).find(project.config.images[*parent].name);
      if (!row) return std::nullopt;
      return asked->base_image(row->image_id, platform);
    } catch (const Error&) {
      return std::nullopt;  // no engine, no state: nothing is known of it
    }
  };
  NextContext next;
  next.observation = observer.observe(image);
  next.reach = observer.narrow(image, next.observation, find_base);
  observer.files(image, next.observation);
  return next;
}

}  // namespace imagewright
