#include "run/why.h"

#include "io/error.h"
#include "run/review.h"

namespace imagewright {

Explanation explain_image(const Project& project, const RunOptions& options,
                          const std::string& image, Progress& progress) {
  RunOptions alone = options;
  alone.is_last = false;  // it is asked once more
  alone.images = {image};
  Review review(project, alone, progress);
  Explanation explanation;
  for (Reviewed& reviewed : review.look(true)) {
    if (reviewed.status.name != image) continue;
    explanation.status = std::move(reviewed.status);
    explanation.last = review.store().find(image);
    explanation.last_attempt = review.store().last_build(image);
    explanation.engine = review.engine().name();
    explanation.origin = reviewed.origin;
    const std::string before_commit = explanation.last ? explanation.last->commit : "";
    if (!before_commit.empty() && !reviewed.origin.commit.empty() &&
        before_commit != reviewed.origin.commit) {
      try {
        explanation.commits = review.commits_since(image, before_commit);
      } catch (const Error& error) {
        if (error.kind() != Error::Kind::Source) throw;
        explanation.why_no_commits = error.what();
      }
    }
    explanation.now = std::move(reviewed.inputs);
    if (explanation.last) explanation.before = inputs_of(explanation.last->inputs);
  }
  return explanation;
}

}  // namespace imagewright
