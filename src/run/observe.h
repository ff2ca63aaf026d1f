// What an image's inputs are now: its context from a directory or a git tree, its Dockerfile, its
// arguments. Decides nothing, and writes nothing but caches. A git source costs one question per
// repository and run, and nothing more as long as the tree is known.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/fingerprint.h"
#include "core/links.h"
#include "core/reach.h"
#include "core/verdict.h"
#include "io/git.h"
#include "io/own_paths.h"
#include "io/scratch.h"
#include "io/tree.h"
#include "io/watch.h"
#include "run/kept_contexts.h"
#include "run/known_contexts.h"
#include "run/project.h"
#include "run/remembered.h"
#include "run/secrets.h"

namespace imagewright {

/// An image's context on the disk, exactly as it was fingerprinted.
struct ContextFiles {
  TreeRequest request;  ///< how it was read: the directory and the rules
  Snapshot snapshot;
  std::string ignore;  ///< the rules as the text of an ignore file, our own files included
  std::unique_ptr<ScratchDirectory> checkout;  ///< owns the directory of a git source; else null
  std::string tree = {};                       ///< of a checkout: by which name its tree is known

  /// What of it counts, by path. Throws as Snapshot::entries.
  std::vector<Entry> entries() const { return snapshot.entries(request); }
  /// The same without regard to what the build can read of it: all that the ignore file leaves.
  /// Reads every file. Throws as read_tree.
  std::vector<Entry> entries_of_all() const;
  /// Was anything touched since it was read? Always false for a checkout, which is ours alone.
  bool touched() const;

  /// Everything that it depends on is part of the snapshot: there is no ignore file, the Dockerfile
  /// is one of its files, and nothing of it is left out.
  bool self_contained = false;
};

/// What counted of an image's context when it was last built (core/reach); nullptr: it was not.
using LastReach = std::function<const std::string*(const std::string& image)>;

/// A directory that the Dockerfile finds under a name (`additional_contexts`).
struct NamedDirectory {
  std::string name;  ///< as the Dockerfile writes it
  std::string directory;
  std::unique_ptr<ContextFiles> files;
};

/// Where a context is from.
struct Origin {
  std::string source;  ///< for people: the directory, or remote, ref and commit (redacted)
  // Of a git source; else "".
  std::string commit;
  std::string tree;  ///< the id of the one that is the context
  /// Where the commit was found: `refs/heads/x`; `HEAD` if it is not known of which branch; "" if a
  /// commit was given.
  std::string ref;
};

struct Observation {
  std::vector<Input> inputs;  ///< without the parents, which are known when the image's turn comes
  std::string context_digest;
  std::string reach;        ///< what of the context counts (core/reach)
  std::string dockerfile;   ///< its bytes
  std::vector<Link> links;  ///< what it is built from
  Origin origin;            ///< where the context is from
  /// nullptr where the digests were known already: `Observer::files` brings them.
  std::unique_ptr<ContextFiles> files;
  std::vector<NamedDirectory> named;            ///< complete where there are `files`
  std::chrono::steady_clock::time_point begun;  ///< when the look began

  /// Was any of its files touched since they were read? Wants `files`.
  bool touched() const;
  /// Lets go of the files, with what they hold open.
  void drop_files();
  /// The same, but that a checkout is kept there for a build that may follow. nullptr: it is not.
  void drop_files(Remembered* remembered);
};

/// Looks at the images of one run. `ask_ahead`, `look_ahead` and `observe` are for one thread; the
/// others may be called by several, for different images.
/// Where on this machine inputs are read from.
struct WatchedPaths {
  std::vector<WatchedTree> trees;
  std::vector<std::filesystem::path> files;
};

class Observer {
 public:
  /// What is wanted of a look.
  enum class Look {
    Inputs,
    Links,  ///< what an image is built from, without its context: no inputs, no files
  };

  /// Borrows the project.
  explicit Observer(const Project& project, Look look = Look::Inputs);
  ~Observer();

  /// Contexts are compared by what counted when the image was last built. As long as nothing else
  /// changed, that is still right: it follows from the other inputs. To be called before the first
  /// look. `last_reach` may be called by several threads.
  void expect(LastReach last_reach) { last_reach_ = std::move(last_reach); }

  /// What repositories said lately is not asked again; or, with `ask_anew`, only what they said
  /// just now (Remembered::kJustNow).
  /// Borrowed; to be called first. nullptr: every run asks.
  void remember_in(Remembered* remembered, bool ask_anew) {
    remembered_ = remembered;
    ask_anew_ = ask_anew;
    if (remembered != nullptr) asking_ = remembered->asking();
  }

  /// Begins to ask the repositories of these images (numbers in the configuration), each once, in
  /// the background, and to read what is known of directories. It can be long before anything else
  /// is ready for a look.
  void ask_ahead(const std::vector<std::size_t>& images);
  /// Begins to look at the same images in the background, after ask_ahead.
  void look_ahead(const std::vector<std::size_t>& images);

  /// Adds what a change of which may change an image's inputs. Reads no more than its ignore file.
  void add_watched(const ImageConfig& image, WatchedPaths& all) const;

  /// Is `directory` somewhere below the one that is the image's context, so that its own times are
  /// part of what is looked at?
  bool is_seen(const std::filesystem::path& directory, const ImageConfig& image) const;

