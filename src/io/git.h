// Git sources by the `git` program: what a ref means now (one question per repository and run), one
// commit fetched, shallow, into a mirror in the cache directory, and a tree written out as a plain
// directory with fixed modes and times. Knows nothing of images or state.
// Everything throws Error(Source) with a message that names the repository (redacted) and what git
// said, and, first of all, if check_git_source refuses the source; Error(Missing) if there is no
// git.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/source.h"
#include "io/git_fetches.h"
#include "io/git_peek.h"
#include "io/git_program.h"
#include "io/git_questions.h"
#include "io/git_tree_fetches.h"
#include "io/git_tree_writer.h"

namespace imagewright {

struct ResolvedRef {
  /// 40 (or 64) lower-case hexadecimal digits.
  std::string commit;
  /// The full name it was found under (`refs/heads/x`, `HEAD`); "" if a commit was given.
  std::string ref;
  /// Of HEAD: the full name of the branch it stands for; "" if that is not known.
  std::string branch = {};
};

/// One commit, for people.
struct GitCommit {
  std::string id;
  std::string time;     ///< of the committer, ISO 8601
  std::string subject;  ///< as it stands there
};

/// What led from one commit to another.
struct GitCommits {
  std::vector<GitCommit> list;  ///< newest first
  bool complete = true;         ///< false: there are more, or the one does not lead to the other
};

/// The git sources of one run. A local source's remote must be an absolute path. Any number of
/// threads; any number of these may share a cache, in this process and in others.
class Git {
 public:
  /// `cache` is imagewright's own cache directory; mirrors lie in `cache/git`.
  explicit Git(std::filesystem::path cache, GitLimits limits = {});

  /// Says that `source` will be resolved, so that one question per repository covers all its refs,
  /// and one more all its directories.
  void want(const GitSource& source);

  /// Begins to ask all wanted repositories, in the background.
  void ask_ahead() { questions_.ask(); }

  /// What the source's ref means now. The first call asks all wanted repositories, once; what is
  /// wanted later is asked then, and what was answered stays for the run. Waits for the source's
  /// own repository alone. One that could not be asked throws here, for each of its sources, and
  /// hinders no other. Order:
  /// full `refs/…`, then `refs/heads/X`, then `refs/tags/X` (an annotated tag by the commit it
  /// peels to); no ref: HEAD. A full commit id, as the ref or, without a
  /// ref, as the checksum, needs no question. `checksum` is held against the
  /// answer.
  ResolvedRef resolve(const GitSource& source);

  /// The id of the source's subdirectory's tree in that commit. Where that is neither known from
  /// earlier nor in the mirror, fetches what it takes to know it, without files where the server
  /// can leave them out, else the commit. Throws if the subdirectory is missing, is not a
  /// directory, or is reached through a symlink.
  std::string tree(const GitSource& source, const ResolvedRef& at);

  /// Writes a tree of the commit `at` (fetched, if the mirror lacks it) into `directory`, which
  /// must exist and be empty: files 0644 or 0755, directories 0755, symlinks as they are,
  /// submodules as empty directories (GitSource::submodules: with their files), pointers of Git LFS
  /// as they are (GitSource::lfs: as what they point at), everything dated 1980-01-02 (the oldest
  /// day that a zip archive can hold in every time zone). No filter, hook, attribute or umask has a
  /// say. Refuses names that no checkout may have (`..`, `.git`, with `/`), before anything is
  /// written. After another error `directory` may hold a part.
  /// `most_bytes`: as of write_git_tree; false: it takes more, or may (with submodules or large
  /// files that is not known before), and `directory` may hold a part.
  bool write_tree(const GitSource& source, const ResolvedRef& at, const std::string& tree,
                  const std::filesystem::path& directory, std::uint64_t most_bytes = kAnySize);

  /// When a commit was made (fetched, if the mirror lacks it), by its committer: RFC 3339.
  std::string commit_time(const GitSource& source, const ResolvedRef& at);

  /// The commits that `now` has and `before` had not, by a question of its own to the repository
  /// for the last hundred, without their trees where the server can leave those out.
  GitCommits commits_between(const GitSource& source, const std::string& before,
                             const std::string& now);

  /// How many repositories were asked, and how many of those by the git program.
  int questions() const { return questions_.questions(); }
  int questions_by_git() const { return questions_.questions_by_git(); }

 private:
  std::filesystem::path cache_;
  GitProgram program_;
  GitQuestions questions_;
  GitFetches fetches_;
  GitPeeks peeks_;
  GitTreeFetches tree_fetches_;
};

}  // namespace imagewright
