// Directories of our own that live as long as one use, and go also when we were killed. Knows
// nothing of what is put in them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "io/fd.h"

namespace imagewright {

/// A new, empty directory (0700), removed with all that is in it when destroyed.
class ScratchDirectory {
 public:
  /// Makes one below `parent`, which is created if needed. Removes what earlier processes left
  /// there: a scratch directory is locked while it is in use, so one without a lock has lost its
  /// owner. Throws Error(Missing).
  explicit ScratchDirectory(const std::filesystem::path& parent);
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  Fd lock_;
};

/// Where small scratch directories can be in memory.
struct ScratchMemory {
  std::filesystem::path parent;  ///< for ScratchDirectory; 0700 and this user's
  std::uint64_t most_bytes =
      0;  ///< that one may take now: at most 128 MiB, and never much of what there is
};

/// nullopt: there is none on this machine or for this user (people's goes when they log out), or
/// too little is free.
std::optional<ScratchMemory> scratch_memory();

/// Writes a file anew (0644), all or nothing: under another name, then renamed. Throws
/// Error(Missing).
void write_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace imagewright