  /// Throws Error(Source) that names what is wrong with the image's source or its Dockerfile.
  Observation observe(const ImageConfig& image);

  /// Looks once more, if a directory was looked at before `since`, or so soon after it was written
  /// that a further write might not show (then waits for that moment to pass). Throws as above.
  void observe_again(const ImageConfig& image, Observation& observation,
                     std::chrono::steady_clock::time_point since);

  /// Before a build: leaves out of the context what this build cannot read, and looks again where
  /// that is not what was looked at. Says why the whole context counts, where it does. Throws as
  /// above.
  Reach narrow(const ImageConfig& image, Observation& observation, const BaseImages& bases);
  /// After a build by the whole context, where more is known of its bases than before: the
  /// observation of what it could read, as it was built.
  void narrow_afterwards(const ImageConfig& image, Observation& observation,
                         const BaseImages& bases);
  /// The platform that an image is built for.
  std::string platform_of(const ImageConfig& image) const;

  /// The files behind an observation; checks a git tree out if that was not needed yet. Throws as
  /// above.
  const ContextFiles& files(const ImageConfig& image, Observation& observation);

  /// Names in the verdict which files of the context changed since it had the digest `before`, if
  /// that was kept. Throws as above.
  void name_changes(const ImageConfig& image, Observation& observation, const std::string& before,
                    Verdict& verdict);
  /// What its target stands on in the end (core/links).
  std::optional<Link> base_of(const ImageConfig& image, const Observation& observation) const;
  /// When the commit that was observed was made (RFC 3339); "": it is not from git. Throws as
  /// above.
  std::string time_of_commit(const ImageConfig& image, const Observation& observation);
  /// What led from the commit `before` to the one that was observed. Throws as above.
  GitCommits commits_since(const ImageConfig& image, const Observation& observation,
                           const std::string& before);
  /// Keeps what is needed for that later, of what an image was built from. Costs next to nothing
  /// where that is kept already.
  void keep(const Observation& observation) const;
  /// An observed Dockerfile with other references for some images (core/links).
  std::string with_references(const ImageConfig& image, const std::string& dockerfile,
                              const References& references) const;
  /// Forgets the context of this digest.
  void forget(const std::string& context_digest) const;

 private:
  class Ahead;

  Observation make_observation(const ImageConfig& image, const ContextDigests& digests,
                               std::string dockerfile);
  Observation make_observation(const ImageConfig& image, KnownContext known);
  Observation make_observation(const ImageConfig& image, const ContextDigests& digests,
                               std::string dockerfile, std::vector<Link> links);
  KnownContext known_context(const ImageConfig& image, const ContextDigests& digests,
                             const Observation& observation) const;
  // `reach`: what is to count; nullptr: as expected.
  Observation read_context(const ImageConfig& image, const std::string& context, bool confined,
                           const std::string* reach);
  const std::string* expected_reach(const ImageConfig& image) const;
  std::optional<Observation> recall_directory(const ImageConfig& image,
                                              const DirectorySource& source);
  void look_at_named(Observation& observation);
  void settle_named(Observation& observation);
  std::unique_ptr<ContextFiles> read_named(const std::string& directory);
  void remember(const ImageConfig& image, const std::string& directory,
                const Observation& observation);
  void look_again(const ImageConfig& image, Observation& observation, const std::string& reach);
  std::string path_of(const DirectorySource& source) const;
  Observation observe_directory(const ImageConfig& image, const DirectorySource& source);
  Observation look_at_directory(const ImageConfig& image, const DirectorySource& source,
                                const std::string* reach);
  std::string name_of_tree(const GitSource& source, const ResolvedRef& at, const std::string& tree);
  std::optional<Remembered::Ref> known_ref(const GitSource& source) const;
  ResolvedRef resolve(const GitSource& source);
  ResolvedRef resolve_now(const GitSource& source);
  Observation observe_git(const ImageConfig& image, const GitSource& source);
  Observation check_out(const ImageConfig& image, const GitSource& source, const ResolvedRef& at,
                        const std::string& tree, const std::string* reach);
  std::unique_ptr<ScratchDirectory> written_tree(const GitSource& source, const ResolvedRef& at,
                                                 const std::string& tree);
  GitSource absolute(GitSource source) const;

  const std::vector<ImageConfig>& images_;
  Look look_;
  LastReach last_reach_;
  std::string host_;  // platform
  std::filesystem::path base_;
  std::filesystem::path cache_;
  OwnPaths own_;
  Secrets secrets_;
  KeptContexts kept_;
  KnownDirectories known_;
  FileClock clock_;
  std::size_t git_jobs_;
  Git git_;
  Remembered* remembered_ = nullptr;
  bool ask_anew_ = false;
  Remembered::Asking asking_;
  std::mutex resolved_mutex_;
  std::map<std::string, ResolvedRef> resolved_;
  std::unique_ptr<Ahead> ahead_;
};

/// The numbers of the images whose name, with or without its tag, matches one of the globs; all of
/// them for no globs. Throws Error(Usage) for a glob that matches none.
std::vector<std::size_t> select_images(const std::vector<ImageConfig>& images,
                                       const std::vector<std::string>& globs);
/// Those of exactly these names.
std::vector<std::size_t> named_images(const std::vector<ImageConfig>& images,
                                      const std::vector<std::string>& names);

}  // namespace imagewright
