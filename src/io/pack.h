// A context as one file that can be sent: a tar of exactly what counts (compressed with zstd), and
// back. By libarchive, which is loaded when it is first used. Knows nothing of who sends it where.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/context.h"

namespace imagewright {

/// Writes what counts of a directory into a new file. The same entries with the same times give the
/// same bytes. What is read must be what the entries say: a file with other bytes, another mode or
/// of another kind is Error(Source), and so is what cannot be read, and an interrupt. Throws
/// Error(Missing) where the file cannot be written, or there is no libarchive. No file is left
/// behind then.
void pack_context(const std::filesystem::path& directory, const std::vector<Entry>& entries,
                  const std::filesystem::path& file);

/// By what a pack is known, whatever its file is called: the digest of its bytes (`sha256:…`), and
/// how many there are. Throws Error(Missing).
std::pair<std::string, std::uint64_t> pack_digest(const std::filesystem::path& file);

/// Makes `directory`, which must not be there, and in it what a pack holds: with modes, times,
/// extended attributes and symlinks as they were. Refuses (Error(Source)) a path that is absolute
/// or has a `..`, one that leads over a symlink, what is there twice, hard links, and what is no
/// pack. Owners are ours. Gives what there is now, by path; of files not what they hold. Throws
/// Error(Missing) as above. What was written before that stays.
std::vector<Entry> unpack_context(const std::filesystem::path& file,
                                  const std::filesystem::path& directory);

}  // namespace imagewright
