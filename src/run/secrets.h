// The secrets of images: what they hold, as keyed digests for the fingerprint and as what must not
// be seen in any output. Nothing here is written anywhere.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/build_options.h"

namespace imagewright {

/// What they hold now, in order. `base`: as below. Throws Error(Source) that names the secret which
/// cannot be had.
std::vector<std::string> contents_of(const std::vector<Secret>& secrets,
                                     const std::filesystem::path& base);

/// Digests secrets. May be used by several threads.
class Secrets {
 public:
  /// `base`: what relative files are against; `key`: gives the key, asked for when it is needed.
  Secrets(std::filesystem::path base, std::function<std::string()> key)
      : base_(std::move(base)), make_key_(std::move(key)) {}

  /// By id: HMAC-SHA-256 of the content, hexadecimal. Throws as above, and Error(Missing).
  std::map<std::string, std::string> digests(const std::vector<Secret>& secrets);

 private:
  std::filesystem::path base_;
  std::function<std::string()> make_key_;
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
