// What one build hands to an engine's program besides the context: the Dockerfile and the ignore
// file, written from what was fingerprinted, and the place for the image's id.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "io/engine.h"
#include "io/scratch.h"

namespace imagewright {

class Staging {
 public:
  /// How the context itself is handed over.
  enum class Context {
    Directory,  ///< as it lies there, with the ignore file
    Copy,       ///< a copy of exactly what counts, with an ignore file that leaves nothing out
    /// A copy for docker's classic builder. Without `.dockerignore`: that one would apply it once
    /// more, and add a line to it, another one each time.
    ClassicCopy,
  };

  /// Writes into a scratch directory below `cache/staging`. Throws Error(Missing); Error(Source) if
  /// the context cannot be copied.
  Staging(const std::filesystem::path& cache, const BuildRequest& request, Context context);

  /// `<context name>-<digest of both>.Dockerfile`: an engine that remembers Dockerfiles by name is
  /// never shown another one under the same.
  const std::filesystem::path& dockerfile() const { return dockerfile_; }
  /// Beside it, with `.dockerignore` behind its name.
  const std::filesystem::path& ignore_file() const { return ignore_file_; }
  /// A way to the file of the secret of this number among the request's: a symlink, whose name
  /// holds nothing that an engine would take for the end of a path.
  std::filesystem::path secret_file(std::size_t number) const {
    return directory_.path() / ("secret-" + std::to_string(number));
  }
  std::filesystem::path image_id_file() const { return directory_.path() / "image-id"; }
  std::filesystem::path metadata_file() const { return directory_.path() / "metadata.json"; }

  /// A copy of what counts of the request's named context of this number: Buildah takes owners from
  /// the directory itself, and reads no ignore file in it.
  std::filesystem::path named_context(std::size_t number) const {
    return directory_.path() / ("named-" + std::to_string(number));
  }

  /// The context's directory, or its copy.
  const std::filesystem::path& context() const { return context_; }
  /// A symlink to it under the request's context name. To be asked for once.
  std::filesystem::path named_context() const;

  /// What the engine wrote to image_id_file: `sha256:<hex>`, or "" if it is not that.
  std::string image_id() const;
  /// The digest of the image's manifest, or index, that buildx wrote to metadata_file:
  /// `sha256:<hex>`, or "" if there is none.
  std::string image_digest() const;

 private:
  const BuildRequest& request_;
  ScratchDirectory directory_;
  std::filesystem::path context_;
  std::filesystem::path dockerfile_;
  std::filesystem::path ignore_file_;
};

/// The arguments that all engines spell alike: -f, -t, --iidfile, --target, --build-arg, --label.
void add_common_arguments(std::vector<std::string>& argv, const BuildRequest& request,
                          const Staging& staging);

/// The non-empty lines of a program's output.
std::set<std::string> lines_of(const std::string& output);

}  // namespace imagewright
