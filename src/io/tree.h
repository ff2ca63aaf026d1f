// Reading a build context from the disk: the walk, by several threads where it is large, the
// content of what was touched since the last look, and a stamp by which to tell later whether
// anything moved. Never steps outside the directory, never through a symlink below it, never skips
// what it cannot read. Knows nothing of images, Dockerfiles or state. Rules: io/stat_cache,
// io/file_clock.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/context.h"
#include "core/ignore.h"
#include "io/file_clock.h"
#include "io/file_read.h"
#include "io/stat_cache.h"

namespace imagewright {

struct TreeRequest {
  std::string root;  ///< a directory; a symlink to one is followed here
  IgnoreRules rules;
  /// More of them: what either ignores does not count.
  IgnoreRules reach;
  /// File names left out wherever they stand, whatever the rules say. Borrowed.
  std::span<const std::string> excluded;
  std::vector<std::string> excluded_paths;  ///< the same for single paths
  /// Names in the root that a stamp takes in even where the rules leave them out. Borrowed.
  std::span<const std::string> witnesses;
  /// Where the stat cache of this context is kept (StatCache); "": nowhere, everything is read.
  std::filesystem::path cache;
  FileClock* clock = nullptr;  ///< borrowed; nullptr: everything just written counts as untrusted
};

/// A sum over all that the file system says of a directory and all below it, and one over its
/// witnesses (TreeRequest). Equal ones mean that nothing was touched in between.
struct TreeStamp {
  std::uint64_t seed = 0;
  Sum sum;
  Sum witnesses;

  /// `stat` must be old enough: a later write would move it.
  void add_witness(std::string_view name, const FileStat& stat);
};

/// What a directory was at one look. Its list of entries stays on the disk until it is asked for.
class Snapshot {
 public:
  const Digest& digest() const { return digest_; }  ///< the context's (core/context)

  /// The entries that count, by path. Throws Error(Source) if they cannot be told any more: they
  /// changed, and what was known of them is damaged.
  std::vector<Entry> entries(const TreeRequest& request) const;

  /// Is there a directory of this name in the root, with something in it?
  bool has_directory(const std::string& name) const;

  /// Keeps what is needed to say later what changed since (tree_changes), under a path for
  /// StatCache. False: it could not be done.
  bool keep(const std::filesystem::path& place) const { return cache_->keep(place); }

  const StatCache& cache() const { return *cache_; }

  /// By which to tell later, without the cache, that nothing was touched; without witnesses.
  /// nullopt: some of it was written so shortly before the look that a later write might not show.
  std::optional<TreeStamp> stamp() const;

  /// The digest of a file in the root. nullopt: there is none of that name that counts.
  std::optional<Digest> content_of(const std::string& name) const;

 private:
  friend class TreeLook;
  friend Snapshot read_tree(const TreeRequest& request);
  friend bool touched_since(const TreeRequest& request, const Snapshot& before);
  friend bool wait_until_settled(const TreeRequest& request, const Snapshot& snapshot);

  std::shared_ptr<StatCache> cache_;
  Digest digest_{};
  Sum stamp_;
  // The newest ctime so young that a later write may leave it as it is; 0: none.
  FileTime unsettled_ = 0;
};

/// Looks at everything that counts, and reads what was touched since the last look. Throws
/// Error(Source) naming the path: a root that is missing or no directory, anything unreadable,
/// FIFOs and sockets, a file that keeps changing while it is read. What vanishes between listing
/// and reading is not there. An interrupt (io/interrupt.h) ends it with an Error, too.
Snapshot read_tree(const TreeRequest& request);

/// Was anything touched since? By what the file system says of every entry that counts (identity,
/// size, times, mode): any write moves a ctime. The root itself does not count: our own state may
/// lie in it. An interrupt does not hinder it. Throws as read_tree.
bool touched_since(const TreeRequest& request, const Snapshot& before);

/// The same for a stamp of an earlier time, of a look by the same rules and exclusions. True as
/// well where something was just written, by the clock (without one: always). Asks for nothing but
/// the entries; `cache` is not used.
bool touched_since(const TreeRequest& request, const TreeStamp& before);

/// A write in the same tick of the clock as the last one before the look would not show later.
/// Waits until no such write can come any more, 2 s at most. True: it had to wait, and the caller
/// must look again.
bool wait_until_settled(const TreeRequest& request, const Snapshot& snapshot);

}  // namespace imagewright
