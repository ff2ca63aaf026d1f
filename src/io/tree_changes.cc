#include "io/tree_changes.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>

namespace imagewright {

namespace {

class Comparison {
 public:
  Comparison(const StatCache& before, const StatCache& now) : before_(before), now_(now) {}

  ContextChanges run() {
    pending_.emplace_back();
    while (!pending_.empty()) {
      const std::string path = std::move(pending_.back());
      pending_.pop_back();
      compare(path);
    }
    return std::move(changes_);
  }

 private:
  void compare(const std::string& path) {
    if (before_.record_of(path).tree == now_.record_of(path).tree) return;
    const Listing old = before_.read_counting(path);
    const Listing fresh = now_.read_counting(path);
    const std::size_t first = pending_.size();
    auto a = old.entries.begin();
    auto b = fresh.entries.begin();
    while (a != old.entries.end() || b != fresh.entries.end()) {
      const int order = a == old.entries.end()     ? 1
                        : b == fresh.entries.end() ? -1
                                                   : old.name(*a).compare(fresh.name(*b));
      if (order < 0) {
        all(before_, *a, path_below(path, old.name(*a)), ChangeKind::Removed);
        ++a;
      } else if (order > 0) {
        all(now_, *b, path_below(path, fresh.name(*b)), ChangeKind::Added);
        ++b;
      } else {
        compare(*a, *b, path_below(path, old.name(*a)));
        ++a;
        ++b;
      }
    }
    // The first is to be next: changes that come in their order cost least.
    std::reverse(pending_.begin() + static_cast<std::ptrdiff_t>(first), pending_.end());
  }

  void compare(const ListedEntry& old, const ListedEntry& fresh, const std::string& path) {
    if (old.type != fresh.type) {
      changes_.add(ChangeKind::Type, path);
      below(before_, old, path, ChangeKind::Removed);
      below(now_, fresh, path, ChangeKind::Added);
      return;
    }
    Entry a;
    Entry b;
    Listing::fill(old, a);
    Listing::fill(fresh, b);
    if (a.content != b.content) {
      changes_.add(ChangeKind::Content, path);
    } else if (a.target != b.target || a.device != b.device) {
      changes_.add(ChangeKind::Target, path);
    } else if (a.mode != b.mode) {
      changes_.add(ChangeKind::Mode, path);
    } else if (a.xattrs != b.xattrs) {
      changes_.add(ChangeKind::Attributes, path);
    }
    if (old.type == EntryType::Directory) pending_.push_back(path);
  }

  // An entry with all that is below it.
  void all(const StatCache& side, const ListedEntry& entry, const std::string& path,
           ChangeKind kind) {
    if (entry.type != EntryType::Directory || !below(side, entry, path, kind)) {
      changes_.add(kind, path);
    }
  }

  // All that is below a directory. False: nothing is.
  bool below(const StatCache& side, const ListedEntry& entry, const std::string& path,
             ChangeKind kind) {
    if (entry.type != EntryType::Directory) return false;
    std::vector<std::string> directories = {path};
    bool first = true;
    bool any = false;
    while (!directories.empty()) {
      const std::string directory = std::move(directories.back());
      directories.pop_back();
      const Listing listing = side.read_counting(directory);
      const std::size_t start = directories.size();
      any = any || !listing.entries.empty();
      if (listing.entries.empty() && !first) changes_.add(kind, directory);
      first = false;
      for (const ListedEntry& listed : listing.entries) {
        std::string name = path_below(directory, listing.name(listed));
        if (listed.type == EntryType::Directory) {
          directories.push_back(std::move(name));
        } else {
          changes_.add(kind, std::move(name));
        }
      }
      std::reverse(directories.begin() + static_cast<std::ptrdiff_t>(start), directories.end());
    }
    return any;
  }

  const StatCache& before_;
  const StatCache& now_;
  std::vector<std::string> pending_;
  ContextChanges changes_;
};

}  // namespace

std::optional<ContextChanges> changes_since(const std::filesystem::path& place,
                                            const std::string& before, const Snapshot& now) {
  try {
    const auto kept = StatCache::open_kept(place);
    if (!kept) return std::nullopt;
    const DirectoryRecord* root = kept->find(kept->key_of(""));
    if (root == nullptr || hex(root->tree) != before) return std::nullopt;
    return Comparison(*kept, now.cache()).run();
  } catch (const CacheDamaged&) {
    return std::nullopt;
  }
}

bool is_kept(const std::filesystem::path& place) {
  return access((place.string() + ".dirs").c_str(), F_OK) == 0;
}

void forget_kept(const std::filesystem::path& place) {
  for (const char* extension : {".dirs", ".files"}) unlink((place.string() + extension).c_str());
}

}  // namespace imagewright
