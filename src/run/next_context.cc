#include "run/next_context.h"

#include <memory>
#include <optional>

#include "core/graph.h"
#include "io/engine.h"
#include "io/error.h"
#include "io/host_platform.h"
#include "io/store.h"
#include "run/bases.h"

namespace imagewright {

NextContext next_context(const Project& project, Observer& observer, const ImageConfig& image,
                         const std::string& engine) {
  std::unique_ptr<Engine> asked;
  std::optional<ImageNames> names;
  std::optional<Outside> outside;
  std::optional<Bases> bases;
  NextContext next;
  next.observation = observer.observe(image);
  const auto find_base = [&](const Link& base) -> std::optional<BaseImage> {
    try {
      if (!asked) asked = find_engine(engine, project.places.cache);
      if (!names) names.emplace(project.config.images, asked->has_short_names(), host_platform());
      if (!bases) {
        // (Without what was stored: where a registry does not answer, the engine's own has to do.)
        outside.emplace(project, asked->name());
        bases.emplace(
            *outside, *asked, *names, [](const auto&, const auto&) { return std::string(); },
            [](const std::string&) {});
      }
      const auto parent = names->find(base, image);
      if (!parent) {
        const auto inputs = bases->inputs(image, next.observation.links);
        return bases->brings(image, base, inputs, false);
      }
      const auto row = read_store(project).find(project.config.images[*parent].name);
      if (!row) return std::nullopt;
      return bases->parent_brings(image, base, {row->image_id, ""});
    } catch (const Error&) {
      return std::nullopt;  // no engine, no state: nothing is known of it
    }
  };
  next.reach = observer.narrow(image, next.observation, find_base);
  observer.files(image, next.observation);
  return next;
}

}  // namespace imagewright
