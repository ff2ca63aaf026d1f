#include "io/git.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/lower_case.h"
#include "io/git_mirror.h"
#include "io/git_program.h"
#include "io/git_tree_writer.h"
#include "io/local_git.h"
#include "io/scratch.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr auto kQuestionTime = std::chrono::seconds(60);
constexpr std::size_t kAskedAtOnce = 8;
// Patterns save output, not traffic; beyond this many, all refs come and are sorted out here.
constexpr std::size_t kMostPatterns = 500;

bool is_hexadecimal(const std::string& text) {
  return text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
}

// The full names that a ref may stand for, the first found wins.
std::vector<std::string> full_names(const std::string& ref) {
  if (ref.empty() || ref == "HEAD") return {"HEAD"};
  if (ref.starts_with("refs/")) return {ref};
  return {"refs/heads/" + ref, "refs/tags/" + ref};
}

// One repository of the run: what is wanted of it and what it said.
struct Repository {
  GitRemote remote;
  std::set<std::string> wanted;  // full names
  std::set<std::string> asked;   // those of them that `answers` or `failure` speaks of
  std::map<std::string, std::string>
      answers;  // full name, or `name^{}` for what a tag peels to -> id
  std::exception_ptr failure;

  bool open() const { return failure == nullptr && wanted != asked; }

  // Only for what it was not asked yet: within a run a ref has one meaning.
  void ask(GitProgram& program) noexcept {
    try {
      std::set<std::string> names;
      std::set_difference(wanted.begin(), wanted.end(), asked.begin(), asked.end(),
                          std::inserter(names, names.end()));
      std::vector<std::string> arguments = {"ls-remote", "-q", "--end-of-options", remote.url};
      if (names.size() <= kMostPatterns) {
        for (const std::string& name : names)
          arguments.insert(arguments.end(), {name, name + "^{}"});
      }
      const Output output = program.speak(remote, {}, arguments, kQuestionTime);
      if (!output.exit.ok())
        throw git_failure(fmt::format("cannot ask '{}' for its refs", remote.shown), remote,
                          output);
      take(output.out, names);
      asked = wanted;
    } catch (...) {
      failure = std::current_exception();
    }
  }

  // Lines of "ID\tNAME". A pattern also brings refs that only end like it, and a server may send
  // what it likes.
  void take(std::string_view lines, const std::set<std::string>& names) {
    while (!lines.empty()) {
      const std::size_t end = std::min(lines.find('\n'), lines.size());
      const std::string_view line = lines.substr(0, end);
      lines.remove_prefix(std::min(end + 1, lines.size()));
      const std::size_t tab = line.find('\t');
      if (tab == std::string_view::npos || !is_full_git_id(line.substr(0, tab))) continue;
      const std::string name(line.substr(tab + 1));
      if (names.count(name.ends_with("^{}") ? name.substr(0, name.size() - 3) : name) != 0) {
        answers[name] = line.substr(0, tab);
      }
    }
  }

  /// The commit of a full name: what it peels to, if it is an annotated tag; "" if there is no such
  /// ref.
  std::string commit(const std::string& name) const {
    for (const std::string& key : {name + "^{}", name}) {
      if (const auto found = answers.find(key); found != answers.end()) return found->second;
    }
    return {};
  }
};

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
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
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

struct Git::Remotes {
  GitProgram program;
  std::map<std::pair<bool, std::string>, Repository> repositories;  // by (local, remote as written)
  int questions = 0;

  Repository& want(const GitSource& source) {
    const std::pair key(source.local, source.remote);
    auto found = repositories.find(key);
    if (found == repositories.end())
      found = repositories.emplace(key, Repository{git_remote(source), {}, {}, {}, {}}).first;
    for (std::string& name : full_names(source.ref)) found->second.wanted.insert(std::move(name));
    return found->second;
  }

  // Puts every open question, a few at once.
  void ask() {
    std::vector<Repository*> open;
    for (auto& [key, repository] : repositories) {
      if (repository.open()) open.push_back(&repository);
    }
    questions += static_cast<int>(open.size());
    std::atomic<std::size_t> next = 0;
    const auto ask_next = [&] {
      for (std::size_t i = next++; i < open.size(); i = next++) open[i]->ask(program);
    };
    std::vector<std::jthread> others;
    try {
      for (std::size_t i = 1; i < std::min(kAskedAtOnce, open.size()); ++i)
        others.emplace_back(ask_next);
    } catch (const std::system_error&) {
      // No further thread is to be had: this one asks what is left.
    }
    ask_next();
  }
};

