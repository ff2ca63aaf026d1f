// A state that is kept in registries: what was pushed carries the fingerprint of what it was built
// from as a tag of its own (core/tags), so that a machine that never built it finds it. Decides
// nothing and builds nothing.
// Rules: docs/ci.md, "--state registry".
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/fingerprint.h"
#include "core/verdict.h"
#include "io/engine.h"
#include "run/outside.h"
#include "run/run.h"

namespace imagewright {

/// An image that a registry has.
struct FoundImage {
  std::string image_id;
  std::string reference;      ///< with its manifest's digest: `repository@sha256:…`
  std::string found_as;       ///< the reference that is made of the fingerprint
  std::int64_t built_ms = 0;  ///< since 1970, UTC; 0: its config does not say
  bool in_engine = false;     ///< the engine has it, too
};

/// Several threads may ask at once.
class RegistryState {
 public:
  using Warn = std::function<void(const std::string& text)>;

  /// Borrows them. Where the engine does not know images as registries do, says so, and nothing is
  /// looked for or kept. To be made before Engine::images is asked: it prepares the engine. `warn`
  /// may be called from any thread that asks.
  RegistryState(Outside& outside, Engine& engine, const RunOptions& options, Warn warn);

  /// Is there to be anything of this at all?
  bool is_used() const { return used_; }

  /// Is what the verdict wants built to be looked for? Not without `--state registry`; not if it is
  /// to be built anew whatever there is, or may be going to stand on another image; nor if nobody
  /// pushes it: `push: false`, or a name without a registry that is not pushed by this run.
  bool may_have(const ImageConfig& image, const Verdict& verdict) const;

  /// The image for `platform` that was built from exactly these inputs. nullopt: there is none that
  /// could be had (where it is not known whether there is, with a warning), or the inputs do not
  /// say all: an image from elsewhere is known by its name alone; or it is older than its
  /// `max_age`: then `verdict` gets that as a reason.
  std::optional<FoundImage> find(const ImageConfig& image, const Manifest& manifest,
                                 const std::string& platform, Verdict& verdict);

  /// Of these digests of manifests with these inputs those by which others may find the image.
  /// None, where nothing is kept or the inputs do not say all.
  std::vector<std::string> to_be_found_by(const std::vector<Input>& inputs,
                                          std::vector<std::string> digests) const;

 private:
  std::optional<FoundImage> read(const RegistryName& name, const RegistryImage& image);
  void warn(const std::string& about, const std::string& text);

  Outside& outside_;
  Engine& engine_;
  const RunOptions& options_;
  bool used_;
  Warn warn_;
  std::mutex mutex_;  // of what follows
  std::set<std::string> warned_;
};

}  // namespace imagewright
