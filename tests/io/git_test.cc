// The real git against real repositories: on the disk, and behind git daemon, http-backend and sshd
// on loopback.
#include "io/git.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>
#include <thread>

#include "git_fixture.h"
#include "io/error.h"
#include "io/git_mirror.h"
#include "io/git_program.h"
#include "io/process.h"
#include "scripted_server.h"

namespace imagewright {
namespace {

using namespace git_fixture;

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using GitResolveTest = GitTest;
using GitTreeTest = GitTest;
using GitWriteTest = GitTest;

class GitServerTest : public GitTest {
 protected:
  std::vector<std::string> gits_of(const std::function<void()>& action);
};

// --- what a ref means ---

TEST_F(GitResolveTest, NoRefIsTheDefaultBranchWhateverItsName) {
  in_repo("branch -m trunk");
  const std::string id = in_repo("rev-parse HEAD");
  in_repo("checkout -q -b other");
  commit("file", "two\n");
  in_repo("checkout -q trunk");
  const ResolvedRef found = Git(cache()).resolve(local());
  EXPECT_EQ(found.commit, id);
  EXPECT_EQ(found.ref, "HEAD");
}

TEST_F(GitResolveTest, BranchesTagsAndFullRefs) {
  const std::string first = in_repo("rev-parse HEAD");
  in_repo("tag light");
  in_repo("tag -a heavy -m heavy");
  in_repo("tag -a heavier heavy -m heavier");
  in_repo("update-ref refs/pull/7/head HEAD");
  const std::string second = commit("file", "two\n");
  in_repo("branch release/1.2");
  in_repo("branch both");
  in_repo("tag both " + first);

  const std::vector<std::tuple<std::string, std::string, std::string>> expected = {
      {"main", second, "refs/heads/main"},
      {"release/1.2", second, "refs/heads/release/1.2"},
      {"light", first, "refs/tags/light"},
      {"heavy", first, "refs/tags/heavy"},
      {"heavier", first, "refs/tags/heavier"},
      {"refs/tags/heavy", first, "refs/tags/heavy"},
      {"both", second, "refs/heads/both"},
      {"refs/tags/both", first, "refs/tags/both"},
      {"refs/pull/7/head", first, "refs/pull/7/head"},
      {"", second, "HEAD"},
  };
  Git git(cache());
  for (const auto& [ref, commit, name] : expected) git.want(local(ref));
  for (const auto& [ref, commit, name] : expected) {
    const ResolvedRef found = git.resolve(local(ref));
    EXPECT_EQ(found.commit, commit) << ref;
    EXPECT_EQ(found.ref, name) << ref;
  }
  EXPECT_EQ(git.questions(), 1);
}

TEST_F(GitResolveTest, AFullCommitIdNeedsNoQuestion) {
  Git git(cache());
  GitSource source =
      remote("https://nowhere.invalid/x.git", "ABCDEF0123456789ABCDEF0123456789ABCDEF01");
  git.want(source);
  EXPECT_EQ(git.resolve(source).commit, "abcdef0123456789abcdef0123456789abcdef01");
  EXPECT_EQ(git.resolve(source).ref, "");
  EXPECT_EQ(git.questions(), 0);
  source.checksum = "abcdee";
  EXPECT_THAT(error_of([&] { git.resolve(source); }), HasSubstr("checksum"));
}

TEST_F(GitResolveTest, OneQuestionARepositoryUnlessMoreIsWantedLater) {
  git("clone -q --bare repo second.git");
  GitSource second = local("main");
  second.remote = root_ / "second.git";
  in_repo("branch a");
  in_repo("branch b");
  Git git(cache());
  for (const GitSource& source : {local("a"), local("b"), local(), second}) git.want(source);
  for (const GitSource& source : {local("a"), local("b"), local(), second, local("a")})
    git.resolve(source);
  EXPECT_EQ(git.questions(), 2);
  git.resolve(local("main"));
  EXPECT_EQ(git.questions(), 3);
}

TEST_F(GitResolveTest, ARefKeepsItsMeaningForTheRun) {
  Git git(cache());
  const std::string before = git.resolve(local("main")).commit;
  commit("file", "two\n");
  in_repo("branch later");
  git.resolve(local("later"));
  EXPECT_EQ(git.resolve(local("main")).commit, before);
}

TEST_F(GitResolveTest, ARefThatOnlyEndsLikeItIsAnother) {
  in_repo("branch deep/x");
  in_repo("update-ref refs/remotes/refs/heads/y HEAD");
  EXPECT_THAT(resolve_error(local("x")),
              AllOf(HasSubstr("has no branch or tag 'x'"), HasSubstr(root_ / "repo")));
  EXPECT_THAT(resolve_error(local("y")), HasSubstr("has no branch or tag 'y'"));
  EXPECT_THAT(resolve_error(local("ma*")), HasSubstr("'ma*'"));
  EXPECT_THAT(resolve_error(local("refs/heads/x")), HasSubstr("has no ref 'refs/heads/x'"));
}

TEST_F(GitResolveTest, AnAbbreviatedIdGetsAHint) {
  EXPECT_THAT(resolve_error(local(in_repo("rev-parse --short HEAD"))), HasSubstr("full id"));
  EXPECT_THAT(resolve_error(local("nothing")), Not(HasSubstr("full id")));
}

TEST_F(GitResolveTest, AnEmptyRepository) {
  git("init -q empty");
  GitSource source = local();
  source.remote = root_ / "empty";
  EXPECT_THAT(resolve_error(source), HasSubstr("empty"));
}

TEST_F(GitResolveTest, TheChecksumIsAPrefixOfTheCommit) {
  GitSource source = local("main");
  source.checksum = in_repo("rev-parse HEAD").substr(0, 9);
  EXPECT_EQ(Git(cache()).resolve(source).commit, in_repo("rev-parse HEAD"));
  source.checksum = "0123456";
  EXPECT_THAT(resolve_error(source), AllOf(HasSubstr("checksum"), HasSubstr("0123456")));
}

TEST_F(GitResolveTest, ARepositoryThatFailsHindersNoOther) {
  GitSource missing = local("main");
  missing.remote = root_ / "missing";
  Git git(cache());
  git.want(missing);
  git.want(local("main"));
  EXPECT_EQ(git.resolve(local("main")).commit, in_repo("rev-parse HEAD"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(error_of([&] { git.resolve(missing); }), HasSubstr(root_ / "missing"));
  }
  EXPECT_EQ(git.questions(), 2);
}

TEST_F(GitResolveTest, ManyRepositoriesAndManyRefs) {
  std::vector<GitSource> sources;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "copy" + std::to_string(i);
    git("clone -q --bare repo " + name);
    sources.push_back(local("main"));
    sources.back().remote = root_ / name;
  }
  for (int i = 0; i < 600; ++i) sources.push_back(local("none" + std::to_string(i)));
  Git git(cache());
  for (const GitSource& source : sources) git.want(source);
  for (int i = 0; i < 20; ++i)
    EXPECT_FALSE(git.resolve(sources[static_cast<std::size_t>(i)]).commit.empty());
  EXPECT_THAT(error_of([&] { git.resolve(sources.back()); }), HasSubstr("none599"));
  EXPECT_FALSE(git.resolve(local("main")).commit.empty());
  EXPECT_EQ(git.questions(), 22);
}

// --- what is refused ---

TEST(GitRemoteTest, CredentialsAreTakenOutOfTheUrl) {
  struct Case {
    const char* remote;
    const char* url;
    const char* user;
    const char* authorization;
    bool ssh;
  };
  const std::vector<Case> cases = {
      {"https://h.example/a.git", "https://h.example/a.git", "", "", false},
      {"https://me:p%40ss@h.example:8/a.git", "https://h.example:8/a.git", "",
       "Basic bWU6cEBzcw==", false},
      {"http://token:@h.example/a@b.git", "http://h.example/a@b.git", "", "Basic dG9rZW46", false},
      {"https://me@h.example/a.git", "https://h.example/a.git", "me", "", false},
      {"ssh://git:pass@h.example/a.git", "ssh://git@h.example/a.git", "", "", true},
      {"git@h.example:a/b.git", "git@h.example:a/b.git", "", "", true},
      {"git://me:pass@h.example/a.git", "git://h.example/a.git", "", "", false},
  };
  for (const Case& expected : cases) {
    GitSource source;
    source.remote = expected.remote;
    const GitRemote remote = git_remote(source);
    EXPECT_EQ(remote.url, expected.url);
    EXPECT_EQ(remote.user, expected.user) << expected.remote;
    EXPECT_EQ(remote.authorization, expected.authorization) << expected.remote;
    EXPECT_EQ(remote.ssh, expected.ssh) << expected.remote;
  }
}

TEST_F(GitResolveTest, NothingCanBecomeAnOption) {
  const std::string evil = "--upload-pack=touch " + (root_ / "pwned").string();
  GitSource by_remote = local();
  by_remote.remote = evil;
  by_remote.local = false;
  for (const GitSource& source : {by_remote, local(evil), local("main", "-x")}) {
    EXPECT_NE(resolve_error(source), "");
    EXPECT_NE(error_of([&] { Git(cache()).want(source); }), "");
    EXPECT_NE(error_of([&] {
                Git(cache()).tree(source, {in_repo("rev-parse HEAD"), "HEAD"});
              }),
              "");
    EXPECT_NE(error_of([&] {
                Git(cache()).write_tree(source, head(), in_repo("rev-parse HEAD^{tree}"),
                                        fresh_directory());
              }),
              "");
  }
  EXPECT_FALSE(fs::exists(root_ / "pwned"));
}

// Against what a user's environment may hold; what only git itself could make of it is not shown
// here by its effects.
TEST_F(GitResolveTest, WhatEveryGitIsStartedWith) {
  const std::string real = find_program("git");
  fs::create_directories(root_ / "bin");
  write_file(root_ / "bin/git", "#!/bin/sh\n{ echo \"== $*\"; env; } >>'" +
                                    (root_ / "calls").string() + "'\nexec " + real + " \"$@\"\n");
  fs::permissions(root_ / "bin/git", fs::perms(0755));
  const Variable path("PATH", (root_ / "bin").string() + ":" + std::getenv("PATH"));
  const Variable allow("GIT_ALLOW_PROTOCOL", "ext:file:https");
  const Variable prompt("GIT_TERMINAL_PROMPT", "1");
  const Variable ask("GIT_ASKPASS", "/bin/false");
  const Variable ask_ssh("SSH_ASKPASS_REQUIRE", "force");
  const Variable lazy("GIT_NO_LAZY_FETCH", "0");
  const Variable language("LC_ALL", "C.UTF-8");
  const Variable elsewhere("GIT_DIR", root_ / "elsewhere");
  const Variable objects("GIT_OBJECT_DIRECTORY", root_ / "elsewhere");
  const Variable parameters("GIT_CONFIG_PARAMETERS", "'core.hookspath'='/evil'");
  written(local());
  resolve_error(remote("git://127.0.0.1:9/none"));
  std::istringstream calls(read_file(root_ / "calls"));
  std::vector<std::string> call;
  std::vector<std::vector<std::string>> all;
  for (std::string line; std::getline(calls, line);) {
    if (line.starts_with("== ")) all.emplace_back();
    all.back().push_back(line);
  }
  EXPECT_GE(all.size(), 4u);
  for (const auto& one : all) {
    SCOPED_TRACE(one.front());
    // (One that asks for the user's settings speaks to nobody.)
    const auto has = [&](const std::string& line) {
      return std::find(one.begin(), one.end(), line) != one.end();
    };
    EXPECT_TRUE(has("GIT_ALLOW_PROTOCOL=") || has("GIT_ALLOW_PROTOCOL=file") ||
                has("GIT_ALLOW_PROTOCOL=https:http:ssh:git"));
    EXPECT_TRUE(has("GIT_TERMINAL_PROMPT=0"));
    EXPECT_TRUE(has("GIT_ASKPASS="));
    EXPECT_TRUE(has("SSH_ASKPASS_REQUIRE=never"));
    EXPECT_TRUE(has("GIT_NO_LAZY_FETCH=1"));
    EXPECT_TRUE(has("LC_ALL=C"));
    for (const std::string& line : one) {
      EXPECT_FALSE(line.starts_with("GIT_OBJECT_DIRECTORY=") ||
                   line.starts_with("GIT_CONFIG_PARAMETERS='core.hookspath'"))
          << line;
    }
    for (const char* setting : {"core.hooksPath=/dev/null", "gc.auto=0", "fetch.fsckObjects=true"})
      EXPECT_THAT(one.front(), HasSubstr(setting));
  }
}

TEST_F(GitResolveTest, OnlyTheKnownProtocols) {
  configure("[protocol]\nallow = always\n");
  for (const std::string& url :
       {"ext::touch " + (root_ / "pwned").string(), "file://" + (root_ / "repo").string(),
        (root_ / "repo").string(), std::string("ftp://127.0.0.1/x.git")}) {
    EXPECT_NE(resolve_error(remote(url)), "") << url;
    // The second line of defence: git itself may not, either.
    GitRemote unchecked;
    unchecked.url = url;
    const Output output = GitProgram().speak(unchecked, {}, {"ls-remote", "--end-of-options", url},
                                             std::chrono::seconds(9));
    EXPECT_THAT(output.err, HasSubstr("not allowed")) << url;
  }
  EXPECT_FALSE(fs::exists(root_ / "pwned"));
}

TEST_F(GitResolveTest, ALocalSourceIsAPathAndOnlyThat) {
  GitSource source = local();
  source.remote = "repo";
  EXPECT_THAT(resolve_error(source), HasSubstr("not an absolute path"));
  configure("[url \"https://127.0.0.1:1/\"]\ninsteadOf = " + root_.string() + "/\n");
  EXPECT_THAT(resolve_error(local()), HasSubstr("not allowed"));
}

TEST_F(GitResolveTest, TheRepositoryOfTheWorkingDirectoryHasNoSay) {
  in_repo("config url.https://127.0.0.1:1/.insteadOf " + root_.string() + "/");
  const fs::path before = fs::current_path();
  fs::current_path(root_ / "repo");
  const Variable git_dir("GIT_DIR", root_ / "repo/.git");
  EXPECT_EQ(resolve_error(local()), "");
  EXPECT_EQ(tree_error(local()), "");
  fs::current_path(before);
}

TEST_F(GitResolveTest, AHostThatIsNotThereFailsFast) {
  const auto start = std::chrono::steady_clock::now();
  for (const char* url :
       {"git://127.0.0.1:1/x", "http://me:secret@127.0.0.1:1/x.git", "ssh://me@127.0.0.1:1/x"}) {
    EXPECT_THAT(resolve_error(remote(url)),
                AllOf(HasSubstr("127.0.0.1"), testing::ContainsRegex("refused|Couldn't connect"),
                      Not(HasSubstr("secret"))));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_F(GitResolveTest, WithoutGit) {
  const Variable path("PATH", root_ / "home");
  try {
    Git(cache()).resolve(local());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::Missing);
  }
}

// --- the tree of a commit ---

TEST_F(GitTreeTest, RootAndSubdirectories) {
  commit("a/b/c", "x\n");
  EXPECT_EQ(tree_of(local()), in_repo("rev-parse HEAD^{tree}"));
  for (const char* subdir : {"a/b", "/a/b/", "a//./b", "a/x/../b"}) {
    EXPECT_EQ(tree_of(local("main", subdir)), in_repo("rev-parse HEAD:a/b")) << subdir;
  }
  EXPECT_NE(tree_error(local("main", "a/../../b")), "");
}

TEST_F(GitTreeTest, ACommitElsewhereLeavesTheSubdirectorysTree) {
  commit("a/file", "x\n");
  const std::string before = tree_of(local("main", "a"));
  commit("b/file", "x\n");
  EXPECT_EQ(tree_of(local("main", "a")), before);
  commit("a/file", "y\n");
  EXPECT_NE(tree_of(local("main", "a")), before);
}

TEST_F(GitTreeTest, WhatIsNoDirectorySaysWhatItIs) {
  fs::create_directory_symlink("dir", root_ / "repo/link");
  fs::create_directory_symlink("/etc", root_ / "repo/out");
  const std::string id = commit("dir/file", "x\n");
  in_repo("update-index --add --cacheinfo 160000," + id + ",module");
  in_repo("commit -q -m module");
  EXPECT_THAT(tree_error(local("main", "link")), HasSubstr("'link' is a symlink"));
  EXPECT_THAT(tree_error(local("main", "link/file")), HasSubstr("'link' is a symlink"));
  EXPECT_THAT(tree_error(local("main", "out")), HasSubstr("'out' is a symlink"));
  EXPECT_THAT(tree_error(local("main", "dir/file")), HasSubstr("'dir/file' is not a directory"));
  EXPECT_THAT(tree_error(local("main", "file/x")), HasSubstr("'file' is not a directory"));
  EXPECT_THAT(tree_error(local("main", "dir/no/where")), HasSubstr("'dir/no' does not exist"));
  EXPECT_THAT(tree_error(local("main", "module")), HasSubstr("'module' is a submodule"));
}

TEST_F(GitTreeTest, TheMirrorIsPrivateAndShallowAndFetchesOnce) {
  commit("file", "two\n");
  umask(0);
  tree_of(local());
  umask(022);
  EXPECT_EQ(mode_of(mirror()), 0700U);
  EXPECT_EQ(mode_of(mirror().parent_path()), 0700U);
  EXPECT_EQ(git("--git-dir=" + mirror().string() + " rev-list --all"), in_repo("rev-parse HEAD"));
  fs::rename(root_ / "repo", root_ / "gone");  // whoever has the commit needs no repository
  Git git(cache());
  EXPECT_NE(git.tree(local(), {this->git("-C gone rev-parse HEAD"), "HEAD"}), "");
}

TEST_F(GitTreeTest, WhatIsKnownOfACommitNeedsNoMirror) {
  const std::string id = tree_of(local());
  fs::remove_all(cache() / "git");
  Git git(cache());
  const ResolvedRef at = git.resolve(local());
  EXPECT_EQ(git.tree(local(), at), id);
  EXPECT_FALSE(fs::exists(cache() / "git"));
  // But to write it out it is fetched.
  const fs::path out = fresh_directory();
  git.write_tree(local(), at, id, out);
  EXPECT_EQ(read_file(out / "file"), "one\n");
}

TEST_F(GitTreeTest, AMirrorThatIsDeletedOrBrokenIsMadeAnew) {
  const std::string tree = tree_of(local());
  const auto pack = [&] { return shell("ls '" + mirror().string() + "'/objects/pack/*.pack"); };
  const std::vector<std::function<void()>> harms = {
      [&] { fs::remove_all(mirror()); },
      [&] { fs::remove_all(cache()); },
      [&] { write_file(mirror() / "HEAD", "garbage"); },
      [&] { write_file(mirror() / "config", "[garbage"); },
      [&] { fs::remove_all(mirror() / "objects"); },
      [&] { fs::remove_all(mirror() / "refs"); },
      [&] { fs::remove(pack()); },
      [&] {
        fs::permissions(pack(), fs::perms::owner_write,
                        fs::perm_options::add);  // git makes it 0444
        fs::resize_file(pack(), 20);
      },
      [&] { shell("chmod 777 " + mirror().string()); },
      [&] {
        const fs::path path = mirror();
        fs::remove_all(path);
        write_file(path, "a file");
      },
  };
  for (std::size_t i = 0; i < harms.size(); ++i) {
    harms[i]();
    EXPECT_EQ(tree_of(local()), tree) << "harm " << i;
    EXPECT_EQ(mode_of(mirror()), 0700U) << "harm " << i;
  }
}

TEST_F(GitTreeTest, AMirrorDoesNotGrowForEver) {
  std::vector<std::string> commits;
  const auto packs = [&] {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(mirror() / "objects/pack"))
      count += entry.path().extension() == ".pack" ? 1 : 0;
    return count;
  };
  for (int i = 0; i < 49; ++i) {
    commits.push_back(commit("file", std::to_string(i) + "\n"));
    tree_of(local(commits.back()));
  }
  EXPECT_EQ(packs(), 49u);
  // The first was not wanted for long, the second is wanted now.
  const auto then = fs::file_time_type::clock::now() - std::chrono::hours(24 * 40);
  for (const int i : {0, 1})
    fs::last_write_time(mirror() / "refs/imagewright" / commits[static_cast<std::size_t>(i)], then);
  EXPECT_EQ(read_file(written(local(commits[1])) / "file"), "1\n");
  tree_of(local(commit("file", "last\n")));
  EXPECT_EQ(packs(), 1u);
  EXPECT_FALSE(fs::exists(mirror() / "refs/imagewright" / commits[0]));
  EXPECT_EQ(read_file(written(local(commits[1])) / "file"), "1\n");
  EXPECT_EQ(read_file(written(local(commits[30])) / "file"), "30\n");
  EXPECT_EQ(packs(), 1u);
  // What went is fetched again.
  EXPECT_EQ(read_file(written(local(commits[0])) / "file"), "0\n");
  EXPECT_EQ(packs(), 2u);
}

TEST_F(GitTreeTest, AnAnnotatedTagNamedByItsOwnIdIsItsCommit) {
  in_repo("tag -a v1 -m v1");
  in_repo("tag -a v2 -m v2 v1");
  in_repo("config uploadpack.allowAnySHA1InWant true");
  const std::string tree = in_repo("rev-parse HEAD^{tree}");
  for (const char* tag : {"v1", "v2"}) {
    const std::string id = in_repo(std::string("rev-parse ") + tag);
    EXPECT_EQ(tree_of(local(id)), tree) << tag;
    EXPECT_EQ(tree_of(local(id)), tree) << tag;
  }
}

TEST_F(GitTreeTest, AMirrorWithADamagedFileIsDroppedWithAClearError) {
  Git git(cache());
  const std::string tree = git.tree(local(), git.resolve(local()));
  const std::string dir = "--git-dir=" + mirror().string() + " ";
  shell("cd '" + mirror().string() +
        "' && mv objects/pack/*.pack p && rm -f objects/pack/* && git --git-dir=. unpack-objects "
        "-q <p");
  const std::string blob = in_repo("rev-parse HEAD:file");
  fs::remove(mirror() / "objects" / blob.substr(0, 2) / blob.substr(2));
  EXPECT_THAT(error_of([&] { git.write_tree(local(), head(), tree, fresh_directory()); }),
              HasSubstr("run again"));
  EXPECT_EQ(read_file(written(local()) / "file"), "one\n");
}

TEST_F(GitTreeTest, AMissingTreeIsNotAnAbsentDirectory) {
  commit("a/b/file", "x\n");
  tree_of(local());
  shell("cd '" + mirror().string() +
        "' && mv objects/pack/*.pack p && rm -f objects/pack/* && git --git-dir=. unpack-objects "
        "-q <p");
  const std::string id = in_repo("rev-parse HEAD:a/b");
  fs::remove(mirror() / "objects" / id.substr(0, 2) / id.substr(2));
  EXPECT_THAT(tree_error(local("main", "a/b")), HasSubstr("run again"));
  EXPECT_EQ(tree_of(local("main", "a/b")), id);
}

TEST_F(GitTreeTest, AnotherUsersMirrorIsNotTouched) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  tree_of(local());
  ASSERT_EQ(chown(mirror().c_str(), 12345, 12345), 0);
  EXPECT_THAT(tree_error(local()), HasSubstr("belongs to another user"));
}

TEST_F(GitTreeTest, WhatAKilledFetchLeftIsSweptAway) {
  tree_of(local());
  commit("file", "two\n");
  for (const char* stale : {"shallow.lock", "packed-refs.lock", "objects/pack/tmp_pack_abc",
                            "objects/pack/tmp_idx_abc"}) {
    write_file(mirror() / stale, "stale");
  }
  write_file(cache() / "git" / mirror().filename().replace_extension(".new") / "HEAD", "half");
  EXPECT_EQ(tree_of(local()), in_repo("rev-parse HEAD^{tree}"));
  EXPECT_FALSE(fs::exists(mirror() / "shallow.lock"));
  EXPECT_FALSE(fs::exists(mirror() / "objects/pack/tmp_pack_abc"));
}

TEST_F(GitTreeTest, ManyAtOnceIntoOneMirror) {
  std::vector<std::string> ids;
  ids.reserve(12);
  for (int i = 0; i < 12; ++i) ids.push_back(commit("file", std::to_string(i) + "\n"));
  std::vector<pid_t> children;
  children.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); i += 2) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(tree_error(local(ids[i])).empty() ? 0 : 1);
    children.push_back(child);
  }
  std::vector<std::string> errors(ids.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < ids.size(); i += 2) {
      threads.emplace_back([&, i] { errors[i] = tree_error(local(ids[i])); });
    }
  }
  EXPECT_THAT(errors, testing::Each(""));
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