Git::Git(fs::path cache) : cache_(std::move(cache)), remotes_(std::make_unique<Remotes>()) {}
Git::~Git() = default;

void Git::ask_ahead() {
  settle();
  asking_ = std::async(std::launch::async, [this] { remotes_->ask(); });
}

void Git::settle() {
  if (asking_.valid()) asking_.get();
}

void Git::want(const GitSource& source) {
  settle();
  git_remote(source);  // for its checks
  if (given_commit(source).empty()) remotes_->want(source);
}

ResolvedRef Git::resolve(const GitSource& source) {
  settle();
  const GitRemote remote = git_remote(source);
  ResolvedRef found;
  found.commit = given_commit(source);
  if (found.commit.empty()) {
    const Repository& repository = remotes_->want(source);
    if (repository.open()) remotes_->ask();
    if (repository.failure != nullptr) std::rethrow_exception(repository.failure);
    for (const std::string& name : full_names(source.ref)) {
      found = {repository.commit(name), name};
      if (!found.commit.empty()) break;
    }
    if (found.commit.empty()) throw Error(Error::Kind::Source, missing_ref(remote, source.ref));
  }
  check_checksum(source, found);
  return found;
}

std::string Git::tree(const GitSource& source, const ResolvedRef& at) {
  settle();
  GitMirror mirror(remotes_->program, cache_, git_remote(source));
  const std::vector<std::string> way = way_to(source);
  if (!is_full_git_id(at.commit)) {
    throw Error(Error::Kind::Source, fmt::format("'{}' is not a full commit id", at.commit));
  }
  auto found = mirror.look_up(at.commit, way);
  if (!found) {
    mirror.fetch(at.commit, at.ref);
    found = mirror.look_up(at.commit, way);
  }
  if (!found) mirror.give_up("it lacks the commit " + at.commit);
  if (found->back().type != "tree") explain(mirror, at, way, *found);
  return found->back().id;
}

void Git::write_tree(const GitSource& source, const std::string& tree, const fs::path& directory) {
  GitMirror mirror(remotes_->program, cache_, git_remote(source));
  if (!is_full_git_id(tree))
    throw Error(Error::Kind::Source, fmt::format("'{}' is not a full tree id", tree));
  write_git_tree(mirror, tree, directory);
}

std::string Git::commit_time(const GitSource& source, const std::string& commit) {
  settle();
  GitMirror mirror(remotes_->program, cache_, git_remote(source));
  return imagewright::commit_time(mirror.read_commit(commit));
}

GitCommits Git::commits_between(const GitSource& source, const std::string& before,
                                const std::string& now) {
  constexpr auto kTime = std::chrono::minutes(2);
  constexpr int kMost = 100;
  settle();
  const GitRemote remote = git_remote(source);
  const auto fail = [&](const Output& said) {
    return git_failure(fmt::format("cannot read the history of '{}'", remote.shown), remote, said);
  };
  if (!is_full_git_id(before) || !is_full_git_id(now) || before.size() != now.size()) return {};
  const ScratchDirectory scratch(cache_ / "checkouts");
  const fs::path repository = scratch.path() / "history.git";
  GitProgram& program = remotes_->program;
  std::error_code error;
  fs::create_directory(repository, error);
  Output output = program.work(
      repository, {"init", "-q", "--bare", "--template=",
                   now.size() == 64 ? "--object-format=sha256" : "--object-format=sha1"});
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
  output = program.speak(remote, repository, fetch, kTime);
  if (!output.exit.ok()) throw fail(output);
  GitCommits commits;
  commits.complete = program.work(repository, {"cat-file", "-e", before + "^{commit}"}).exit.ok();
  std::vector<std::string> log = {"log", fmt::format("--max-count={}", kMost),
                                  "--format=%H%x00%cI%x00%s%x00", now};
  if (commits.complete) log.push_back("^" + before);
  output = program.work(repository, log);
  if (!output.exit.ok()) throw fail(output);
  std::string_view rest = output.out;
  const auto next = [&] {
    const std::size_t end = rest.find('\0');
    std::string field(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return field;
  };
  while (!rest.empty()) {
    GitCommit commit{next(), next(), next()};
    if (rest.starts_with('\n')) rest.remove_prefix(1);
    commits.list.push_back(std::move(commit));
  }
  return commits;
}

int Git::questions() const {
  return remotes_->questions;
}

}  // namespace imagewright
