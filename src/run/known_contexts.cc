#include "run/known_contexts.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <system_error>
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

// Text, with its length (8 bytes) before it.
void add_text(std::string& bytes, std::string_view text) {
  add(bytes, std::uint64_t{text.size()});
  bytes += text;
}

bool take_text(std::string_view& bytes, std::string_view& text) {
  std::uint64_t size = 0;
  if (!take(bytes, size) || size > bytes.size()) return false;
  text = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

// Each as its kind and line (4 bytes each), and what is written, its image, platform and directory.
std::string text_of(const std::vector<Link>& links) {
  std::string bytes;
  for (const Link& link : links) {
    add(bytes, static_cast<std::int32_t>(link.kind));
    add(bytes, std::int32_t{link.line});
    for (const std::string* text : {&link.written, &link.image, &link.platform, &link.directory})
      add_text(bytes, *text);
  }
  return bytes;
}

std::vector<Link> links_in(std::string_view bytes) {
  std::vector<Link> links;
  std::int32_t kind = 0, line = 0;
  std::string_view written, image, platform, directory;
  while (take(bytes, kind) && take(bytes, line) && take_text(bytes, written) &&
         take_text(bytes, image) && take_text(bytes, platform) && take_text(bytes, directory)) {
    links.push_back({static_cast<LinkKind>(kind), std::string(written), std::string(image),
                     std::string(platform), line, std::string(directory)});
  }
  return links;
}

// What both kinds depend on beside their names.
std::string about(std::string_view what) {
  // (2: with the Dockerfile. 3: by reach. 4: with the links. 5: with witnesses. 6: how many.)
  return std::string(what) + " 6\n" + std::to_string(kFingerprintFormat) + '\n';
}

}  // namespace

KnownTree::KnownTree(const fs::path& cache, const std::string& tree, const std::string& dockerfile,
                     const std::string& reach)
    : about_(about("tree") + tree + '\n' + dockerfile + '\0' + reach),
      path_(cache / "trees" / hex(sha256(about_))) {}

std::optional<KnownContext> KnownTree::find() const {
  const auto bytes = MemoFile(path_, about_).recall();
  std::string_view rest = bytes ? *bytes : std::string_view();
  KnownContext context;
  std::string_view dockerfile, links_of, links;
  if (!take(rest, context.digests) || !take_text(rest, dockerfile) || !take_text(rest, links_of) ||
      !take_text(rest, links) || !rest.empty())
    return std::nullopt;
  context.dockerfile = dockerfile;
  context.links_of = links_of;
  context.links = links_in(links);
  return context;
}

void KnownTree::remember(const KnownContext& context) const {
  if (context.dockerfile.size() > KnownContext::kLongestDockerfile) return;
  std::string bytes;
  add(bytes, context.digests);
  add_text(bytes, context.dockerfile);
  add_text(bytes, context.links_of);
  add_text(bytes, text_of(context.links));
  MemoFile(path_, about_).remember(bytes);
}

KnownDirectories::KnownDirectories(fs::path file, const std::string& condition)
    : about_(about("directories") + condition), file_(std::move(file)) {}

// How many (8 bytes). Of each: its path, the stamp, whether links are followed (8 bytes), the
// digests, the Dockerfile, its links; texts with their length before them.
void KnownDirectories::load() {
  if (loaded_) return;
  loaded_ = true;
  saved_ = MemoFile(file_, about_).recall().value_or("");
  std::string_view rest = saved_;
  std::uint64_t count = 0;
  take(rest, count);
  entries_.reserve(std::min<std::uint64_t>(count, kMostDirectories));
  Entry entry;
  while (take_text(rest, entry.path) && take(rest, entry.stamp) &&
         take(rest, entry.follows_links) && take(rest, entry.digests) &&
         take_text(rest, entry.dockerfile) && take_text(rest, entry.links_of) &&
         take_text(rest, entry.links)) {
    entries_.push_back(entry);
  }
}

void KnownDirectories::load_ahead() {
  if (loading_.valid()) return;
  try {
    loading_ = std::async(std::launch::async, [this] {
      const std::lock_guard lock(mutex_);
      load();
    });
  } catch (const std::system_error&) {
    // Then it is done by who looks for the first.
  }
}

std::optional<KnownDirectory> KnownDirectories::find(const std::string& directory) {
  {
    const std::lock_guard lock(mutex_);
    load();
    if (const auto fresh = fresh_.find(directory); fresh != fresh_.end()) return fresh->second;
  }
  const Entry* const saved = find_saved(directory);
  return saved != nullptr ? std::optional(known_of(*saved)) : std::nullopt;
}

// Once loaded, they stay as they are.
const KnownDirectories::Entry* KnownDirectories::find_saved(const std::string& directory) const {
  const auto place =
      std::lower_bound(entries_.begin(), entries_.end(), directory,
                       [](const Entry& entry, std::string_view path) { return entry.path < path; });
  return place != entries_.end() && place->path == directory ? &*place : nullptr;
}

KnownDirectory KnownDirectories::known_of(const Entry& entry) {
  return {entry.stamp,
          {entry.digests, std::string(entry.dockerfile), std::string(entry.links_of),
           links_in(entry.links)},
          entry.follows_links != 0};
}

void KnownDirectories::remember(const std::string& directory, const KnownDirectory& known) {
  if (known.context.dockerfile.size() > KnownContext::kLongestDockerfile) return;
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
    for (const Entry& entry : entries_) {
      all.emplace(entry.path, known_of(entry));
    }
  }
  std::string bytes;
  add(bytes, std::uint64_t{all.size()});
  for (const auto& [path, known] : all) {
    add_text(bytes, path);
    add(bytes, known.stamp);
    add(bytes, std::uint64_t{known.follows_links});
    add(bytes, known.context.digests);
    add_text(bytes, known.context.dockerfile);
    add_text(bytes, known.context.links_of);
    add_text(bytes, text_of(known.context.links));
  }
  MemoFile(file_, about_).remember(bytes);
}

}  // namespace imagewright