TEST_F(GitTreeTest, AServerThatGivesNoCommitByItsId) {
  const std::string first = in_repo("rev-parse HEAD");
  in_repo("tag -a heavy -m heavy");
  commit("file", "two\n");
  configure("[protocol]\nversion = 0\n");
  // The commit under the tag is nobody's tip: only the tag itself can be fetched.
  EXPECT_EQ(tree_of(local("heavy")), in_repo("rev-parse heavy^{tree}"));
  fs::remove_all(cache());
  EXPECT_THAT(tree_error(local(first)), HasSubstr("unadvertised object"));
}

TEST_F(GitTreeTest, ACommitInTheHistoryOfARefOfSuchAServer) {
  const std::string first = in_repo("rev-parse HEAD");
  commit("file", "two\n");
  commit("file", "three\n");
  configure("[protocol]\nversion = 0\n[user]\nname = T\nemail = t@example.com\n");
  GitSource source = local(first);
  source.fetch = "refs/heads/main";
  EXPECT_EQ(tree_of(source), in_repo("rev-parse " + first + "^{tree}"));
  fs::remove_all(cache());
  // Also into a mirror that has commits without their history, and from all branches.
  EXPECT_EQ(tree_of(local("main")), in_repo("rev-parse main^{tree}"));
  source.fetch = "refs/heads/*";
  EXPECT_EQ(tree_of(source), in_repo("rev-parse " + first + "^{tree}"));

  in_repo("checkout -q --orphan other");
  commit("file", "four\n");
  GitSource elsewhere = local(in_repo("rev-parse main~1"));
  elsewhere.fetch = "refs/heads/other";
  fs::remove_all(cache());
  EXPECT_THAT(tree_error(elsewhere), HasSubstr("in the history of 'refs/heads/other'"));
  elsewhere.fetch = "refs/heads/none";
  EXPECT_THAT(tree_error(elsewhere), HasSubstr("cannot fetch"));
}

