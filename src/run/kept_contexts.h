// What the images were last built from, kept in the cache so that a run can say which files changed
// since. Decides nothing: without it a run only says less.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "io/tree.h"

namespace imagewright {

class KeptContexts {
 public:
  /// In `directory`, for the state of that key (run/project.h): each state forgets only what it
  /// kept itself, but finds what any of them kept.
  KeptContexts(std::filesystem::path directory, std::string state_key);

  /// Where the context of this digest (hexadecimal) is kept, by whichever state, for
  /// `changes_since`. nullopt: nowhere.
  std::optional<std::filesystem::path> find(const std::string& digest) const;
  /// Keeps a context. Costs next to nothing where this state has done so already; a cache that
  /// cannot be written is no error.
  void keep(const std::string& digest, const Snapshot& snapshot) const;
  void forget(const std::string& digest) const;

 private:
  std::filesystem::path own(const std::string& digest) const;

  std::filesystem::path directory_;
  std::string state_key_;
};

}  // namespace imagewright
