// The mirror of one repository: a bare one in the cache directory that holds every commit it was
// asked for, without history, and nothing else; fetching into it, one at a time; reading objects
// out of it. Knows nothing of how a ref is resolved or a tree is written.
//
// On the disk: `cache/git/<sha256 of the URL without credentials>.git`, mode 0700; beside it
// `….lock`, held (flock) by whoever changes the mirror and dated when it was used last, and
// `….new`, a mirror in the making. `refs/imagewright/<id>` says that this commit or tree is there
// as a whole, and keeps it; `refs/history/` has what of GitSource::fetch had to be fetched. All can
// be deleted at any time that no run uses it.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/git_fetches.h"
#include "io/git_objects.h"
#include "io/git_program.h"

namespace imagewright {

class GitMirror {
 public:
  /// What a name means: its id and type ("tree", "blob", …); both "" if there is none such.
  struct Object {
    std::string id;
    std::string type;
  };

  /// One entry of a tree, as it stands there. `mode` is as stat's, or kSubmodule.
  static constexpr unsigned kSubmodule = 0160000;
  struct Entry {
    unsigned mode = 0;
    std::string id;
    std::string name;
  };

  /// Borrows the program, and by what is fetched without it where that can be (nullptr: nothing).
  GitMirror(GitProgram& program, const std::filesystem::path& cache, GitRemote remote,
            const GitFetches* fetches = nullptr);

  const GitRemote& remote() const { return remote_; }

  /// What the paths ("" is the root) are in that commit; nullopt if the mirror does not hold it. No
  /// symlink is followed: what lies behind one is not there.
  std::optional<std::vector<Object>> look_up(const std::string& commit,
                                             const std::vector<std::string>& paths) const;

  /// Makes the mirror hold that commit. `ref` is where it was found ("" is unknown): what is
  /// fetched where the server gives no commit by its id; of a commit of unknown place,
  /// `history` (GitSource::fetch) is, as a whole. Waits for whoever else is changing the mirror.
  void fetch(const std::string& commit, const std::string& ref, const std::string& history = {});

  /// The same with trees alone, at least one, named by their ids, with all that is below them, in
  /// one request where the server knows all of them. Of each, in that order: is it there now? (Not
  /// every server gives trees by their ids.) Throws if the server was too slow, or interrupted.
  std::vector<bool> fetch_trees(const std::vector<std::string>& ids);

  /// Read objects, each named by its full id, in that order; `on_…` gets the id's index. Not much
  /// more than 32 MiB, or one object, is in memory at a time. Throw if one is of another type.
  using OnTree = std::function<void(std::size_t index, const std::vector<Entry>& entries)>;
  using OnBlob = std::function<void(std::size_t index, std::string_view content)>;
  void read_trees(const std::vector<std::string>& ids, const OnTree& on_tree);
  std::string read_commit(const std::string& id);
  void read_blobs(const std::vector<std::string>& ids, const OnBlob& on_blob);

  /// What a file of a commit says that is in git's own form of configuration, `.gitmodules` above
  /// all: the settings whose names match, as `git config -z --get-regexp` prints them; "": none.
  std::string settings(const std::string& commit, const std::string& file,
                       const std::string& pattern) const;

  /// Which of these paths of a commit `.gitattributes` gives to that filter. `index` is a path for
  /// a file of git's, which stays.
  std::vector<bool> have_filter(const std::string& commit, const std::vector<std::string>& paths,
                                const std::string& filter,
                                const std::filesystem::path& index) const;

  /// Has git-lfs fetch what it keeps of a directory of that commit, unless all of `ids` are there;
  /// from where `.lfsconfig` says, if that is at http or https.
  void fetch_large_files(const std::string& commit, const std::string& directory,
                         const std::vector<std::string>& ids);
  /// Where the content of that id then lies, if it was there to be fetched.
  std::filesystem::path large_file(const std::string& id) const;
  /// It is not what it should be: the next run fetches it anew.
  void drop_large_file(const std::string& id) const;

  /// Drops the mirror, which lacks what it should hold, so that the next run fetches anew; throws
  /// to say so.
  [[noreturn]] void give_up(const std::string& why);

 private:
  Output run(const std::vector<std::string>& arguments, std::string_view input = {}) const;
  bool exists() const;
  const GitObjects* objects() const;
  std::optional<std::string> root_of(const GitObjects& objects, const std::string& id) const;
  std::optional<std::vector<Object>> look_up(const GitObjects& objects, const std::string& root,
                                             const std::vector<std::string>& paths) const;
  std::vector<bool> hold(const std::vector<std::string>& ids) const;
  void make(const std::string& commit);
  std::vector<std::string> kept_commits(const GitObjects& objects) const;
  bool fetch_news(const std::string& commit);
  Output fetch_whole(const std::vector<std::string>& ids);
  void make_places() const;
  void note_use(const std::string& id) const;
  void tidy();
  void sweep() const;
  Output fetch_as(const std::vector<std::string>& refspecs);
  Output fetch_ref(const std::string& commit, const std::string& ref);
  Output fetch_history(const std::string& commit, const std::string& refs);
  void read(const std::vector<std::string>& ids, const char* type, const OnBlob& on_content);
  bool read_one(const std::string& id, std::size_t index, const char* type,
                const OnBlob& on_content);
  [[noreturn]] void fail_as_other(const std::string& id, std::string_view is,
                                  std::string_view wanted) const;
  void read_some(const std::vector<std::string>& ids, std::size_t begin, std::size_t end,
                 const char* type, const OnBlob& on_content);

  GitProgram& program_;
  const GitFetches* fetches_;
  GitRemote remote_;
  std::filesystem::path path_;
  // What git is not asked for; nullptr within: everything.
  mutable std::optional<std::unique_ptr<GitObjects>> objects_;
};

/// The mirrors of a cache directory that nothing was looked up in or fetched into since then.
std::vector<std::filesystem::path> unused_mirrors(const std::filesystem::path& cache,
                                                  std::filesystem::file_time_type since);
/// Removes one of them, if it is still unused. "": it is gone; else why not.
std::string remove_mirror(const std::filesystem::path& mirror,
                          std::filesystem::file_time_type since);

}  // namespace imagewright