TEST_F(GitTreeTest, WhatAKillLeftOfAHistoryStoppedAllThatCameLater) {
  const std::string first = in_repo("rev-parse HEAD");
  commit("file", "two\n");
  const std::string second = in_repo("rev-parse HEAD");
  commit("file", "three\n");
  configure("[protocol]\nversion = 0\n[user]\nname = T\nemail = t@example.com\n");
  GitSource source = local(first);
  source.fetch = "refs/heads/main";
  tree_of(source);
  for (const auto& entry : fs::recursive_directory_iterator(mirror() / "refs/history")) {
    if (entry.is_regular_file()) write_file(entry.path().string() + ".lock", "");
  }
  const std::string third = commit("file", "four\n");
  commit("file", "five\n");
  source.ref = third;
  EXPECT_EQ(tree_of(source), in_repo("rev-parse " + third + "^{tree}"));
  // A branch in the place of a directory of branches.
  in_repo("branch -m main side");
  in_repo("branch -m side main/side");
  source.ref = second;
  source.fetch = "refs/heads/main/side";
  EXPECT_EQ(tree_of(source), in_repo("rev-parse " + second + "^{tree}"));
}

TEST_F(GitTreeTest, ARefThatMovedWhileItWasFetched) {
  configure("[protocol]\nversion = 0\n[user]\nname = T\nemail = t@example.com\n");
  Git git(cache());
  const ResolvedRef at = git.resolve(local("main"));
  commit("file", "two\n");
  EXPECT_THAT(error_of([&] { git.tree(local("main"), at); }),
              HasSubstr("moved while it was fetched; run again"));
  EXPECT_THAT(error_of([&] { git.tree(local("main"), at); }),
              HasSubstr("moved while it was fetched; run again"));
}

