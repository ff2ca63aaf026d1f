#include "core/change.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/shown.h"

namespace imagewright {

namespace {

constexpr std::size_t kShown = 3;

}  // namespace

const char* word(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::Added:
      return "added";
    case ChangeKind::Removed:
      return "removed";
    case ChangeKind::Content:
      return "content";
    case ChangeKind::Mode:
      return "mode";
    case ChangeKind::Target:
      return "target";
    case ChangeKind::Type:
      return "type";
    case ChangeKind::Attributes:
      return "attributes";
  }
  return "";
}

void ContextChanges::add(ChangeKind kind, std::string path) {
  (kind == ChangeKind::Added ? added : kind == ChangeKind::Removed ? removed : changed) += 1;
  const auto by_path = [](const ContextChange& a, const ContextChange& b) {
    return a.path < b.path;
  };
  ContextChange change{kind, std::move(path)};
  if (entries.size() == kNamed) {
    if (!by_path(change, entries.back())) return;
    entries.pop_back();
  }
  // They come almost in order.
  entries.insert(std::upper_bound(entries.begin(), entries.end(), change, by_path),
                 std::move(change));
}

std::string describe(const ContextChanges& changes) {
  std::string text;
  const auto count = [&](std::size_t number, const char* what) {
    if (number > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", number, what);
  };
  count(changes.changed, "changed");
  count(changes.added, "added");
  count(changes.removed, "removed");
  for (std::size_t i = 0; i < std::min(kShown, changes.entries.size()); ++i) {
    text += (i == 0 ? ": " : ", ") + printable(changes.entries[i].path);
  }
  if (changes.added + changes.removed + changes.changed > kShown) text += ", …";
  return text;
}

}  // namespace imagewright
