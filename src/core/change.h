// What changed of a context between two looks, entry by entry, and how that is said. Knows nothing
// of how it is found out.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace imagewright {

enum class ChangeKind {
  Added,
  Removed,
  Content,     ///< of a file
  Mode,        ///< the permission bits
  Target,      ///< of a symlink; the number of a device
  Type,        ///< it is another kind of entry now
  Attributes,  ///< extended attributes
};

/// "added", "removed", "content", "mode", "target", "type", "attributes": for programs; stable
/// (docs/formats.md).
const char* word(ChangeKind kind);

struct ContextChange {
  ChangeKind kind = ChangeKind::Content;
  std::string path;
  bool operator==(const ContextChange&) const = default;
};

/// All changes counted, the first of them named. A directory is named only if it came or went
/// empty, or changed itself.
struct ContextChanges {
  /// So many are named: enough to read, and little to keep.
  static constexpr std::size_t kNamed = 1000;

  std::size_t added = 0;
  std::size_t removed = 0;
  std::size_t changed = 0;             ///< the other kinds
  std::vector<ContextChange> entries;  ///< by path, bytewise
  bool empty() const { return added + removed + changed == 0; }
  bool operator==(const ContextChanges&) const = default;

  void add(ChangeKind kind, std::string path);
};

/// "2 changed, 1 added: src/a.cc, src/b.cc, …": in one line, three names at most. Control
/// characters of names become `?`.
std::string describe(const ContextChanges& changes);

}  // namespace imagewright