TEST_F(GitTreeTest, WhatIsNoCommit) {
  EXPECT_THAT(tree_error(local(in_repo("rev-parse HEAD:file"))), HasSubstr("cannot fetch"));
  EXPECT_THAT(tree_error(local("0123456789012345678901234567890123456789")),
              HasSubstr("cannot fetch"));
}

TEST_F(GitTreeTest, Sha256) {
  git("init -q --object-format=sha256 new");
  git("-C new commit -q --allow-empty -m x");
  write_file(root_ / "new/sub/file", "x\n");
  git("-C new add -A");
  git("-C new commit -q -m y");
  GitSource source = local("main", "sub");
  source.remote = root_ / "new";
  EXPECT_EQ(tree_of(source), git("-C new rev-parse HEAD:sub"));
  EXPECT_EQ(read_file(written(source) / "file"), "x\n");
}

// --- writing it out ---

TEST_F(GitWriteTest, BytesModesLinksAndTimes) {
  const std::string bytes("a\0b\r\nc\xff", 7);
  write_file(root_ / "repo/run", "#!/bin/sh\n");
  fs::permissions(root_ / "repo/run", fs::perms::owner_all);
  fs::create_symlink("../../outside", root_ / "repo/link");
  write_file(root_ / "repo/deep/er/empty", "");
  write_file(root_ / "repo/deep/same", bytes);
  write_file(root_ / "repo/name with\nline end", "odd\n");
  write_file(root_ / "repo/.gitignore", "nothing\n");
  const std::string id = commit("binary", bytes);
  in_repo("update-index --add --cacheinfo 160000," + id + ",module");
  in_repo("commit -q -m module");

  for (const mode_t mask : {077U, 0U, 022U}) {
    umask(mask);
    const fs::path out = written(local());
    umask(022);
    EXPECT_EQ(read_file(out / "binary"), bytes);
    EXPECT_EQ(read_file(out / "deep/same"), bytes);
    EXPECT_EQ(read_file(out / "name with\nline end"), "odd\n");
    EXPECT_EQ(fs::read_symlink(out / "link"), "../../outside");
    EXPECT_TRUE(fs::is_empty(out / "module"));
    EXPECT_EQ(fs::file_size(out / "deep/er/empty"), 0U);
    EXPECT_FALSE(fs::exists(out / ".git"));
    EXPECT_EQ(mode_of(out / "binary"), 0644U);
    EXPECT_EQ(mode_of(out / "run"), 0755U);
    EXPECT_EQ(mode_of(out / "deep/er"), 0755U);
    EXPECT_EQ(mode_of(out / "module"), 0755U);
    for (const auto& entry : fs::recursive_directory_iterator(out.parent_path())) {
      struct stat status = {};
      lstat(entry.path().c_str(), &status);
      EXPECT_EQ(status.st_mtim.tv_sec, 315619200) << entry.path();
      EXPECT_EQ(status.st_mtim.tv_nsec, 0) << entry.path();
    }
  }
}

