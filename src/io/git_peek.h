// Which tree a directory of a commit has, without its files: the commit and the trees above the
// directories that are wanted of it, by one request, where the server can leave out the rest (git's
// `--filter`). Knows nothing of refs or mirrors.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "io/git_program.h"

namespace imagewright {

/// Those of one run. Any number of threads.
class GitPeeks {
 public:
  /// Borrows the program. `cache` is imagewright's own cache directory.
  GitPeeks(GitProgram& program, std::filesystem::path cache);
  ~GitPeeks();

  /// Says that this directory of a commit of the remote will be asked for ("" is the root): one
  /// request brings all of them.
  void want(const GitRemote& remote, const std::string& directory);
  /// Is there one of these that is not the root?
  bool wants_part(const GitRemote& remote) const;

  /// The id of its tree. nullopt: it cannot be known in this way (the server leaves nothing out, or
  /// gives no commit by its id), or there is no such directory.
  std::optional<std::string> tree(const GitRemote& remote, const std::string& commit,
                                  const std::string& directory);
  /// The commit, as git stores it. nullopt: as above.
  std::optional<std::string> commit(const GitRemote& remote, const std::string& commit);

 private:
  struct Peek;
  Peek* look(const GitRemote& remote, const std::string& commit);
  void fetch(Peek& peek, const GitRemote& remote, const std::string& commit);

  GitProgram& program_;
  std::filesystem::path cache_;
  mutable std::mutex mutex_;                             // of what follows
  std::map<std::string, std::set<std::string>> wanted_;  // by URL
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Peek>> peeks_;
};

}  // namespace imagewright
