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
  std::set<std::string> directories;
  {
    const std::lock_guard lock(mutex_);
    auto& known = peeks_[{remote.url, commit}];
    if (!known) known = std::make_unique<Peek>();
    peek = known.get();
    directories = wanted_[remote.url];
  }
  std::call_once(peek->once, [&] { fetch(*peek, remote, commit, directories); });
  return peek->usable ? peek : nullptr;
}

void GitPeeks::fetch(Peek& peek, const GitRemote& remote, const std::string& commit,
                     const std::set<std::string>& directories) {
  const std::string about = about_filters(remote.url);
  const MemoFile filters_nothing = memo_in(cache_ / "trees", about);
  if (const auto since = filters_nothing.recall();
      since && now_ms() - std::strtoll(since->c_str(), nullptr, 10) < kRemembered) {
    return;
  }
  int depth = 0;
  for (const std::string& directory : directories) depth = std::max(depth, depth_of(directory));

  const ScratchDirectory scratch(cache_ / "checkouts");
  const fs::path repository = scratch.path() / "peek.git";
  std::error_code error;
  fs::create_directory(repository, error);
  const char* const format =
      commit.size() == 64 ? "--object-format=sha256" : "--object-format=sha1";
  if (!program_.work(repository, {"init", "-q", "--bare", "--template=", format}).exit.ok()) return;
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
  std::vector<std::string> paths;
  for (const std::string& directory : directories) {
    if (!directory.empty()) paths.push_back(directory);
  }
  for (std::size_t begin = 0; begin < paths.size(); begin += kAtOnce) {
    std::vector<std::string> arguments = {"--literal-pathspecs", "ls-tree", "-z", "-d", "-t",
                                          "--full-tree",         commit,    "--"};
    const std::size_t last = std::min(begin + kAtOnce, paths.size());
    for (std::size_t i = begin; i < last; ++i) arguments.push_back(paths[i]);
    // "040000 tree ID\tPATH"; of a submodule "160000 commit …".
    const Output listed = program_.work(repository, arguments);
    if (!listed.exit.ok()) return;
    std::string_view rest = listed.out;
    while (!rest.empty()) {
      const std::string_view line = take_field(rest, '\0');
      constexpr std::string_view kDirectory = "040000 tree ";
      const std::size_t tab = line.find('\t');
      if (!line.starts_with(kDirectory) || tab == std::string_view::npos) continue;
      const std::string_view id = line.substr(kDirectory.size(), tab - kDirectory.size());
      if (is_full_git_id(id)) peek.trees[std::string(line.substr(tab + 1))] = id;
    }
  }
  peek.usable = true;
}

}  // namespace imagewright
