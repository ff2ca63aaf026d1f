// The configuration: YAML text in, a Config or an error with its place out. Pure: the environment
// is handed in, files are not read, directories are not looked for. The format is documented in
// docs/config.md. Names of an image's keys are those of the Compose Build Specification where it
// has them.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/build_options.h"
#include "core/error.h"
#include "core/selection.h"
#include "core/source.h"
#include "core/variables.h"
#include "core/yaml.h"

namespace imagewright {

/// By what the images that a build takes from elsewhere are known.
enum class TrackBase {
  Digest,  ///< by what their registry says; where it has none, by the engine's own
  Local,   ///< by the engine's own; never pulled
  Off,     ///< by their names alone
};

/// "digest", "local", "off".
const char* word(TrackBase track);

/// When what was built is tagged and pushed.
enum class PublishWhen {
  Each,      ///< each image when it is built
  Together,  ///< all of them when all have ended well; else none
};

/// "each", "together".
const char* word(PublishWhen when);

/// One image to build. All paths are as written, relative to the configuration's base directory
/// (`from`, and those in `options`) or to the context (`dockerfile`). What `defaults` brings is in
/// it, no variable is left, and a matrix has become one of these for each of its combinations.
struct ImageConfig {
  std::string name;               ///< as written; a valid reference without digest
  Source source;                  ///< `from`
  std::string dockerfile;         ///< "" is `Dockerfile`, else `dockerfile`, in the context
  std::string dockerfile_inline;  ///< the Dockerfile itself; then `dockerfile` is ""
  std::string target;             ///< "" is the last stage
  std::map<std::string, std::string> args;  ///< build arguments
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> additional_contexts;  ///< by name; as written
  std::vector<std::string> depends_on;  ///< names of other images of the file, as those write them
  std::vector<std::string> tags;        ///< further names, as templates (core/tags)
  std::optional<bool> push;             ///< nullopt: if the command line says so
  bool oci_labels = false;  ///< labels that say where it is from (org.opencontainers.image.…)
  BuildOptions options;     ///< what is only passed on
  std::chrono::milliseconds timeout{0};  ///< 0: none
  std::chrono::milliseconds max_age{0};  ///< build again when it is so old; 0: never for that
  int retries = 0;                       ///< how often a failed build is tried again
  int weight = 1;                        ///< of a build, against the others that run beside it
  TrackBase track_base = TrackBase::Digest;
  bool narrow = true;  ///< what the build cannot read of its context is left out
  int line = 0;        ///< where `name` stands in the file
  /// Of an image for one of several platforms (core/platform_images): what they are published as,
  /// with `tags` as further names. "": none.
  std::string index = {};
  bool leads_index = false;  ///< the one that has these names in the engine

  bool operator==(const ImageConfig&) const = default;
};

struct Config {
  std::vector<ImageConfig> images;  ///< the chosen ones, in the file's order; at least one; two of
                                    ///< one normalized name have no platform in common
  std::string engine;               ///< "", "docker", "podman" or "buildah"
  /// Registries (`HOST` or `HOST:PORT`) that may be asked by plain http or with any certificate.
  std::vector<std::string> insecure_registries;
  PublishWhen publish = PublishWhen::Each;
  GitLimits git;
  std::vector<LeftOut> left_out;  ///< images of the file that are not among `images`
  /// Under which names images of the file are built when the run is for other platforms.
  std::vector<std::string> other_names;
};

/// The names of all images of the file, the left out ones' and those of other runs, too.
std::vector<std::string> all_names(const Config& config);

/// Looks up an environment variable; nullopt: not set. (A YAML arg without a value takes its value
/// there.)
using Environment = VariableLookup;

/// A larger text is refused, whatever is in it.
inline constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;

/// A matrix that brings a file to more images is refused.
inline constexpr std::size_t kMaxImages = 10'000;

inline constexpr int kMaxRetries = 100;
inline constexpr int kMaxGitJobs = 1024;
inline constexpr int kMaxWeight = 1024;

/// Reads a configuration. Anything wrong is an error with line and column: text that is not UTF-8
/// or not YAML, no `builder`, no images, unknown keys (with a suggestion; `x-…` is free, as is what
/// stands beside `builder`), two images of one name, a name no registry takes, a bad source, a key
/// given twice, aliases, variables or a matrix that expand beyond bounds, a variable that is not
/// set, a selection that leaves no image.
tl::expected<Config, ParseError> parse_config(std::string_view text, const Environment& environment,
                                              const Selection& selection = {});

/// The same in two steps. The first does not depend on the environment.
tl::expected<Yaml, ParseError> read_yaml(std::string_view text);
tl::expected<Config, ParseError> parse_config(Yaml& yaml, const Environment& environment,
                                              const Selection& selection = {});

}  // namespace imagewright