TEST_F(GitWriteTest, ASubdirectoryAlone) {
  commit("a/b/file", "x\n");
  const fs::path out = written(local("main", "a"));
  EXPECT_EQ(read_file(out / "b/file"), "x\n");
  EXPECT_FALSE(fs::exists(out / "file"));
}

TEST_F(GitWriteTest, NoFilterAttributeOrHookHasASay) {
  write_file(root_ / "repo/.gitattributes",
             "*.txt text eol=crlf\n*.id ident\n*.no export-ignore\n*.evil filter=evil\n*.utf "
             "working-tree-encoding=latin1\n");
  for (const char* name : {"a.txt", "a.id", "a.no", "a.evil"})
    write_file(root_ / "repo" / name, "$Id$\n");
  write_file(root_ / "repo/a.utf", "\xe9\n");  // committed as UTF-8
  commit("file", "one\ntwo\n");
  const std::string pwned = root_ / "pwned";
  write_file(root_ / "hooks/post-checkout", "#!/bin/sh\ntouch " + pwned + "\n");
  fs::copy_file(root_ / "hooks/post-checkout", root_ / "hooks/reference-transaction");
  shell("chmod 755 hooks/*; mkdir template; cp -r hooks template");
  configure("[core]\nautocrlf = true\neol = crlf\nhooksPath = " + (root_ / "hooks").string() +
            "\n[filter \"evil\"]\nsmudge = touch " + pwned +
            "\nrequired = true\n[init]\ntemplateDir = " + (root_ / "template").string() + "\n");
  const fs::path out = written(local());
  for (const char* name : {"a.txt", "a.id", "a.no", "a.evil"})
    EXPECT_EQ(read_file(out / name), "$Id$\n") << name;
  EXPECT_EQ(read_file(out / "a.utf"), "\xc3\xa9\n");
  EXPECT_EQ(read_file(out / "file"), "one\ntwo\n");
  EXPECT_FALSE(fs::exists(pwned));
}

TEST_F(GitWriteTest, MoreThanIsReadAtOnce) {
  const std::string big(std::size_t{17} << 20, 'x');
  for (int i = 0; i < 2; ++i)
    write_file(root_ / "repo/big" / std::to_string(i), big + std::to_string(i));
  for (int i = 0; i < 300; ++i)
    write_file(root_ / "repo/small" / std::to_string(i), std::to_string(i));
  commit("huge", big + big);
  const fs::path out = written(local());
  EXPECT_EQ(shell("diff -r --exclude=.git repo '" + out.string() + "' && echo same"), "same");
}

TEST_F(GitWriteTest, OnlyIntoAnEmptyDirectory) {
  Git git(cache());
  const std::string tree = git.tree(local(), git.resolve(local()));
  const fs::path out = fresh_directory();
  EXPECT_NE(error_of([&] { git.write_tree(local(), head(), tree, out / "missing"); }), "");
  write_file(out / "file", "mine\n");
  EXPECT_THAT(error_of([&] { git.write_tree(local(), head(), tree, out); }),
              HasSubstr("not an empty directory"));
  EXPECT_EQ(read_file(out / "file"), "mine\n");
}

// Trees that no honest git makes, put into the mirror by hand (fetching them is refused, too).
class GitHostileTest : public GitTest {
 protected:
  struct Entry {
    std::string mode;
    std::string name;
    std::string id;
  };

  GitHostileTest() { tree_of(local()); }

  std::string blob(const std::string& content) {
    return git("--git-dir=" + mirror().string() + " hash-object -w --stdin", content);
  }

  std::string tree(const std::vector<Entry>& entries, const std::string& repository = "") {
    std::string content;
    for (const Entry& entry : entries) {
      content += entry.mode + " " + entry.name + '\0';
      for (std::size_t i = 0; i < entry.id.size(); i += 2) {
        content += static_cast<char>(std::stoi(entry.id.substr(i, 2), nullptr, 16));
      }
    }
    return git("--git-dir=" + (repository.empty() ? mirror().string() : repository) +
                   " hash-object -t tree -w --literally --stdin",
               content);
  }

  // The error of writing the tree; nothing may lie beside the directory afterwards, nor in it.
  std::string refusal(const std::string& tree) {
    const fs::path out = fresh_directory();
    std::string error = error_of([&] { Git(cache()).write_tree(local(), head(), tree, out); });
    EXPECT_TRUE(fs::is_empty(out)) << error;
    EXPECT_EQ(std::distance(fs::directory_iterator(out.parent_path()), {}), 1) << error;
    EXPECT_FALSE(fs::exists(root_ / "escaped"));
    return error;
  }
};

