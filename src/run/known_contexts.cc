#include "run/known_contexts.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/fingerprint.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

// More than this are of other times: the file is begun anew.
constexpr std::size_t kMostDirectories = 20'000;

template <typename T>
void add(std::string& bytes, const T& value) {
  static_assert(std::has_unique_object_representations_v<T>);
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// False: there are not as many.
template <typename T>
bool take(std::string_view& bytes, T& value) {
  static_assert(std::has_unique_object_representations_v<T>);
  if (bytes.size() < sizeof value) return false;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return true;
}

// What both kinds depend on beside their names.
std::string about(std::string_view what) {
  return std::string(what) + '\n' + std::to_string(kFingerprintFormat) + '\n';
}

}  // namespace

KnownTree::KnownTree(const fs::path& cache, const std::string& tree, const std::string& dockerfile)
    : about_(about("tree") + tree + '\n' + dockerfile),
      path_(cache / "trees" / hex(sha256(about_))) {}

std::optional<ContextDigests> KnownTree::find() const {
  const auto bytes = MemoFile(path_, about_).recall();
  ContextDigests digests;
  std::string_view rest = bytes ? *bytes : std::string_view();
  return take(rest, digests) && rest.empty() ? std::optional(digests) : std::nullopt;
}

void KnownTree::remember(const ContextDigests& digests) const {
  std::string bytes;
  add(bytes, digests);
  MemoFile(path_, about_).remember(bytes);
}

KnownDirectories::KnownDirectories(fs::path file, const std::string& condition)
    : about_(about("directories") + condition), file_(std::move(file)) {}

// Of each: the length of its path (8 bytes), the stamp and the digests, the path.
void KnownDirectories::load() {
  if (loaded_) return;
  loaded_ = true;
  saved_ = MemoFile(file_, about_).recall().value_or("");
  std::string_view rest = saved_;
  Entry entry;
  std::uint64_t size = 0;
  while (take(rest, size) && take(rest, entry.known) && size <= rest.size()) {
    entry.path = rest.substr(0, size);
    rest.remove_prefix(size);
    entries_.push_back(entry);
  }
}

std::optional<KnownDirectory> KnownDirectories::find(const std::string& directory) {
  const std::lock_guard lock(mutex_);
  load();
  if (const auto fresh = fresh_.find(directory); fresh != fresh_.end()) return fresh->second;
  const auto place =
      std::lower_bound(entries_.begin(), entries_.end(), directory,
                       [](const Entry& entry, std::string_view path) { return entry.path < path; });
  if (place == entries_.end() || place->path != directory) return std::nullopt;
  return place->known;
}

void KnownDirectories::remember(const std::string& directory, const KnownDirectory& known) {
  const std::lock_guard lock(mutex_);
  load();
  fresh_[directory] = known;
  changed_ = true;
}

void KnownDirectories::save() {
  const std::lock_guard lock(mutex_);
  if (!changed_) return;
  changed_ = false;
  std::map<std::string, KnownDirectory> all = fresh_;
  if (entries_.size() + fresh_.size() <= kMostDirectories) {
    for (const Entry& entry : entries_) all.emplace(entry.path, entry.known);
  }
  std::string bytes;
  for (const auto& [path, known] : all) {
    add(bytes, std::uint64_t{path.size()});
    add(bytes, known);
    bytes += path;
  }
  MemoFile(file_, about_).remember(bytes);
}

}  // namespace imagewright
