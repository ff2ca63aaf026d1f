// The names of images and their way to a registry: which an image is to have, which are still to be
// set or pushed, and doing it. Builds nothing and decides nothing about builds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/links.h"
#include "core/tags.h"
#include "io/engine.h"
#include "io/local_git.h"
#include "io/registry.h"
#include "io/store.h"
#include "run/observe.h"
#include "run/outside.h"
#include "run/run.h"

namespace imagewright {

/// An image that is to be published.
struct PublishedImage {
  std::string id;
  std::int64_t built_ms = 0;
  /// It was built a moment ago: it has no name yet but its own.
  bool fresh = false;
  std::vector<std::string> fingerprints;  ///< by which others may find it
  /// Where a registry was found to have it already: `repository@sha256:…`; else "".
  std::string in_registry = {};
  bool in_engine = true;
};

/// What is still to be done for an image.
struct Publication {
  std::string name;  ///< the image's in the configuration
  PublishedImage image;
  std::string platform;
  std::vector<std::string> to_tag;   ///< references that it does not have in the engine yet
  std::vector<std::string> to_push;  ///< references under which it is not in their registry
  /// Of the image that leads an index: references of that one that are not it yet. They are put
  /// when all its images are pushed.
  std::vector<std::string> to_index = {};
  /// References that say what it was built from, which its registry does not have yet: they are
  /// more of them for the manifest `of_manifest`. "": that is the one that is pushed now.
  std::vector<std::string> to_keep = {};
  std::string of_manifest = {};
  bool empty() const {
    return to_tag.empty() && to_push.empty() && to_keep.empty() && to_index.empty();
  }
};

/// A reference of an index, and the images that are in its repository.
struct IndexReference {
  std::string reference;
  std::vector<std::pair<std::string, std::string>> images;  ///< manifest, platform; file's order
  std::string content;                                      ///< a digest over them
};

/// What is to be put of an index.
struct IndexPublication {
  std::string name;                     ///< of the image that leads it
  std::vector<IndexReference> to_push;  ///< those that are not it yet
};

/// "to be tagged a:1, to be pushed a:1": for people.
std::string describe(const Publication& publication);

/// One thread at a time, but for those that say otherwise.
class Publisher {
 public:
  /// Does an image have this name now?
  using IsNamed = std::function<bool(const std::string& reference, const std::string& image_id)>;

  /// Borrows all of them.
  Publisher(const Project& project, const RunOptions& options, Store& store, Outside& outside,
            Engine& engine, IsNamed is_named);

  /// Throws Error(Source) for tags that cannot be made. `platform`: what the image is built for.
  Publication plan(const ImageConfig& image, const Observation& observation,
                   const PublishedImage& published, const std::string& platform);

  /// For the image that leads an index. `built`: the ids of its images, by their names in the
  /// configuration. nullopt: not all of them are pushed. Throws as `plan`.
  std::optional<IndexPublication> plan_index(const ImageConfig& leader,
                                             const Observation& observation,
                                             const std::map<std::string, std::string>& built);

  /// Puts an index. Missing: an image of it is in its registry no more (which: by its manifest).
  /// Several threads may.
  RegistryAnswer push_index(const IndexReference& index) const;

  /// Of an image that a registry has: leaves out what it has under its names already, and gives
  /// that, by reference. Several threads may.
  std::map<std::string, PublishedRow> leave_out_what_is_there(Publication& publication) const;

  /// The labels that say where an image is from, where the configuration wants them
  /// (org.opencontainers.image.…). `base`: what its target stands on, if that is no parent;
  /// `inputs` has what it is.
  std::map<std::string, std::string> labels(const ImageConfig& image,
                                            const Observation& observation,
                                            const std::optional<Link>& base,
                                            const std::vector<Input>& inputs,
                                            const std::string& commit_time);

  /// Brings an image that only a registry has (`repository@sha256:…`) to the engine, once a run.
  /// "": it is there; else why not. Several threads may.
  std::string bring(const std::string& in_registry) const;

  /// Pushes it, up to four times where that fails, with pauses. What only its registry has gets one
  /// more name there, and comes to the engine only if it must go elsewhere. Several threads may.
  PushOutcome push(const Publication& publication, const std::string& reference) const;

  /// Gives a manifest that is in the repository of the image's name one of `to_keep`. Missing: it
  /// is there no more. Several threads may.
  RegistryAnswer keep(const std::string& reference, const std::string& manifest) const;

 private:
  const LocalGit& git_of(const ImageConfig& image);
  struct Facts;
  std::vector<std::string> references_of(const ImageConfig& image, const Observation& observation,
                                         const Facts& facts);
  std::vector<std::pair<std::string, std::string>> pushed_images(
      const std::string& index, const std::string& reference,
      const std::map<std::string, std::string>* built);
  std::vector<IndexReference> index_references(const ImageConfig& leader,
                                               const Observation& observation,
                                               const std::map<std::string, std::string>* built);
  bool is_insecure(const std::string& registry) const;
  std::string bring_as(const Publication& publication, const std::string& reference) const;

  const Project& project_;
  /// For somebody else's job no name is moved.
  bool is_lost() const { return options_.is_held && !options_.is_held(); }

  const RunOptions& options_;
  Store& store_;
  Outside& outside_;
  Engine& engine_;
  IsNamed is_named_;
  std::map<std::string, LocalGit> git_;  // by directory
  mutable std::mutex mutex_;             // of what follows
  mutable std::set<std::string> brought_;
};

}  // namespace imagewright
