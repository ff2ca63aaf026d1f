#include "run/kept_contexts.h"

#include <system_error>

#include "core/digest.h"
#include "io/tree_changes.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

// "built-", the context's digest, "-", whose state it is.
std::string prefix(const std::string& digest) {
  return "built-" + digest.substr(0, 32) + "-";
}

}  // namespace

KeptContexts::KeptContexts(fs::path directory, const fs::path& state_directory)
    : directory_(std::move(directory)) {
  std::error_code ignored;
  const fs::path state = fs::weakly_canonical(state_directory, ignored);
  owner_ = hex(sha256(state.string())).substr(0, 16);
}

fs::path KeptContexts::own(const std::string& digest) const {
  return directory_ / (prefix(digest) + owner_);
}

std::optional<fs::path> KeptContexts::find(const std::string& digest) const {
  if (digest.empty()) return std::nullopt;
  if (const fs::path path = own(digest); is_kept(path)) return path;
  const std::string start = prefix(digest);
  std::error_code error;
  for (fs::directory_iterator it(directory_, error), end; !error && it != end;
       it.increment(error)) {
    fs::path path = it->path();
    if (path.extension() == ".dirs" && path.filename().string().starts_with(start)) {
      return path.replace_extension();
    }
  }
  return std::nullopt;
}

bool KeptContexts::has(const std::string& digest) const {
  return find(digest).has_value();
}

void KeptContexts::keep(const std::string& digest, const Snapshot& snapshot) const {
  if (const fs::path path = own(digest); !is_kept(path)) snapshot.keep(path);
}

void KeptContexts::forget(const std::string& digest) const {
  forget_kept(own(digest));
}

std::optional<ContextChanges> KeptContexts::changes_since(const std::string& digest,
                                                          const Snapshot& now) const {
  const auto path = find(digest);
  return path ? imagewright::changes_since(*path, digest, now) : std::nullopt;
}

}  // namespace imagewright
