// Names in docker's store that mean exactly one image as long as they are needed: BuildKit takes no
// id in a Dockerfile, and any other name may be moved meanwhile.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/scratch.h"

namespace imagewright {

/// Is it one of these, whoever's?
bool is_run_tag(const std::string& name);

/// They go when this does, and what a process that was killed left behind goes when the next one
/// makes some. One that is the image's last name stays, as the image would go with it, unless the
/// image was made for the run alone.
class DockerRunTags {
 public:
  /// `cache` is our cache directory. Throws Error(Missing).
  explicit DockerRunTags(const std::filesystem::path& cache);
  ~DockerRunTags();
  DockerRunTags(const DockerRunTags&) = delete;
  DockerRunTags& operator=(const DockerRunTags&) = delete;

  /// `imagewright.invalid/run/…:…`, which nobody else makes or moves. Throws Error(Source) where
  /// the image is gone.
  std::string tag(const std::string& image_id);
  /// Such a name for an image that is still to be made, which goes with its last name.
  std::string for_made();

 private:
  static void drop(const std::string& image_id, const std::string& reference);
  std::string next_tag() const;
  void sweep() const;

  std::string repository_;                         // of this machine and cache
  ScratchDirectory alive_;                         // its name is ours, as long as we live
  std::map<std::string, std::string> references_;  // by image id
  std::vector<std::string> made_;
};

}  // namespace imagewright