TEST_F(GitHostileTest, NamesThatNoCheckoutMayHave) {
  const std::string content = blob("evil\n");
  for (const char* name : {"..", ".", "", ".git", ".GIT", ".Git . ", ".git::$INDEX_ALLOCATION",
                           "git~1", "GIT~1.", "a/b", "../escaped", "/escaped", ".git/config"}) {
    EXPECT_THAT(refusal(tree({{"100644", name, content}})), HasSubstr("not allowed")) << name;
    const std::string inner = tree({{"100644", "escaped", content}});
    EXPECT_THAT(refusal(tree({{"40000", name, inner}})), HasSubstr("not allowed")) << name;
    EXPECT_THAT(refusal(tree({{"40000", "d", tree({{"120000", name, content}})}})),
                HasSubstr("not allowed"))
        << name;
  }
  const fs::path out = fresh_directory();
  Git(cache()).write_tree(
      local(), head(), tree({{"100644", ".gitmodules", content}, {"100644", "..a", content}}), out);
  EXPECT_TRUE(fs::exists(out / "..a"));
}

TEST_F(GitHostileTest, ASymlinkAndADirectoryOfOneName) {
  const std::string link = blob((root_ / "outside").string());
  fs::create_directories(root_ / "outside");
  const std::string inner = tree({{"100644", "b", blob("evil\n")}});
  EXPECT_THAT(refusal(tree({{"120000", "a", link}, {"40000", "a", inner}})), HasSubstr("twice"));
  EXPECT_THAT(refusal(tree({{"40000", "a", inner}, {"120000", "a", link}})), HasSubstr("twice"));
  EXPECT_THAT(refusal(tree({{"120000", "a", link}, {"100644", "a/b", blob("evil\n")}})),
              HasSubstr("not allowed"));
  EXPECT_TRUE(fs::is_empty(root_ / "outside"));
}

TEST_F(GitHostileTest, OddModesAndTargets) {
  const std::string content = blob("x");
  EXPECT_THAT(refusal(tree({{"060000", "device", content}})), HasSubstr("unknown mode"));
  EXPECT_THAT(refusal(tree({{"100", "nothing", content}})), HasSubstr("unknown mode"));
  EXPECT_THAT(refusal(tree({{"120000", "link", blob("")}})), HasSubstr("target"));
  EXPECT_THAT(refusal(tree({{"120000", "link", blob(std::string("a\0b", 3))}})),
              HasSubstr("target"));
  EXPECT_THAT(refusal(tree({{"40000", "dir", content}})), HasSubstr("is a blob, not a tree"));
  EXPECT_NE(refusal(content), "");

  const fs::path out = fresh_directory();
  Git(cache()).write_tree(local(), head(),
                          tree({{"100664", "a", content}, {"104777", "b", content}}), out);
  EXPECT_EQ(mode_of(out / "a"), 0644U);
  EXPECT_EQ(mode_of(out / "b"), 0755U);
}

TEST_F(GitHostileTest, ATreeThatTakesMoreThanItMayIsNotComplete) {
  constexpr std::uint64_t kPage = 4096;
  constexpr std::uint64_t kInode = 1024;
  const std::string small = blob("x");
  const std::string id =
      tree({{"100644", "a", small}, {"40000", "d", tree({{"100644", "b", small}})}});
  // Two files, a directory, and a page for each file's content.
  const std::uint64_t takes = 3 * kInode + 2 * kPage;
  EXPECT_TRUE(Git(cache()).write_tree(local(), head(), id, fresh_directory(), takes));
  EXPECT_FALSE(Git(cache()).write_tree(local(), head(), id, fresh_directory(), takes - 1));
  // (As much in many places as in one.)
  const std::string large = blob(std::string(10 * kPage, 'x'));
  const std::string twice = tree({{"100644", "a", large}, {"100644", "b", large}});
  EXPECT_FALSE(Git(cache()).write_tree(local(), head(), twice, fresh_directory(), 15 * kPage));
  GitSource more = local();
  more.lfs = true;
  EXPECT_FALSE(Git(cache()).write_tree(more, head(), id, fresh_directory(), 1000 * kPage));
}

TEST_F(GitHostileTest, AFewTreesThatNameMoreThanAnyDiskHolds) {
  std::string bomb = tree({{"100644", "f", blob("boom\n")}});
  for (int level = 0; level < 10; ++level) {
    std::vector<Entry> entries;
    for (int name = 100; name < 300; ++name)
      entries.push_back({"40000", std::to_string(name), bomb});
    bomb = tree(entries);
  }
  EXPECT_THAT(refusal(bomb), HasSubstr("entries"));
}

TEST_F(GitHostileTest, NestedDeeperThanAnyPath) {
  std::string deep = tree({{"100644", "f", blob("x\n")}});
  for (int level = 0; level < 20; ++level) deep = tree({{"40000", std::string(250, 'd'), deep}});
  EXPECT_THAT(refusal(deep), HasSubstr("longer than"));
}

TEST_F(GitHostileTest, FetchingOneIsRefused) {
  const std::string repository = root_ / "repo/.git";
  const std::string inner = in_repo("rev-parse HEAD^{tree}");
  for (const char* name : {"..", ".git", "a/b"}) {
    const std::string evil = tree({{"40000", name, inner}}, repository);
    const std::string id = in_repo("commit-tree -m evil " + evil);
    in_repo("update-ref refs/heads/evil " + id);
    EXPECT_THAT(tree_error(local("evil")), HasSubstr("cannot fetch")) << name;
  }
}

// --- servers ---

TEST_F(GitServerTest, Daemon) {
  const std::string url = serve("start_git_daemon $D $P", "$git_daemon_url").at(0);
  in_repo("tag -a v1 -m v1");
  commit("sub/file", "two\n");
  EXPECT_EQ(tree_of(remote(url + "/repo", "v1")), in_repo("rev-parse v1^{tree}"));
  EXPECT_EQ(read_file(written(remote(url + "/repo")) / "sub/file"), "two\n");
  EXPECT_THAT(resolve_error(remote(url + "/missing")), HasSubstr("/missing"));
}

TEST_F(GitServerTest, HttpIsAskedWithoutGit) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  in_repo("tag -a v1 -m v1");
  in_repo("tag -a v2 -m v2 v1");
  in_repo("branch other");
  commit("file", "two\n");
  const std::string url = serve("start_git_http $D $P", "$git_http_url").at(0) + "/repo/.git";
  Git git(cache());
  for (const char* ref : {"", "other", "v1", "v2", "missing"}) git.want(remote(url, ref));
  git.ask_ahead();
  const ResolvedRef head = git.resolve(remote(url));
  EXPECT_EQ(head.commit, in_repo("rev-parse HEAD"));
  EXPECT_EQ(head.ref, "HEAD");
  EXPECT_EQ(head.branch, "refs/heads/main");
  for (const char* ref : {"other", "v1", "v2"})
    EXPECT_EQ(git.resolve(remote(url, ref)).commit, in_repo("rev-parse HEAD^")) << ref;
  EXPECT_THAT(error_of([&] { git.resolve(remote(url, "missing")); }),
              HasSubstr("has no branch or tag 'missing'"));
  EXPECT_EQ(git.questions(), 1);
  EXPECT_EQ(git.questions_by_git(), 0);
  // Where the user's configuration says more than we heed, git is asked.
  configure("[protocol]\nversion = 0\n");
  Git other(cache());
  EXPECT_EQ(other.resolve(remote(url)).branch, "refs/heads/main");
  EXPECT_EQ(other.questions_by_git(), 1);
}

