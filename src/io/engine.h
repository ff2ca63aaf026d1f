// The engines that build images, behind one small interface. What each one's program wants and how
// it behaves is in docker_engine, buildah_engine and podman_engine. Knows nothing of why
// something is built.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/build_options.h"
#include "core/context.h"
#include "core/reach.h"
#include "io/engine_images.h"
#include "io/process.h"

namespace imagewright {

/// A directory that a build finds under a name, beside its context.
struct NamedContext {
  std::string name;  ///< as the Dockerfile writes it
  std::filesystem::path directory;
  std::function<std::vector<Entry>()> entries;  ///< what of it counts
};

/// One build, as it was fingerprinted.
struct BuildRequest {
  std::string image;                            ///< its name in the configuration, for people
  std::string tag;                              ///< the image's name; "": it gets none yet
  std::filesystem::path context;                ///< the directory
  std::function<std::vector<Entry>()> entries;  ///< what of it counts; asked for a copy only
  /// Under which name the context may be shown to an engine that remembers contexts by name
  /// (Store).
  std::string context_name;
  std::string dockerfile;  ///< its bytes
  std::string ignore;      ///< the rules, as the text of an ignore file
  /// There are `!` rules, which older engines read otherwise: they are to get a copy of what
  /// counts.
  bool ignore_has_exceptions = false;
  std::string target;
  std::map<std::string, std::string> args;
  std::map<std::string, std::string> labels;
  std::vector<NamedContext> named_contexts;
  bool insecure = false;  ///< what it pulls may come by plain http; its Dockerfile says digests
  std::chrono::milliseconds timeout{0};     ///< 0: none
  BuildOptions options;                     ///< the paths in it are absolute
  const std::atomic<bool>* stop = nullptr;  ///< true: it is ended as by an interrupt; borrowed
};

struct BuildOutcome {
  Exit exit;
  std::string image_id;  ///< `sha256:…`; "" unless it succeeded
  /// Where it is, for an engine that keeps its images in registries: the manifest's digest by
  /// repository.
  std::map<std::string, std::string> kept = {};
  /// What was built is what `entries` said, whatever became of the directories since.
  bool is_exact = false;
  std::string message = {};  ///< why it could not be built, where its exit does not say; else ""
  /// The engine ended well and left a fresh image id; also if an interrupt came too late to stop
  /// it.
  bool ok() const { return exit.status == 0 && !image_id.empty(); }
};

/// An image that an engine has.
struct EngineImage {
  std::string id;  ///< `sha256:…`
  /// Is it for the platform that was asked for, or does it run there?
  bool fits = false;
  std::optional<BaseImage> brings;  ///< into builds on it; nullopt: not known
};

/// What there is to tell about an engine that is ready.
struct Readiness {
  std::string description;  ///< "docker 20.10.24 with BuildKit"
  std::string warning;      ///< what the user should know; "": nothing
  /// Does it know images by the digests of their configs, as registries do?
  bool ids_are_configs = true;
  /// Does it take BuildRequest::named_contexts? Else each has to be an image.
  bool takes_directories = true;
};

class Engine {
 public:
  Engine() = default;
  virtual ~Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// "docker", "buildah", "podman"; "fleet" (service/fleet_engine).
  virtual std::string name() const = 0;
  /// Does it take a name without a registry for a short name, to be looked up, and call such an
  /// image of its own `localhost/NAME`? (Podman and Buildah; for Docker it is docker.io's.)
  virtual bool has_short_names() const { return false; }
  /// Are its images nowhere but in registries, by their manifests' digests? They have no names then
  /// until they are pushed under some, and `reference_to` says where one is.
  virtual bool keeps_in_registries() const { return false; }
  /// One question. May be called from another thread, but not while the first `prepare` runs.
  /// Throws Error(Missing).
  virtual EngineImages images() = 0;
  /// Makes ready for building: finds out, once, how this engine's program must be called. Throws
  /// Error(Missing).
  virtual Readiness prepare() = 0;
  /// A reference that means exactly this image (`sha256:…`, one that the engine has) in the
  /// Dockerfiles of its builds, whatever becomes of the image's tags; as long as this object lives.
  /// From one thread. Throws Error(Source) where the image is gone.
  virtual std::string reference_to(const std::string& image_id) = 0;
  /// A name for an image that is made for this run alone (BuildRequest::tag); in the Dockerfiles of
  /// its builds it means exactly that. It goes with this object, and with it the image, unless that
  /// has other names. From one thread. Only where directories have to be images (Readiness).
  virtual std::string name_for_made();
  /// The engine's own image, by its id or by a reference as a Dockerfile has it. `platform`
  /// ("linux/arm64"): what one of another platform brings is not said. nullopt: the engine has no
  /// such image, or cannot tell. Several threads may ask at once.
  virtual std::optional<EngineImage> find_image(const std::string& image,
                                                const std::string& platform) = 0;
  /// Builds, tags and gives the image's id, from the engine's iidfile, never from its output. A
  /// failed or interrupted build is a value. Throws Error(Missing) if the program cannot be run at
  /// all; Error(Source), before anything is run, if it cannot do what the request's options ask
  /// for. After `prepare`, several threads may build at once.
  virtual BuildOutcome build(const BuildRequest& request, const OnLine& on_line) = 0;
  /// Gives an image that the engine has another name, which it takes from whichever image has it.
  /// Several threads may. Throws Error(Source).
  virtual void tag(const std::string& image_id, const std::string& reference) = 0;
  /// The ids of the images that containers use, whether they run or not. One question. Throws
  /// Error(Missing).
  virtual std::set<std::string> used_image_ids() = 0;
  /// Takes an image's names, which are all that it has, away, and with them the image, unless
  /// something uses it. "": it is gone; else why not.
  virtual std::string remove_image(const std::string& image_id,
                                   const std::vector<std::string>& names) = 0;
  /// Brings an image from its registry, by `repository@sha256:…`. "": it is there; else why not.
  /// `insecure`: by plain http, if need be. Several threads may. Throws Error(Missing) if the
  /// program cannot be run.
  virtual std::string pull(const std::string& reference, bool insecure) = 0;
  /// Pushes an image under a name that it has. `insecure`: by plain http, if need be. A push that
  /// fails is a value. Several threads may. Throws Error(Missing) if the program cannot be run.
  virtual PushOutcome push(const std::string& image_id, const std::string& reference,
                           bool insecure) = 0;
};

/// The engine by name, or, if `wish` is "", the one that answers: docker where a daemon of Docker's
/// does, else buildah, else podman. A `docker` that is Podman counts as podman, also where docker
/// is wished for. `cache` is our cache directory: for staging and for what is remembered of an
/// engine. Throws Error(Missing) where there is none, Error(Usage) for an unknown name.
std::unique_ptr<Engine> find_engine(const std::string& wish, const std::filesystem::path& cache);

}  // namespace imagewright
