// What an image's inputs are now: its context from a directory or a git tree, its Dockerfile, its
// arguments. Reads only; decides nothing. A git source costs one question per repository and run,
// and nothing more as long as the tree is known.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/fingerprint.h"
#include "io/git.h"
#include "io/places.h"
#include "io/scratch.h"
#include "io/tree.h"

namespace imagewright {

/// An image's context on the disk, exactly as it was fingerprinted.
struct ContextFiles {
  TreeRequest request;  ///< how it was read: the directory and the rules
  Snapshot snapshot;
  std::string dockerfile;  ///< its bytes
  std::string ignore;      ///< the rules as the text of an ignore file, our own files included
  std::unique_ptr<ScratchDirectory> checkout;  ///< owns the directory of a git source; else null

  /// Was anything touched since it was read? Always false for a checkout, which is ours alone.
  bool touched() const;
};

struct Observation {
  Manifest manifest;
  std::string context_digest;
  std::string source;  ///< for people: the directory, or remote, ref and commit (redacted)
  /// nullptr for a git tree that was known already: `Observer::files` brings them.
  std::unique_ptr<ContextFiles> files;
};

/// Looks at the images of one run.
class Observer {
 public:
  /// Relative directories are against `base`. Announces the git sources of all `images`, so that
  /// each repository is asked once; asks nothing yet.
  Observer(const std::vector<ImageConfig>& images, std::filesystem::path base,
           const Places& places);

  /// Begins to ask the repositories, in the background.
  void ask_ahead() { git_.ask_ahead(); }

  /// Throws Error(Source) that names what is wrong with the image's source.
  Observation observe(const ImageConfig& image);

  /// The files behind an observation; checks a git tree out if that was not needed yet. Throws as
  /// above.
  const ContextFiles& files(const ImageConfig& image, Observation& observation);

 private:
  Observation observe_directory(const ImageConfig& image, const DirectorySource& source);
  Observation observe_git(const ImageConfig& image, const GitSource& source);
  std::unique_ptr<ContextFiles> check_out(const ImageConfig& image, const GitSource& source,
                                          const std::string& tree);
  GitSource absolute(GitSource source) const;

  std::filesystem::path base_;
  std::filesystem::path cache_;
  std::filesystem::path logs_;
  Git git_;
};

/// The images whose name, with or without its tag, matches one of the globs; all of them for no
/// globs. In the file's order. Throws Error(Usage) for a glob that matches none.
std::vector<ImageConfig> select_images(const std::vector<ImageConfig>& images,
                                       const std::vector<std::string>& globs);

}  // namespace imagewright
