// What is new of a repository that answered a question of ours, fetched by ourselves: one request,
// where the git program takes several and starts four more programs. It is git that looks at what
// came, and who is told that it did not come asks git. Knows nothing of mirrors.
#pragma once

#include <optional>
#include <string>

#include "core/fetch_pack.h"
#include "io/git_program.h"
#include "io/git_questions.h"

namespace imagewright {

/// Any number of threads.
class GitFetches {
 public:
  struct Pack {
    std::string bytes;        ///< as it came: nobody has looked at it
    bool is_shallow = false;  ///< the commit's parents are not in it
  };

  /// Borrows the questions.
  explicit GitFetches(const GitQuestions& questions) : questions_(questions) {}

  /// nullopt: it is for git, whose words then say what is wrong, if anything is. (It is another
  /// kind of server, it was not asked by us, it has much to send, it does not answer.)
  std::optional<Pack> fetch(const GitRemote& remote, const FetchQuestion& question) const;

 private:
  const GitQuestions& questions_;
};

}  // namespace imagewright
