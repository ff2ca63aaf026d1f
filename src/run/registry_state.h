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

#include "core/config.h"
#include "core/verdict.h"
#include "run/outside.h"
#include "run/run.h"

namespace imagewright {

/// An image that a registry has.
struct FoundImage {
  std::string image_id;
  std::string reference;      ///< with its manifest's digest: `repository@sha256:…`
  std::int64_t built_ms = 0;  ///< since 1970, UTC; 0: its config does not say
};

/// Is it older than the image's `max_age`? Then that is the reason to build it.
std::optional<Reason> too_old(const ImageConfig& image, const FoundImage& found);

/// Several threads may ask at once.
class RegistryState {
 public:
  using Warn = std::function<void(const std::string& text)>;

  /// Borrows both. `engine`: its name. `warn` may be called from any thread that asks.
  RegistryState(Outside& outside, std::string engine, const RunOptions& options, Warn warn);

  /// Is what the verdict wants built to be looked for? Not without `--state registry`; not if it is
  /// to be built anew whatever there is, or may be going to stand on another image; nor if nobody
  /// pushes it: `push: false`, or a name without a registry that is not pushed by this run.
  bool may_have(const ImageConfig& image, const Verdict& verdict) const;

  /// The image for `platform` that was built from exactly these inputs. nullopt: there is none that
  /// could be had; where it is not known whether there is, with a warning.
  std::optional<FoundImage> find(const ImageConfig& image, const std::string& fingerprint,
                                 const std::string& platform);

 private:
  std::optional<FoundImage> read(const RegistryName& name, const RegistryImage& image);

  Outside& outside_;
  std::string engine_;
  const RunOptions& options_;
  Warn warn_;
  std::mutex mutex_;  // of what follows
  std::set<std::string> warned_;
};

}  // namespace imagewright