// What git is started for meanwhile, in that order: "fetch", "index-pack", …
std::vector<std::string> GitServerTest::gits_of(const std::function<void()>& action) {
  const std::string real = find_program("git");
  write_file(root_ / "bin/git", "#!/bin/sh\necho \"$*\" >>'" + (root_ / "calls").string() +
                                    "'\nexec " + real + " \"$@\"\n");
  fs::permissions(root_ / "bin/git", fs::perms(0755));
  fs::remove(root_ / "calls");
  {
    const Variable path("PATH", (root_ / "bin").string() + ":" + std::getenv("PATH"));
    action();
  }
  std::vector<std::string> all;
  for (const std::string& line : lines_of(read_file(root_ / "calls"))) {
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (word == "-c" || word == "--shallow-file") {
        words >> word;
      } else if (!word.starts_with("--git-dir=")) {
        all.push_back(word);
        break;
      }
    }
  }
  return all;
}

TEST_F(GitServerTest, WhatIsNewIsFetchedWithoutGit) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  for (int i = 0; i < 20; ++i)
    write_file(root_ / "repo/big" / std::to_string(i),
               shell("head -c 20000 /dev/urandom | base64"));
  const std::string first = commit("file", "one more\n");
  const GitSource source =
      remote(serve("start_git_http $D $P", "$git_http_url").at(0) + "/repo/.git");
  EXPECT_THAT(gits_of([&] { written(source); }), testing::Contains("fetch"));
  const auto kilobytes = [&] {
    return std::stol(shell("du -sk '" + (cache() / "git").string() + "' | cut -f1"));
  };
  const long before = kilobytes();
  commit("big/1", "another\n");
  fs::create_symlink("file", root_ / "repo/link");
  const std::string second = commit("dir/new", "new\n");
  fs::path out;
  EXPECT_EQ(gits_of([&] { out = written(source); }),
            (std::vector<std::string>{"config", "index-pack"}));
  EXPECT_EQ(read_file(out / "dir/new"), "new\n");
  EXPECT_EQ(read_file(out / "big/1"), "another\n");
  EXPECT_EQ(fs::read_symlink(out / "link"), "file");
  EXPECT_EQ(shell("diff -r --exclude=.git repo '" + out.string() + "'"), "");
  EXPECT_LT(kilobytes() - before, 100);
  EXPECT_THAT(gits_of([&] { written(source); }), testing::Not(testing::Contains("index-pack")));

  // To git it is what it would have fetched itself: whole, and without history.
  const std::string mirror = this->mirror();
  EXPECT_EQ(shell("git -C '" + mirror + "' fsck --full 2>&1 | grep -v ^notice: || true"), "");
  EXPECT_EQ(shell("git -C '" + mirror + "' rev-list --count " + second), "1");
  EXPECT_EQ(shell("sort '" + mirror + "/shallow'"),
            shell("printf '%s\n' " + first + " " + second + " | sort"));
  // And where git has its turn again, it goes on from there.
  commit("file", "three\n");
  configure("[protocol]\nversion = 0\n");
  EXPECT_THAT(gits_of([&] { out = written(source); }), testing::Contains("fetch"));
  EXPECT_EQ(read_file(out / "file"), "three\n");
  // And we after it, also to what is older.
  configure("");
  in_repo("reset -q --hard HEAD~2");
  EXPECT_THAT(gits_of([&] { out = written(source); }), testing::Not(testing::Contains("fetch")));
  EXPECT_FALSE(fs::exists(out / "dir/new"));
  EXPECT_EQ(read_file(out / "big/1"), "another\n");
  // And to one without parents.
  configure("[user]\nname = T\nemail = t@example.com\n");
  in_repo("checkout -q --orphan alone");
  commit("file", "alone\n");
  EXPECT_THAT(gits_of([&] { out = written(source); }), testing::Not(testing::Contains("fetch")));
  EXPECT_EQ(read_file(out / "file"), "alone\n");
}

TEST_F(GitServerTest, WhatIsFetchedWithoutGitIsLookedAtByGit) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  const GitSource source =
      remote(serve("start_git_http $D $P", "$git_http_url").at(0) + "/repo/.git");
  written(source);
  const std::string inner = in_repo("rev-parse HEAD^{tree}");
  const std::string evil = shell("printf '40000 .git\\0%b' \"$(sed 's/../\\\\x&/g' <<<" + inner +
                                 ")\" | git -C repo hash-object --literally -t tree -w --stdin");
  const std::string commit = in_repo("commit-tree -m evil " + evil);
  in_repo("update-ref refs/heads/main " + commit);
  EXPECT_THAT(tree_error(source), HasSubstr("hasDotgit"));
  EXPECT_FALSE(fs::exists(mirror() / "refs/imagewright" / commit));
  EXPECT_THAT(read_file(mirror() / "shallow"), Not(HasSubstr(commit)));
  // It goes on with the next one.
  in_repo("update-ref refs/heads/main " + in_repo("commit-tree -m good " + inner));
  EXPECT_EQ(tree_of(source), inner);
}

TEST_F(GitServerTest, WhereNoLibraryReadsAMirrorGitDoes) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  const GitSource source =
      remote(serve("start_git_http $D $P", "$git_http_url").at(0) + "/repo/.git");
  written(source);
  shell("git -C '" + mirror().string() + "' pack-refs --all");
  commit("dir/new", "new\n");
  fs::path out;
  EXPECT_THAT(gits_of([&] { out = written(source); }),
              testing::AllOf(testing::Contains("fetch"), testing::Contains("cat-file")));
  EXPECT_EQ(shell("diff -r --exclude=.git repo '" + out.string() + "'"), "");
}

TEST_F(GitServerTest, OnlyWhatIsNeededIsFetched) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  in_repo("config uploadpack.allowFilter true");
  for (int i = 0; i < 20; ++i)
    write_file(root_ / "repo/big" / std::to_string(i),
               shell("head -c 20000 /dev/urandom | base64"));
  write_file(root_ / "repo/a/b/small", "small\n");
  commit("top", "one\n");
  GitSource source = remote(serve("start_git_http $D $P", "$git_http_url").at(0) + "/repo/.git");
  source.subdir = "a/b";
  GitSource root = source;
  root.subdir = "";
  GitSource above = source;
  above.subdir = "a";
  const fs::path mirrors = cache() / "git";
  {
    Git git(cache());
    git.want(source);
    git.want(above);
    git.want(root);
    const ResolvedRef at = git.resolve(source);
    EXPECT_EQ(git.tree(above, at), in_repo("rev-parse HEAD:a"));
    EXPECT_EQ(git.tree(source, at), in_repo("rev-parse HEAD:a/b"));
    EXPECT_EQ(git.tree(root, at), in_repo("rev-parse HEAD^{tree}"));
    EXPECT_EQ(git.commit_time(source, at), git.commit_time(root, at));
    EXPECT_FALSE(fs::exists(mirrors));
  }
  EXPECT_EQ(read_file(written(source) / "small"), "small\n");
  EXPECT_LT(std::stol(shell("du -sk '" + mirrors.string() + "' | cut -f1")), 200);
  // Whoever wants more gets more.
  EXPECT_EQ(read_file(written(root) / "top"), "one\n");
  EXPECT_GT(std::stol(shell("du -sk '" + mirrors.string() + "' | cut -f1")), 400);
}

