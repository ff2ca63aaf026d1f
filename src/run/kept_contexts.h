// What the images were last built from, kept in the cache so that a run can say which files changed
// since. Decides nothing: without it a run only says less.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/change.h"
#include "io/tree.h"

namespace imagewright {

class KeptContexts {
 public:
  /// In `directory`, for the state in `state_directory`: each state forgets only what it kept
  /// itself, but finds what any of them kept.
  KeptContexts(std::filesystem::path directory, const std::filesystem::path& state_directory);

  /// Is the context of this digest (hexadecimal) kept, by whichever state?
  bool has(const std::string& digest) const;
  /// Keeps a context. Costs next to nothing where this state has done so already; a cache that
  /// cannot be written is no error.
  void keep(const std::string& digest, const Snapshot& snapshot) const;
  void forget(const std::string& digest) const;

  /// A name for what else is kept for the state.
  const std::string& owner() const { return owner_; }

  /// The changes since the context of this digest. nullopt: it was not kept, or is damaged.
  std::optional<ContextChanges> changes_since(const std::string& digest, const Snapshot& now) const;

 private:
  std::filesystem::path own(const std::string& digest) const;
  std::optional<std::filesystem::path> find(const std::string& digest) const;

  std::filesystem::path directory_;
  std::string owner_;
};

}  // namespace imagewright
