// What a run would do. Declared in run/run.h.
#include "run/review.h"
#include "run/run.h"

namespace imagewright {

const char* word(Standing standing) {
  switch (standing) {
    case Standing::UpToDate:
      return "up-to-date";
    case Standing::Stale:
      return "stale";
    case Standing::Failed:
      return "failed";
    case Standing::Unpublished:
      return "unpublished";
    case Standing::Unknown:
      return "unknown";
  }
  return "";
}

std::vector<ImageStatus> image_status(const Project& project, const RunOptions& options,
                                      Progress& progress) {
  std::vector<ImageStatus> all;
  all.reserve(project.config.images.size());
  for (Reviewed& image : Review(project, options, progress).look(false))
    all.push_back(std::move(image.status));
  return all;
}

}  // namespace imagewright
