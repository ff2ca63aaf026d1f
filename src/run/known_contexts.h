// What contexts came to at an earlier run, so that they need not be worked out again. Caches: what
// cannot be read or written costs time, nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.h"
#include "core/links.h"
#include "io/memo_file.h"
#include "io/tree.h"

namespace imagewright {

struct ContextDigests {
  Digest context{};
  Digest dockerfile{};
  bool operator==(const ContextDigests&) const = default;
};

/// A context that need not be looked into: its digests, the Dockerfile's bytes, and what these were
/// once found to be built from.
struct KnownContext {
  ContextDigests digests;
  std::string dockerfile;
  std::string links_of;  ///< for what: the rest that links depend on; "": for a plain image
  std::vector<Link> links;

  /// A longer Dockerfile is not worth keeping: then nothing is remembered.
  static constexpr std::size_t kLongestDockerfile = std::size_t{64} * 1024;
  bool operator==(const KnownContext&) const = default;
};

/// By git tree, Dockerfile and what counts (core/reach): the same tree under the same rules is the
/// same context.
class KnownTree {
 public:
  KnownTree(const std::filesystem::path& cache, const std::string& tree,
            const std::string& dockerfile, const std::string& reach);

  std::optional<KnownContext> find() const;
  void remember(const KnownContext& context) const;

 private:
  std::string about_;
  std::filesystem::path path_;
};

/// A directory in which all that counts is part of its tree's stamp.
struct KnownDirectory {
  TreeStamp stamp;
  KnownContext context;
  bool follows_links = false;  ///< the stamp is of what links lead to now (io/reached_links)
};

/// The directories of a project, in one file: opening one for each would cost more than looking at
/// a small directory. May be used by several threads.
class KnownDirectories {
 public:
  /// Kept in `file`. `condition`: what else the digests depend on; with another one nothing is
  /// known.
  KnownDirectories(std::filesystem::path file, const std::string& condition);

  /// Begins to read them in the background, if that was not begun before.
  void load_ahead();

  std::optional<KnownDirectory> find(const std::string& directory);
  void remember(const std::string& directory, const KnownDirectory& known);
  /// Writes what is new.
  void save();

 private:
  struct Entry {
    std::string_view path;  // in saved_
    TreeStamp stamp;
    std::uint64_t follows_links = 0;
    ContextDigests digests;
    // In saved_.
    std::string_view dockerfile;
    std::string_view links_of;
    std::string_view links;
  };

  void load();
  const Entry* find_saved(const std::string& directory) const;
  static KnownDirectory known_of(const Entry& entry);

  std::string about_;
  std::filesystem::path file_;
  std::mutex mutex_;
  bool loaded_ = false;
  std::string saved_;                            // what the file holds
  std::vector<Entry> entries_;                   // of it, by path
  std::map<std::string, KnownDirectory> fresh_;  // what came since
  bool changed_ = false;
  std::future<void> loading_;
};

}  // namespace imagewright
