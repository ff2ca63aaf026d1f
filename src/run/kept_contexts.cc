#include "run/kept_contexts.h"

#include <system_error>

#include "io/tree_changes.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

// "built-", the context's digest, "-", whose state it is.
std::string prefix(const std::string& digest) {
  return "built-" + digest.substr(0, 32) + "-";
}

}  // namespace

KeptContexts::KeptContexts(fs::path directory, std::string state_key)
    : directory_(std::move(directory)), state_key_(std::move(state_key)) {}

fs::path KeptContexts::own(const std::string& digest) const {
  return directory_ / (prefix(digest) + state_key_);
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

void KeptContexts::keep(const std::string& digest, const Snapshot& snapshot) const {
  if (const fs::path path = own(digest); !is_kept(path)) snapshot.keep(path);
}

void KeptContexts::forget(const std::string& digest) const {
  forget_kept(own(digest));
}

}  // namespace imagewright
