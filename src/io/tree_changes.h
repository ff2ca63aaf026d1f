// What changed of a context between two looks at it, from what both kept of it (io/stat_cache): by
// the very values that its digest was made of. Reads lists only of directories that differ. Knows
// nothing of the disk that they came from.
#pragma once

#include <filesystem>
#include <optional>

#include "core/change.h"
#include "io/tree.h"

namespace imagewright {

/// The changes since the look that was kept at `place` (Snapshot::keep). nullopt: nothing was kept
/// there, or not a look that came to the digest `before` (hexadecimal), or it is damaged.
std::optional<ContextChanges> changes_since(const std::filesystem::path& place,
                                            const std::string& before, const Snapshot& now);

/// Was a look kept there? Asks only whether it is there, not whether it is of use.
bool is_kept(const std::filesystem::path& place);

/// Forgets what was kept there.
void forget_kept(const std::filesystem::path& place);

}  // namespace imagewright
