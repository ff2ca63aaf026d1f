#include "io/git_checkout.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <utility>

#include "core/digest.h"
#include "core/submodules.h"
#include "core/take_field.h"
#include "io/fd.h"
#include "io/scratch.h"

namespace imagewright {

namespace fs = std::filesystem;

struct GitCheckout::Place {
  GitMirror& mirror;
  const GitSource& source;
  const std::string& commit;
  const std::string& subdir;
  const std::string& tree;
  const fs::path& directory;

  // A path of the tree as the repository has it.
  std::string in_repository(const std::string& path) const {
    return subdir.empty() ? path : subdir + "/" + path;
  }
  [[noreturn]] void fail(const std::string& path, const std::string& why) const {
    throw Error(Error::Kind::Source, fmt::format("'{}' at {}: '{}': {}", mirror.remote().shown,
                                                 commit.substr(0, 12), in_repository(path), why));
  }
};

namespace {

constexpr int kDeepest = 16;

// Writes the large file over its pointer, whose mode and date it keeps. "": done; else why not.
std::string copy_large_file(const fs::path& from, const TreePointer& pointer, const fs::path& to) {
  const Fd object(open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!object) return with_errno("its content was not fetched");
  const Fd file(open(to.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return with_errno("cannot write it");
  Sha256 hash;
  std::uint64_t size = 0;
  std::array<char, 1 << 16> buffer;
  while (true) {
    const ssize_t got = read(object.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return with_errno("cannot read its content");
    if (got == 0) break;
    std::string_view rest(buffer.data(), static_cast<std::size_t>(got));
    hash.update(rest);
    size += rest.size();
    while (!rest.empty()) {
      const ssize_t written = ::write(file.get(), rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return with_errno("cannot write it");
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  if (size != pointer.pointer.size || hex(hash.finish()) != pointer.pointer.id)
    return "its content is another one than its pointer says";
  return set_tree_date(file.get()) ? "" : with_errno("cannot set its time");
}

}  // namespace

void GitCheckout::write(GitMirror& mirror, const GitSource& source, const std::string& commit,
                        const std::string& subdir, const std::string& tree,
                        const fs::path& directory) {
  write({mirror, source, commit, subdir, tree, directory}, 0);
}

void GitCheckout::write(const Place& place, int depth) {
  const WrittenTree written = write_git_tree(place.mirror, place.tree, place.directory);
  if (place.source.lfs && !written.pointers.empty()) fill_pointers(place, written);
  if (place.source.submodules && !written.submodules.empty())
    write_submodules(place, written, depth);
}

void GitCheckout::write_submodules(const Place& place, const WrittenTree& written, int depth) {
  const auto known =
      parse_submodules(place.mirror.settings(place.commit, ".gitmodules", "^submodule\\."));
  for (const auto& [path, commit] : written.submodules) {
    const auto found = known.find(place.in_repository(path));
    if (found == known.end() || found->second.url.empty())
      place.fail(path, "it is a submodule, and .gitmodules does not say of which repository");
    if (found->second.is_left) continue;
    if (depth >= kDeepest)
      place.fail(path, fmt::format("submodules are in each other deeper than {}", kDeepest));
    if (++submodules_ > most_submodules_)
      place.fail(path, fmt::format("there are more than {} submodules", most_submodules_));
    auto source = submodule_source(place.source, found->second.url);
    if (!source) place.fail(path, "a submodule: " + source.error().message);
    source->submodules = true;
    source->lfs = place.source.lfs;
    GitMirror mirror(program_, cache_, git_remote(*source));
    // (Git, too, looks for it in all branches where a server gives no commit by its id.)
    if (!mirror.look_up(commit, {})) mirror.fetch(commit, "", "refs/heads/*");
    const auto root = mirror.look_up(commit, {""});
    if (!root || root->front().type != "tree") mirror.give_up("it lacks the commit " + commit);
    write({mirror, *source, commit, "", root->front().id, place.directory / path}, depth + 1);
  }
}

void GitCheckout::fill_pointers(const Place& place, const WrittenTree& written) {
  const std::vector<TreePointer> files = large_files(place, written.pointers);
  if (files.empty()) return;
  std::set<std::string> ids;
  for (const TreePointer& file : files) {
    if (file.pointer.is_extended)
      place.fail(file.path, "a large file of Git LFS: it wants an extension, and none is run here");
    if (file.pointer.size > 0) ids.insert(file.pointer.id);
  }
  if (!ids.empty())
    place.mirror.fetch_large_files(place.commit, place.subdir, {ids.begin(), ids.end()});
  for (const TreePointer& file : files) {
    if (file.pointer.size == 0) {  // of that there is nothing anywhere
      std::error_code error;
      fs::resize_file(place.directory / file.path, 0, error);
      const Fd emptied(
          open((place.directory / file.path).c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
      if (error || !emptied || !set_tree_date(emptied.get()))
        place.fail(file.path, "cannot write it");
      continue;
    }
    const std::string why = copy_large_file(place.mirror.large_file(file.pointer.id), file,
                                            place.directory / file.path);
    if (why.empty()) continue;
    place.mirror.drop_large_file(file.pointer.id);
    place.fail(file.path, "a large file of Git LFS: " + why + "; run again");
  }
}

// Those of them that `.gitattributes` gives to Git LFS: others only look like it.
std::vector<TreePointer> GitCheckout::large_files(const Place& place,
                                                  const std::vector<TreePointer>& pointers) const {
  std::vector<std::string> paths;
  for (const TreePointer& pointer : pointers) paths.push_back(place.in_repository(pointer.path));
  const ScratchDirectory scratch(cache_ / "checkouts");
  const std::vector<bool> is_large =
      place.mirror.have_filter(place.commit, paths, "lfs", scratch.path() / "index");
  std::vector<TreePointer> large;
  for (std::size_t i = 0; i < pointers.size(); ++i) {
    if (is_large[i]) large.push_back(pointers[i]);
  }
  return large;
}

}  // namespace imagewright
