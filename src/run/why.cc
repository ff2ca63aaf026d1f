#include "run/why.h"

#include <map>
#include <utility>

#include "io/error.h"
#include "run/review.h"

namespace imagewright {

namespace {

std::vector<ExplainedInput> compare(const std::vector<StoredInput>& before,
                                    const std::vector<Input>& now) {
  std::map<std::pair<InputKind, std::string>, ExplainedInput> all;
  const auto at = [&](InputKind kind, const std::string& name) -> ExplainedInput& {
    ExplainedInput& input = all[{kind, name}];
    input.kind = kind;
    input.name = name;
    return input;
  };
  for (const StoredInput& input : before) {
    const auto kind = input_kind(input.kind);
    if (!kind) continue;
    ExplainedInput& explained = at(*kind, input.name);
    explained.digest_before = input.digest;
    explained.before = input.value;
  }
  for (const Input& input : now) {
    ExplainedInput& explained = at(input.kind, input.name);
    explained.digest_now = input.digest;
    explained.now = input.value;
  }
  std::vector<ExplainedInput> list;
  for (auto& [key, input] : all) {
    input.fate = input.digest_before.empty()               ? InputFate::Added
                 : input.digest_now.empty()                ? InputFate::Removed
                 : input.digest_now == input.digest_before ? InputFate::Same
                                                           : InputFate::Changed;
    list.push_back(std::move(input));
  }
  return list;
}

}  // namespace

const char* word(InputFate fate) {
  switch (fate) {
    case InputFate::Same:
      return "same";
    case InputFate::Changed:
      return "changed";
    case InputFate::Added:
      return "added";
    case InputFate::Removed:
      return "removed";
  }
  return "";
}

Explanation explain_image(const Project& project, const RunOptions& options,
                          const std::string& image, Progress& progress) {
  RunOptions alone = options;
  alone.images = {image};
  Review review(project, alone, progress);
  Explanation explanation;
  for (Reviewed& reviewed : review.look(true)) {
    if (reviewed.status.name != image) continue;
    explanation.status = std::move(reviewed.status);
    explanation.last = review.store().find(image);
    explanation.last_attempt = review.store().last_build(image);
    explanation.engine = review.engine().name();
    explanation.commit = reviewed.commit;
    explanation.tree = reviewed.tree;
    const std::string before_commit = explanation.last ? explanation.last->commit : "";
    if (!before_commit.empty() && !reviewed.commit.empty() && before_commit != reviewed.commit) {
      try {
        explanation.commits = review.commits_since(image, before_commit);
      } catch (const Error& error) {
        if (error.kind() != Error::Kind::Source) throw;
        explanation.why_no_commits = error.what();
      }
    }
    // Where it could not be looked at, it is not known what is the same.
    const auto before = explanation.last ? explanation.last->inputs : std::vector<StoredInput>();
    if (!reviewed.inputs.empty()) explanation.inputs = compare(before, reviewed.inputs);
  }
  return explanation;
}

}  // namespace imagewright
