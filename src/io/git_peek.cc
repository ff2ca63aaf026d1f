#include "io/git_peek.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/source.h"
#include "core/take_field.h"
#include "io/memo_file.h"
#include "io/scratch.h"
#include "io/wall_clock.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr auto kTime = std::chrono::minutes(2);
constexpr const char* kRef = "refs/imagewright/peek";
// A server that leaves nothing out is not tried again before.
constexpr std::int64_t kRemembered = std::int64_t{7} * 24 * 3600 * 1000;  // ms
// So many paths are one command line.
constexpr std::size_t kAtOnce = 500;

// "a/b" is 2, the root 0: so many levels of trees have to be there to know its tree's id.
int depth_of(const std::string& directory) {
  return directory.empty()
             ? 0
             : 1 + static_cast<int>(std::count(directory.begin(), directory.end(), '/'));
}

std::string about_filters(const std::string& url) {
  return "a server that filters nothing\n" + url;
}

// Entries "040000 tree ID\tPATH"; of a submodule "160000 commit …", of which there is no tree.
void read_directories(std::string_view list, std::map<std::string, std::string>& trees) {
  constexpr std::string_view kDirectory = "040000 tree ";
  while (!list.empty()) {
    std::string_view path = take_field(list, '\0');
    const std::string_view kind_and_id = take_field(path, '\t');
    if (!kind_and_id.starts_with(kDirectory)) continue;
    const std::string_view id = kind_and_id.substr(kDirectory.size());
    if (is_full_git_id(id)) trees[std::string(path)] = id;
  }
}

}  // namespace

struct GitPeeks::Peek {
  std::once_flag once;
  bool usable = false;
  std::string commit;
  std::map<std::string, std::string> trees;  // by directory
};

GitPeeks::GitPeeks(GitProgram& program, fs::path cache)
    : program_(program), cache_(std::move(cache)) {}
GitPeeks::~GitPeeks() = default;

void GitPeeks::want(const GitRemote& remote, const std::string& directory) {
  const std::lock_guard lock(mutex_);
  wanted_[remote.url].insert(directory);
}

bool GitPeeks::wants_part(const GitRemote& remote) const {
  const std::lock_guard lock(mutex_);
  const auto wanted = wanted_.find(remote.url);
  return wanted != wanted_.end() && !wanted->second.empty() && !wanted->second.rbegin()->empty();
}

std::optional<std::string> GitPeeks::tree(const GitRemote& remote, const std::string& commit,
                                          const std::string& directory) {
  want(remote, directory);
  const Peek* const peek = look(remote, commit);
  if (peek == nullptr) return std::nullopt;
  const auto found = peek->trees.find(directory);
  return found == peek->trees.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string> GitPeeks::commit(const GitRemote& remote, const std::string& commit) {
  const Peek* const peek = look(remote, commit);
  return peek == nullptr ? std::nullopt : std::optional(peek->commit);
}

GitPeeks::Peek* GitPeeks::look(const GitRemote& remote, const std::string& commit) {
  // (Git takes no path for one that can bring later what was left out.)
  if (remote.local) return nullptr;
  Peek* peek = nullptr;
  {
    const std::lock_guard lock(mutex_);
    auto& known = peeks_[{remote.url, commit}];
    if (!known) known = std::make_unique<Peek>();
    peek = known.get();
  }
  std::call_once(peek->once, [&] { fetch(*peek, remote, commit); });
  return peek->usable ? peek : nullptr;
}

void GitPeeks::fetch(Peek& peek, const GitRemote& remote, const std::string& commit) {
  const std::string about = about_filters(remote.url);
  const MemoFile filters_nothing = memo_in(cache_ / "trees", about);
  if (const auto since = filters_nothing.recall();
      since && now_ms() - std::strtoll(since->c_str(), nullptr, 10) < kRemembered) {
    return;
  }
  std::vector<std::string> paths;
  {
    const std::lock_guard lock(mutex_);
    const std::set<std::string>& wanted = wanted_[remote.url];
    paths.assign(wanted.begin(), wanted.end());
  }
  int depth = 0;
  for (const std::string& path : paths) depth = std::max(depth, depth_of(path));

  const ScratchDirectory scratch(cache_ / "checkouts");
  const fs::path repository = scratch.path() / "peek.git";
  std::error_code error;
  fs::create_directory(repository, error);
  if (!program_.make_repository(repository, commit).exit.ok()) return;
  const Output fetched = program_.speak(
      remote, repository,
      {"fetch", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
       "--no-progress", fmt::format("--filter=tree:{}", depth), "--end-of-options", remote.url,
       commit + ":" + kRef},
      kTime);
  // "warning: filtering not recognized by server, ignoring": all of it has come.
  if (fetched.err.find("filtering not recognized") != std::string::npos)
    filters_nothing.remember(std::to_string(now_ms()));
  // (Who cannot be reached, or gives out no commit by its id, is asked for all of it, and that says
  // what is wrong.)
  if (!fetched.exit.ok()) return;

  const Output object = program_.work(repository, {"cat-file", "commit", commit});
  constexpr std::string_view kTree = "tree ";
  if (!object.exit.ok() || !object.out.starts_with(kTree)) return;
  peek.commit = object.out;
  const std::size_t end = object.out.find('\n');
  peek.trees[""] = object.out.substr(kTree.size(), end - kTree.size());
  std::erase(paths, "");
  for (std::size_t begin = 0; begin < paths.size(); begin += kAtOnce) {
    std::vector<std::string> arguments = {"--literal-pathspecs", "ls-tree", "-z", "-d", "-t",
                                          "--full-tree",         commit,    "--"};
    const std::size_t last = std::min(begin + kAtOnce, paths.size());
    for (std::size_t i = begin; i < last; ++i) arguments.push_back(paths[i]);
    const Output listed = program_.work(repository, arguments);
    if (!listed.exit.ok()) return;
    read_directories(listed.out, peek.trees);
  }
  peek.usable = true;
}

}  // namespace imagewright
