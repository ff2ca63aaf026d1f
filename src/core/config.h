// The configuration: YAML text in, a Config or an error with its place out. Pure: the environment
// is handed in, files are not read, directories are not looked for. The format is documented in
// docs/config.md. Names of an image's keys are those of the Compose Build Specification where it
// has them.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/error.h"
#include "core/source.h"
#include "core/yaml.h"

namespace imagewright {

/// One image to build. All paths are as written, relative to the configuration's base directory
/// (`from`) or to the context (`dockerfile`).
struct ImageConfig {
  std::string name;        ///< as written; a valid reference without digest
  Source source;           ///< `from`
  std::string dockerfile;  ///< "" is `Dockerfile`, else `dockerfile`, in the context
  std::string target;      ///< "" is the last stage
  std::map<std::string, std::string> args;  ///< build arguments
  std::map<std::string, std::string> labels;
  std::vector<std::string> depends_on;
  std::map<std::string, std::string> additional_contexts;
  std::chrono::milliseconds timeout{0};
  int retries = 0;
  int weight = 1;
  int line = 0;  ///< where `name` stands in the file
};

struct Config {
  std::vector<ImageConfig>
      images;          ///< in the file's order; at least one; no two of one normalized name
  std::string engine;  ///< "", "docker", "podman" or "buildah"
};

/// Looks up an environment variable; nullopt: not set. (A YAML arg without a value takes its value
/// there.)
using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// A larger text is refused, whatever is in it.
inline constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;

/// Reads a configuration. Anything wrong is an error with line and column: text that is not UTF-8
/// or not YAML, no `builder`, no images, unknown keys (with a suggestion; `x-…` is free, as is what
/// stands beside `builder`), two images of one name, a name no registry takes, a bad source, a key
/// given twice, aliases that expand beyond bounds, a key of a later version that this one cannot
/// honour.
tl::expected<Config, ParseError> parse_config(std::string_view text,
                                              const Environment& environment);

/// The same in two steps. The first does not depend on the environment.
tl::expected<Yaml, ParseError> read_yaml(std::string_view text);
tl::expected<Config, ParseError> parse_config(Yaml& yaml, const Environment& environment);

}  // namespace imagewright
