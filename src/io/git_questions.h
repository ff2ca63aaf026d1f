// What refs mean now: one question per repository and run, all at once. Those at http and https are
// asked by ourselves, with git's protocol of version 2; whatever else there is, and whatever gives
// us no such answer, by the git program, whose configuration, helpers and protocols have the last
// word. Knows nothing of commits' contents.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/source.h"
#include "io/git_program.h"
#include "io/http.h"

namespace imagewright {

/// What was found of a ref.
struct RefAnswer {
  std::string commit;  ///< "": there is no such ref, under any of its names
  std::string ref;     ///< the full name it was found under
  std::string branch;  ///< where that is HEAD: the full name of the branch it stands for; "": none
};

/// The repositories of one run. Any number of threads.
class GitQuestions {
 public:
  /// Borrows the program.
  GitQuestions(GitProgram& program, GitLimits limits);
  ~GitQuestions();
  GitQuestions(const GitQuestions&) = delete;
  GitQuestions& operator=(const GitQuestions&) = delete;

  /// Says that the source's ref is to be asked for. Throws Error(Source) as git_remote.
  void want(const GitSource& source);
  /// Begins to ask for all that is wanted and was not asked yet, in the background.
  void ask();
  /// The first of the full names of the source's ref that there is. Asks if nobody did, and waits
  /// for its repository alone. Throws Error(Source) where it could not be asked; it is not asked
  /// again.
  RefAnswer answer(const GitSource& source);

  /// For another request to a repository that has answered a question of ours: where it is sent and
  /// by which login, as the question was, without a body. nullopt: none has, or by git alone.
  std::optional<HttpRequest> request_to(const GitRemote& remote) const;

  /// How many questions were put, and how many of them by git.
  int questions() const;
  int questions_by_git() const;

 private:
  class Asking;
  std::unique_ptr<Asking> asking_;
};

}  // namespace imagewright
