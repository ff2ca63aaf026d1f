// The stages of a Dockerfile: what each stands on and takes from, and what a target needs of them.
// Knows nothing of the context's files. Pure. Rules: BuildKit's dockerfile2llb.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "core/dockerfile.h"
#include "core/error.h"

namespace imagewright {

struct StageRequest {
  std::string target;                       ///< a stage's name or number; "": the last
  std::map<std::string, std::string> args;  ///< given for the build: they beat defaults
  std::string platform;                     ///< what is built for: `linux/amd64`
  std::string build_platform;               ///< what builds
  /// Names of contexts that are given with the build. One stands in for the stage of its name, and
  /// for what is no stage (core/links).
  std::set<std::string> contexts = {};
};

/// Where a stage takes something from: another stage, or an image.
struct StageSource {
  enum class Kind { Base, Copy, Mount };
  Kind kind = Kind::Base;
  std::optional<std::size_t> stage;  ///< its number
  std::string image;                 ///< as written, variables replaced; "" where it is a stage
  std::string platform;              ///< of an image that is a base; "": what is built for
  int line = 0;
  Span span;         ///< where the file says it: FROM's image, or all of the flag
  std::string flag;  ///< `--from=x`, `--mount=…,from=x`; "" of a base
};

struct Stage {
  std::string name;  ///< in lower case; "" where it has none
  int line = 0;
  std::vector<StageSource> sources;              ///< first its base, unless that is `scratch`
  std::vector<const Instruction*> instructions;  ///< the Dockerfile's, behind FROM
  bool is_context =
      false;  ///< a context stands in for it: its source is that, its instructions none
};

struct Stages {
  std::vector<Stage> all;
  std::size_t target = 0;
  std::vector<std::size_t> needed;  ///< of the target, itself included, in the file's order
  /// The values that FROM sees, by name.
  std::map<std::string, std::string> global_args;
};

/// Borrows the Dockerfile. Errors have a line: an instruction before the first FROM that is no ARG,
/// a FROM that is wrong or whose base comes to nothing, a name that no stage can have, a stage
/// number that there is not, a target that there is not, stages that need each other.
tl::expected<Stages, ParseError> find_stages(const Dockerfile& file, const StageRequest& request);

/// The list behind `--mount=`: `type=bind`, `from=x`. Empty for another flag.
std::vector<std::string> mount_fields(const std::string& flag);

/// The value of a key in `--mount=type=bind,from=x`; nullopt: it is not given.
std::optional<std::string> mount_option(const std::string& flag, std::string_view key);

}  // namespace imagewright
