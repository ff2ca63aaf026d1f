#include "io/git.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "core/lower_case.h"
#include "core/take_field.h"
#include "io/git_checkout.h"
#include "io/git_mirror.h"
#include "io/git_program.h"
#include "io/git_tree_writer.h"
#include "io/local_git.h"
#include "io/memo_file.h"
#include "io/scratch.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

std::string missing_ref(const GitRemote& remote, const std::string& ref) {
  if (ref.empty() || ref == "HEAD") {
    return fmt::format(
        "'{}' has no commit at its HEAD: it is empty, or its default branch does not exist",
        remote.shown);
  }
  if (ref.starts_with("refs/")) return fmt::format("'{}' has no ref '{}'", remote.shown, ref);
  std::string message = fmt::format("'{}' has no branch or tag '{}'", remote.shown, ref);
  if (ref.size() >= 4 && ref.size() < 64 && is_hexadecimal(ref)) {
    message += "; a commit must be named by its full id, all 40 digits (64 with SHA-256)";
  }
  return message;
}

// The commit that a source names by its full id, as its ref or, without a ref, as its checksum;
// else "".
std::string given_commit(const GitSource& source) {
  const std::string& id = source.ref.empty() ? source.checksum : source.ref;
  return is_full_git_id(id) ? lower_case(id) : "";
}

void check_checksum(const GitSource& source, const ResolvedRef& found) {
  if (found.commit.starts_with(lower_case(source.checksum))) return;
  throw Error(Error::Kind::Source,
              fmt::format("'{}' is commit {}, but its checksum says {}", describe(Source(source)),
                          found.commit, source.checksum));
}

// The directories on the way to the subdirectory, and itself: "a/b" is {"", "a", "a/b"}.
std::vector<std::string> way_to(const GitSource& source) {
  std::vector<std::string> parts;
  std::string_view rest = source.subdir;
  while (!rest.empty()) {
    const std::string_view part = take_field(rest, '/');
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (parts.empty()) {
      throw Error(Error::Kind::Source,
                  fmt::format("'{}' leaves the repository", describe(Source(source))));
    } else {
      parts.pop_back();
    }
  }
  std::vector<std::string> way = {""};
  for (const std::string& part : parts)
    way.push_back(way.size() == 1 ? part : way.back() + "/" + part);
  return way;
}

// The directory whose tree is enough to build from; "" is the root: what says where submodules and
// large files are is there.
std::string wanted_part(const GitSource& source) {
  return source.submodules || source.lfs ? "" : way_to(source).back();
}

// Why there is no directory at the end of the way: the first part that is none says it.
[[noreturn]] void explain(GitMirror& mirror, const ResolvedRef& at,
                          const std::vector<std::string>& way,
                          const std::vector<GitMirror::Object>& found) {
  const auto part = static_cast<std::size_t>(
      std::find_if(found.begin(), found.end(),
                   [](const auto& object) { return object.type != "tree"; }) -
      found.begin());
  const std::string& path = way[part];
  if (part == 0) mirror.give_up("it lacks the tree of " + at.commit);
  const std::string name = path.substr(path.rfind('/') + 1);
  unsigned type = 0;
  mirror.read_trees({found[part - 1].id},
                    [&](std::size_t, const std::vector<GitMirror::Entry>& entries) {
                      for (const GitMirror::Entry& entry : entries) {
                        if (entry.name == name) type = entry.mode & S_IFMT;
                      }
                    });
  // The tree names a directory that could not be looked up: that is not absence.
  if (type == S_IFDIR) mirror.give_up("it lacks the tree of '" + path + "'");
  std::string why = "is not a directory";
  if (type == 0) why = "does not exist";
  if (type == GitMirror::kSubmodule) why = "is a submodule";
  if (type == S_IFLNK) why = "is a symlink; a subdirectory cannot be reached through one";
  throw Error(Error::Kind::Source, fmt::format("'{}' at {}: '{}' {}", mirror.remote().shown,
                                               at.commit.substr(0, 12), path, why));
}

}  // namespace

Git::Git(fs::path cache, GitLimits limits)
    : cache_(std::move(cache)),
      program_(limits),
      questions_(program_, limits),
      fetches_(questions_),
      peeks_(program_, cache_),
      tree_fetches_(program_, cache_) {}

void Git::want(const GitSource& source) {
  peeks_.want(git_remote(source), wanted_part(source));
  if (given_commit(source).empty()) questions_.want(source);
}

ResolvedRef Git::resolve(const GitSource& source) {
  const GitRemote remote = git_remote(source);
  ResolvedRef found;
  found.commit = given_commit(source);
  if (found.commit.empty()) {
    RefAnswer answer = questions_.answer(source);
    if (answer.commit.empty()) throw Error(Error::Kind::Source, missing_ref(remote, source.ref));
    found = {std::move(answer.commit), std::move(answer.ref), std::move(answer.branch)};
  }
  check_checksum(source, found);
  return found;
}

