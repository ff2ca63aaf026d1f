// What a run would do, without a lock and without writing. Declared in run/run.h.
#include <fmt/format.h>

#include "io/error.h"
#include "io/interrupt.h"
#include "run/judge.h"
#include "run/observe.h"
#include "run/run.h"

namespace imagewright {

namespace {

// The last attempt at exactly these inputs failed: building again is likely to fail again.
std::optional<BuildRow> failed_attempt(Store& store, const std::string& image,
                                       const std::string& digest) {
  auto last = store.last_build(image);
  if (last && last->result == BuildResult::Failed && last->digest == digest) return last;
  return std::nullopt;
}

}  // namespace

const char* word(Standing standing) {
  switch (standing) {
    case Standing::UpToDate:
      return "up-to-date";
    case Standing::Stale:
      return "stale";
    case Standing::Failed:
      return "failed";
    case Standing::Unknown:
      return "unknown";
  }
  return "";
}

std::vector<ImageStatus> image_status(const Project& project, const RunOptions& options,
                                      Progress& progress) {
  const auto images = select_images(project.config.images, options.images);
  const auto engine = find_engine(options.engine.empty() ? project.config.engine : options.engine,
                                  project.places.cache);
  Store store = Store::open_read_only(project.state_directory);
  Observer observer(images, project);
  observer.look_ahead();
  Judge judge(store, *engine, images, options.force);

  std::vector<ImageStatus> all;
  for (const ImageConfig& image : images) {
    if (interrupted() != 0) break;
    progress.image_started(image.name);
    ImageStatus status;
    status.name = image.name;
    if (const ImageRow* row = judge.last(image.name)) status.image_id = row->image_id;
    try {
      Observation observation = observer.observe(image);
      status.source = observation.source;
      if (observation.files) {
        for (const std::string& warning : observation.files->request.rules.warnings()) {
          progress.warning(image.name + ": " + warning);
        }
      }
      Verdict verdict = judge.decide(image.name, observation.manifest);
      if (verdict.build()) {
        observer.name_changes(image, observation, judge.last_context(image.name), verdict);
      }
      progress.image_decided(image.name, verdict);
      status.reasons = verdict.reasons;
      status.standing = verdict.build() ? Standing::Stale : Standing::UpToDate;
      if (verdict.build()) {
        if (const auto failure = failed_attempt(store, image.name, observation.manifest.digest)) {
          status.standing = Standing::Failed;
          status.message = "last build failed: " + failure->message;
        }
      }
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::Source) throw;
      status.message = error.what();
    }
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace imagewright