TEST_F(GitServerTest, TreesThatSeveralWantComeInFewRequests) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  for (int i = 0; i < 30; ++i)
    write_file(root_ / "repo" / ("d" + std::to_string(i)) / "named", std::to_string(i) + "\n");
  in_repo("add -A");
  in_repo("commit -q -m many");
  const std::string url = serve("start_git_http $D $P", "$git_http_url").at(0);
  Git git(cache());
  GitSource source = remote(url + "/repo/.git", in_repo("rev-parse HEAD"));
  std::vector<std::string> trees(30);
  std::vector<fs::path> places;
  for (int i = 0; i < 30; ++i) {
    source.subdir = "d" + std::to_string(i);
    git.want(source);
    places.push_back(fresh_directory());
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 30; ++i) {
    threads.emplace_back([&, i] {
      GitSource own = source;
      own.subdir = "d" + std::to_string(i);
      const ResolvedRef at = git.resolve(own);
      git.write_tree(own, at, git.tree(own, at), places[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < 30; ++i)
    EXPECT_EQ(read_file(places[i] / "named"), std::to_string(i) + "\n");
  std::size_t packs = 0;
  for (const auto& entry : fs::directory_iterator(mirror() / "objects/pack"))
    packs += entry.path().extension() == ".pack" ? 1 : 0;
  EXPECT_LE(packs, 10u);

  // One that there is not hinders no other.
  const GitRemote where = git_remote(source);
  GitProgram program;
  GitMirror fresh(program, root_ / "other", where);
  const std::vector<bool> there = fresh.fetch_trees(
      {in_repo("rev-parse HEAD:d1"), std::string(40, '1'), in_repo("rev-parse HEAD:d2")});
  EXPECT_EQ(there, (std::vector<bool>{true, false, true}));
}

TEST_F(GitServerTest, AServerThatLeavesNothingOutIsNotAskedToForEver) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  const GitSource source =
      remote(serve("start_git_http $D $P", "$git_http_url").at(0) + "/repo/.git");
  const auto requests = [&] { return lines_of(read_file(root_ / "server/access.log")).size(); };
  EXPECT_EQ(Git(cache()).tree(source, {in_repo("rev-parse HEAD"), "HEAD"}),
            in_repo("rev-parse HEAD^{tree}"));
  commit("file", "two\n");
  const auto before = requests();
  EXPECT_EQ(Git(cache()).tree(source, {in_repo("rev-parse HEAD"), "HEAD"}),
            in_repo("rev-parse HEAD^{tree}"));
  // One fetch: its refs and its pack.
  EXPECT_LE(requests() - before, 3U);
}

TEST_F(GitServerTest, HttpWithAPasswordThatNobodySees) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  const std::string plain =
      serve("start_git_http $D $P me 'se cret'", "$git_http_url").at(0) + "/repo/.git";
  const std::string url = "http://me:se%20cret@" + plain.substr(7);

  // A git in front of git that notes its arguments.
  write_file(root_ / "bin/git", "#!/bin/sh\nprintf '%s\\n' \"$@\" >>" + (root_ / "argv").string() +
                                    "\nexec " + find_program("git") + " \"$@\"\n");
  shell("chmod 755 bin/git");
  const Variable path("PATH", (root_ / "bin").string() + ":" + std::getenv("PATH"));
  const Variable count("GIT_CONFIG_COUNT", "1");
  const Variable key("GIT_CONFIG_KEY_0", "credential.helper");
  const Variable value("GIT_CONFIG_VALUE_0", "!touch " + (root_ / "helped").string() + ";:");

  EXPECT_EQ(read_file(written(remote(url)) / "file"), "one\n");
  EXPECT_THAT(resolve_error(remote("http://me:wr0ng@" + plain.substr(7))),
              AllOf(HasSubstr("user name and password"), Not(HasSubstr("wr0ng"))));
  EXPECT_FALSE(fs::exists(root_ / "helped"));
  EXPECT_THAT(resolve_error(remote(plain)), HasSubstr("asks for a login"));
  EXPECT_TRUE(fs::exists(root_ / "helped"));  // the user's own configuration is in force

  const std::string argv = read_file(root_ / "argv");
  EXPECT_THAT(argv, AllOf(HasSubstr("ls-remote"), HasSubstr("fetch"), HasSubstr(plain)));
  for (const char* secret : {"se%20cret", "se cret", "wr0ng", "bWU6c2UgY3JldA"}) {
    EXPECT_THAT(argv, Not(HasSubstr(secret)));
    EXPECT_EQ(shell("grep -r '" + std::string(secret) + "' cache || true"), "");
  }
}

// Of an http server that sends everybody somewhere else.
ScriptedServer::Script redirects_to(const std::string& url) {
  return [url](const std::string&, int) {
    auto answer = ScriptedServer::answer(
        301, "",
        "Connection: close\r\nLocation: " + url + "/info/refs?service=git-upload-pack\r\n");
    answer.close = true;
    return answer;
  };
}

TEST_F(GitServerTest, APasswordDoesNotFollowARedirect) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  const std::string url = serve("start_git_http $D $P", "$git_http_url").at(0) + "/repo/.git";
  {
    const ScriptedServer redirector(redirects_to(url));
    EXPECT_EQ(
        resolve_error(remote("http://127.0.0.1:" + std::to_string(redirector.port()) + "/x.git")),
        "");
  }
  const std::string before = read_file(root_ / "server/access.log");
  const ScriptedServer redirector(redirects_to(url));
  EXPECT_THAT(resolve_error(remote(
                  "http://me:secret@127.0.0.1:" + std::to_string(redirector.port()) + "/x.git")),
              HasSubstr("it redirects"));
  EXPECT_EQ(read_file(root_ / "server/access.log"), before);
}

TEST_F(GitServerTest, AUserNameInAUrlIsForTheCredentialHelper) {
  if (find_program("lighttpd").empty() && !fs::exists("/usr/sbin/lighttpd"))
    GTEST_SKIP() << "no lighttpd";
  const std::string plain =
      serve("start_git_http $D $P me secret", "$git_http_url").at(0) + "/repo";
  configure(
      "[credential]\nhelper = \"!f() { grep -q ^username=me$ && echo password=secret; }; f\"\n");
  const GitSource source = remote("http://me@" + plain.substr(7) + "/.git");
  EXPECT_EQ(tree_of(source), in_repo("rev-parse HEAD^{tree}"));
}

TEST_F(GitServerTest, Ssh) {
  if (find_program("sshd").empty() && !fs::exists("/usr/sbin/sshd")) GTEST_SKIP() << "no sshd";
  const auto shown = serve("start_git_ssh $D", "\"$git_ssh_url\" \"$GIT_SSH_COMMAND\"");
  const std::string url = shown.at(0) + (root_ / "repo").string();
  {
    const Variable ssh("GIT_SSH_COMMAND", shown.at(1));
    EXPECT_EQ(read_file(written(remote(url, "main")) / "file"), "one\n");
  }
  configure("[core]\nsshCommand = \"echo asked >>" + (root_ / "asked").string() + "; " +
            shown.at(1) + "\"\n");
  EXPECT_EQ(resolve_error(remote(url, "main")), "");
  EXPECT_THAT(read_file(root_ / "asked"), HasSubstr("asked\n"));
  configure("[core]\nsshCommand = echo >" + (root_ / "asked").string() + "\n");
  EXPECT_NE(resolve_error(remote("me@127.0.0.1:x.git")), "");
  EXPECT_THAT(read_file(root_ / "asked"), HasSubstr("-o BatchMode=yes"));
}

}  // namespace
}  // namespace imagewright