std::string Git::tree(const GitSource& source, const ResolvedRef& at) {
  const std::vector<std::string> way = way_to(source);
  // (Whichever repository it is in, a commit has one tree.)
  const std::string about = "tree of a commit's directory\n" + at.commit + '\n' + way.back();
  const MemoFile memo = memo_in(cache_ / "trees", about);
  if (auto known = memo.recall(); known && is_full_git_id(*known)) return *std::move(known);
  GitMirror mirror(program_, cache_, git_remote(source), &fetches_);
  if (!is_full_git_id(at.commit)) {
    throw Error(Error::Kind::Source, fmt::format("'{}' is not a full commit id", at.commit));
  }
  auto found = mirror.look_up(at.commit, way);
  if (!found) {
    peeks_.want(mirror.remote(), wanted_part(source));
    // (A new commit has another root, so who wants that is going to want all of it.)
    if (peeks_.wants_part(mirror.remote())) {
      if (auto id = peeks_.tree(mirror.remote(), at.commit, way.back())) {
        memo.remember(*id);
        return *std::move(id);
      }
    }
    mirror.fetch(at.commit, at.ref, source.fetch);
    found = mirror.look_up(at.commit, way);
  }
  if (!found) mirror.give_up("it lacks the commit " + at.commit);
  if (found->back().type != "tree") explain(mirror, at, way, *found);
  memo.remember(found->back().id);
  return found->back().id;
}

bool Git::write_tree(const GitSource& source, const ResolvedRef& at, const std::string& tree,
                     const fs::path& directory, std::uint64_t most_bytes) {
  GitMirror mirror(program_, cache_, git_remote(source), &fetches_);
  if (!is_full_git_id(tree))
    throw Error(Error::Kind::Source, fmt::format("'{}' is not a full tree id", tree));
  const std::vector<std::string> way = way_to(source);
  if (source.submodules || source.lfs) {
    if (most_bytes != kAnySize) return false;
    // What says where those are is at its root.
    if (!mirror.look_up(at.commit, {})) mirror.fetch(at.commit, at.ref, source.fetch);
    GitCheckout(program_, cache_).write(mirror, source, at.commit, way.back(), tree, directory);
    return true;
  }
  const bool is_there = mirror.look_up(at.commit, {}) || mirror.look_up(tree, {});
  // (Of a part of the repository that part is enough.)
  const bool is_part = way.size() > 1;
  if (!is_there && !(is_part && tree_fetches_.fetch(mirror.remote(), tree)))
    mirror.fetch(at.commit, at.ref, source.fetch);
  return write_git_tree(mirror, tree, directory, most_bytes).complete;
}

std::string Git::commit_time(const GitSource& source, const ResolvedRef& at) {
  GitMirror mirror(program_, cache_, git_remote(source), &fetches_);
  if (!mirror.look_up(at.commit, {})) {
    if (const auto commit = peeks_.commit(mirror.remote(), at.commit))
      return imagewright::commit_time(*commit);
    mirror.fetch(at.commit, at.ref, source.fetch);
  }
  return imagewright::commit_time(mirror.read_commit(at.commit));
}

GitCommits Git::commits_between(const GitSource& source, const std::string& before,
                                const std::string& now) {
  constexpr auto kTime = std::chrono::minutes(2);
  constexpr int kMost = 100;
  const GitRemote remote = git_remote(source);
  const auto fail = [&](const Output& said) {
    return git_failure(fmt::format("cannot read the history of '{}'", remote.shown), remote, said);
  };
  if (!is_full_git_id(before) || !is_full_git_id(now) || before.size() != now.size()) return {};
  const ScratchDirectory scratch(cache_ / "checkouts");
  const fs::path repository = scratch.path() / "history.git";
  std::error_code error;
  fs::create_directory(repository, error);
  Output output = program_.make_repository(repository, now);
  if (!output.exit.ok()) throw fail(output);
  std::vector<std::string> fetch = {"fetch",
                                    "-q",
                                    fmt::format("--depth={}", kMost + 1),
                                    "--no-tags",
                                    "--no-write-fetch-head",
                                    "--no-recurse-submodules"};
  // (Git takes no path for one that can bring later what was left out.)
  if (!remote.local) fetch.emplace_back("--filter=tree:0");
  fetch.insert(fetch.end(), {"--end-of-options", remote.url, now + ":refs/imagewright/now"});
  output = program_.speak(remote, repository, fetch, kTime);
  if (!output.exit.ok()) throw fail(output);
  GitCommits commits;
  commits.complete = program_.work(repository, {"cat-file", "-e", before + "^{commit}"}).exit.ok();
  std::vector<std::string> log = {"log", fmt::format("--max-count={}", kMost),
                                  "--format=%H%x00%cI%x00%s%x00", now};
  if (commits.complete) log.push_back("^" + before);
  output = program_.work(repository, log);
  if (!output.exit.ok()) throw fail(output);
  std::string_view rest = output.out;
  const auto next = [&] { return std::string(take_field(rest, '\0')); };
  while (!rest.empty()) {
    GitCommit commit{next(), next(), next()};
    if (rest.starts_with('\n')) rest.remove_prefix(1);
    commits.list.push_back(std::move(commit));
  }
  return commits;
}

}  // namespace imagewright
