// The secrets of images: what they hold, as keyed digests for the fingerprint and as what must not
// be seen in any output. Nothing here is written anywhere but the key (io/secret_key).
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/build_options.h"

namespace imagewright {

/// Reads secrets. May be used by several threads.
class Secrets {
 public:
  /// `base`: what relative files are against; `cache`: where the key is.
  Secrets(std::filesystem::path base, std::filesystem::path cache)
      : base_(std::move(base)), cache_(std::move(cache)) {}

  /// What they hold now, in order. Throws Error(Source) that names the secret which cannot be had.
  std::vector<std::string> contents(const std::vector<Secret>& secrets) const;
  /// By id: HMAC-SHA-256 of the content, hexadecimal. Throws as above, and Error(Missing).
  std::map<std::string, std::string> digests(const std::vector<Secret>& secrets);

 private:
  std::filesystem::path base_;
  std::filesystem::path cache_;
  std::mutex mutex_;
  std::string key_;  // "": not read yet
};

/// Takes secrets out of lines of output.
class Redaction {
 public:
  /// Of each content of 4 bytes or more: all of it (without line ends around it), and, where it has
  /// several lines, each line of 4 bytes or more.
  explicit Redaction(const std::vector<std::string>& contents);

  /// The line with `***` for each of them.
  std::string operator()(std::string line) const;

 private:
  std::vector<std::string> words_;  // the longest first
};

/// The options with all paths below `base`.
BuildOptions with_absolute_paths(BuildOptions options, const std::filesystem::path& base);

}  // namespace imagewright
