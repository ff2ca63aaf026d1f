// Submodules and large files, as real servers and the real git-lfs have them.
#include "io/git_checkout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/digest.h"
#include "git_fixture.h"

namespace imagewright {
namespace {

using namespace git_fixture;

using testing::HasSubstr;

class GitSubmodulesTest : public GitTest {
 protected:
  GitSubmodulesTest() {
    url_ = serve("start_git_daemon $D $P", "$git_daemon_url").at(0);
    for (const char* name : {"lib", "inner"}) {
      git(std::string("init -q ") + name);
      write_file(root_ / name / "named", std::string(name) + "\n");
      git(std::string("-C ") + name + " add -A");
      git(std::string("-C ") + name + " commit -q -m x");
    }
  }

  // Puts a submodule into a repository, as `git submodule add` would without asking anybody.
  void add(const std::string& repository, const std::string& path, const std::string& url,
           const std::string& of, const std::string& more = "") {
    const std::string id = git("-C " + of + " rev-parse HEAD");
    std::ofstream(root_ / repository / ".gitmodules", std::ios::app)
        << "[submodule \"" << path << "\"]\n\tpath = " << path << "\n\turl = " << url << "\n"
        << more;
    git("-C " + repository + " add .gitmodules");
    git("-C " + repository + " update-index --add --cacheinfo 160000," + id + "," + path);
    git("-C " + repository + " commit -q -m submodule");
  }

  GitSource with_submodules(const std::string& subdir = "") const {
    GitSource source = remote(url_ + "/repo");
    source.subdir = subdir;
    source.submodules = true;
    return source;
  }

  std::string url_;
};

TEST_F(GitSubmodulesTest, TheirFilesAreWrittenWhereTheyAreAskedFor) {
  add("lib", "deep/inner", "../inner", "inner");
  add("repo", "modules/lib", "../lib", "lib");
  const fs::path out = written(with_submodules());
  EXPECT_EQ(read_file(out / "file"), "one\n");
  EXPECT_EQ(read_file(out / "modules/lib/named"), "lib\n");
  EXPECT_EQ(read_file(out / "modules/lib/deep/inner/named"), "inner\n");
  EXPECT_EQ(mode_of(out / "modules/lib"), 0755u);
  EXPECT_FALSE(fs::exists(out / "modules/lib/.git"));
  struct stat status = {};
  ASSERT_EQ(stat((out / "modules/lib").c_str(), &status), 0);
  EXPECT_EQ(status.st_mtime, 315619200);

  const fs::path without = written(remote(url_ + "/repo"));
  EXPECT_TRUE(fs::is_empty(without / "modules/lib"));
}

TEST_F(GitSubmodulesTest, BelowASubdirectoryThoseOfThatAlone) {
  commit("web/page", "page\n");
  add("repo", "web/lib", url_ + "/lib", "lib");
  add("repo", "beside", "https://host.invalid/none", "inner");
  const fs::path out = written(with_submodules("web"));
  EXPECT_EQ(read_file(out / "lib/named"), "lib\n");
  EXPECT_FALSE(fs::exists(out / "beside"));
}

TEST_F(GitSubmodulesTest, OneThatGitLeavesEmptyToo) {
  add("repo", "lib", "https://host.invalid/none", "lib", "\tupdate = none\n");
  EXPECT_TRUE(fs::is_empty(written(with_submodules()) / "lib"));
}

TEST_F(GitSubmodulesTest, OneThatNoFileNames) {
  const std::string id = git("-C lib rev-parse HEAD");
  in_repo("update-index --add --cacheinfo 160000," + id + ",stray");
  in_repo("commit -q -m stray");
  EXPECT_THAT(error_of([&] { written(with_submodules()); }),
              HasSubstr("'stray': it is a submodule, and .gitmodules does not say of which"));
}

TEST_F(GitSubmodulesTest, AFileThatCannotBeReadIsNoFileThatSaysNothing) {
  add("repo", "lib", "../lib", "lib");
  configure("[user]\nname = T\nemail = t@example.com\n[fetch]\nfsckObjects = false\n");
  write_file(root_ / "repo/.gitmodules", "[submodule \"lib\"\n");
  in_repo("add .gitmodules");
  in_repo("commit -q -m malformed");
  EXPECT_THAT(error_of([&] { written(with_submodules()); }), HasSubstr(".gitmodules"));
}

TEST_F(GitSubmodulesTest, OneThatCannotBeFetchedIsNamed) {
  add("repo", "lib", "../missing", "lib");
  EXPECT_THAT(error_of([&] { written(with_submodules()); }), HasSubstr("/missing"));
}

// (What git's own check of fetched objects refuses does not even come here.)
TEST_F(GitSubmodulesTest, AHostileFileRunsNothingAndReadsNothingOfThisMachine) {
  configure(
      "[user]\nname = T\nemail = t@example.com\n[init]\ndefaultBranch = main\n"
      "[protocol \"ext\"]\nallow = always\n[protocol \"file\"]\nallow = always\n"
      "[fetch]\nfsckObjects = false\n");
  const fs::path mark = root_ / "mark";
  const std::vector<std::string> urls = {
      "ext::sh -c \\\"touch% " + mark.string() + "\\\"",
      (root_ / "lib").string(),
      "file://" + (root_ / "lib").string(),
      "--upload-pack=touch " + mark.string(),
      "ssh://-oProxyCommand=touch " + mark.string() + "/x",
      "../../../" + (root_ / "lib").string(),
  };
  for (const std::string& url : urls) {
    in_repo("checkout -q --orphan fresh");
    fs::remove(root_ / "repo/.gitmodules");
    add("repo", "lib", url, "lib");
    EXPECT_NE(error_of([&] { written(with_submodules()); }), "") << url;
    EXPECT_FALSE(fs::exists(mark)) << url;
    in_repo("branch -q -M main");
    fs::remove_all(cache());
  }
}

TEST_F(GitSubmodulesTest, OfAPathOnThisMachineNoneIsThereByAPath) {
  add("repo", "lib", "../lib", "lib");
  GitSource source = local();
  source.submodules = true;
  EXPECT_THAT(error_of([&] { written(source); }),
              HasSubstr("at a path on this machine, which only a configuration may name"));
}

TEST_F(GitSubmodulesTest, MoreThanAnybodyHas) {
  // Each level twice in the next one: 2^5 of the last.
  for (int level = 1; level <= 5; ++level) {
    const std::string name = "level" + std::to_string(level);
    const std::string below = level == 1 ? "lib" : "level" + std::to_string(level - 1);
    git("init -q " + name);
    add(name, "a", "../" + below, below);
    add(name, "b", "../" + below, below);
  }
  add("repo", "all", "../level5", "level5");
  const GitSource source = with_submodules();
  const std::string commit = in_repo("rev-parse HEAD");
  GitProgram program;
  GitMirror mirror(program, cache(), git_remote(source));
  mirror.fetch(commit, "");
  const std::string tree = in_repo("rev-parse HEAD^{tree}");
  EXPECT_THAT(error_of([&] {
                GitCheckout(program, cache(), 20)
                    .write(mirror, source, commit, "", tree, fresh_directory());
              }),
              HasSubstr("more than 20 submodules"));
}

TEST_F(GitSubmodulesTest, DeeperInEachOtherThanAnybodyHas) {
  for (int level = 1; level <= 17; ++level) {
    const std::string name = "level" + std::to_string(level);
    const std::string below = level == 1 ? "lib" : "level" + std::to_string(level - 1);
    git("init -q " + name);
    add(name, "a", "../" + below, below);
  }
  add("repo", "all", "../level17", "level17");
  EXPECT_THAT(error_of([&] { written(with_submodules()); }), HasSubstr("deeper than 16"));
}

class GitLfsTest : public GitTest {
 protected:
  void SetUp() override {
    if (find_program("git-lfs").empty()) GTEST_SKIP() << "no git-lfs";
    in_repo("lfs install --local");
    write_file(root_ / "repo/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    write_file(root_ / "repo/web/page", "page\n");
    commit("web/large.bin", large_);
  }

  GitSource with_large_files(const std::string& subdir = "") const {
    GitSource source = local("", subdir);
    source.lfs = true;
    return source;
  }

  // What stands in the repository for it.
  std::string pointer() {
    return "version https://git-lfs.github.com/spec/v1\noid sha256:" + hex(sha256(large_)) +
           "\nsize " + std::to_string(large_.size()) + "\n";
  }

  const std::string large_ = std::string(200'000, 'x') + "large\n";
};

TEST_F(GitLfsTest, LargeFilesAreWrittenWhereTheyAreAskedFor) {
  fs::permissions(root_ / "repo/web/large.bin", fs::perms(0755));
  in_repo("add -A");
  in_repo("commit -q -m executable");
  EXPECT_EQ(read_file(written(local()) / "web/large.bin"), pointer());
  const fs::path out = written(with_large_files());
  EXPECT_EQ(read_file(out / "web/large.bin"), large_);
  EXPECT_EQ(mode_of(out / "web/large.bin"), 0755u);
  struct stat status = {};
  ASSERT_EQ(stat((out / "web/large.bin").c_str(), &status), 0);
  EXPECT_EQ(status.st_mtime, 315619200);
  EXPECT_EQ(read_file(written(with_large_files("web")) / "large.bin"), large_);
}

TEST_F(GitLfsTest, OnlyThoseOfTheSubdirectoryAreFetched) {
  commit("beside.bin", "another large one\n");
  EXPECT_EQ(read_file(written(with_large_files("web")) / "large.bin"), large_);
  EXPECT_FALSE(
      fs::exists(mirror() / "lfs/objects" / hex(sha256("another large one\n")).substr(0, 2)));
}

TEST_F(GitLfsTest, SubdirectoriesThatLookLikePatternsAndEmptyFiles) {
  for (const char* name : {"a,b", "a[1]", "a b"}) {
    commit(std::string(name) + "/large.bin", large_ + name);
    EXPECT_EQ(read_file(written(with_large_files(name)) / "large.bin"), large_ + name) << name;
  }
  // (git-lfs itself has no pointer for it, others do.)
  in_repo("lfs uninstall --local");
  commit("web/empty.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:" +
                              hex(sha256("")) + "\nsize 0\n");
  const fs::path out = written(with_large_files("web"));
  EXPECT_TRUE(fs::is_empty(out / "empty.bin"));
  EXPECT_EQ(read_file(out / "large.bin"), large_);
}

TEST_F(GitLfsTest, ARepositoryWhosePathIsNoPlainUrl) {
  fs::rename(root_ / "repo", root_ / "re#po %41");
  GitSource source = with_large_files();
  source.remote = root_ / "re#po %41";
  EXPECT_EQ(read_file(written(source) / "web/large.bin"), large_);
}

TEST_F(GitLfsTest, AnExtensionIsNotLeftOut) {
  in_repo("lfs uninstall --local");
  commit("web/more.bin",
         "version https://git-lfs.github.com/spec/v1\next-0-x sha256:" + hex(sha256("a")) +
             "\noid sha256:" + hex(sha256(large_)) + "\nsize 200006\n");
  EXPECT_THAT(error_of([&] { written(with_large_files()); }), HasSubstr("it wants an extension"));
}

TEST_F(GitLfsTest, WhatOnlyLooksLikeAPointerStaysWhatItIs) {
  const std::string other =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, '0') +
      "\nsize 5\n";
  commit("web/example.txt", other);
  EXPECT_EQ(read_file(written(with_large_files()) / "web/example.txt"), other);
}

TEST_F(GitLfsTest, AFileThatItsServerLacksOrThatWasChanged) {
  const std::string id = hex(sha256(large_));
  const fs::path object = root_ / "repo/.git/lfs/objects" / id.substr(0, 2) / id.substr(2, 2) / id;
  written(with_large_files());
  // In the mirror, another one of the same size.
  const fs::path kept = mirror() / "lfs/objects" / id.substr(0, 2) / id.substr(2, 2) / id;
  fs::remove(kept);  // (which may be the repository's own file)
  write_file(kept, std::string(large_.size(), 'y'));
  EXPECT_THAT(error_of([&] { written(with_large_files()); }),
              HasSubstr("'web/large.bin': a large file of Git LFS: its content is another one"));
  // That was thrown away.
  EXPECT_EQ(read_file(written(with_large_files()) / "web/large.bin"), large_);
  fs::remove(object);
  fs::remove(kept);
  EXPECT_THAT(error_of([&] { written(with_large_files()); }),
              HasSubstr("cannot fetch large files"));
}

TEST_F(GitLfsTest, WithoutGitLfsItIsSaidWhatIsMissing) {
  const fs::path programs = root_ / "programs";
  fs::create_directories(programs);
  for (const char* program : {"git", "bash"})
    fs::create_symlink(find_program(program), programs / program);
  const Variable path("PATH", programs);
  EXPECT_THAT(error_of([&] { written(with_large_files()); }),
              HasSubstr("has large files of Git LFS, and there is no git-lfs"));
}

TEST_F(GitLfsTest, TheRepositorysOwnSettingsLeadToNoOtherPlaceOnThisMachine) {
  commit(".lfsconfig", "[lfs]\n\turl = file://" + (root_ / "elsewhere").string() + "\n");
  EXPECT_THAT(error_of([&] { written(with_large_files()); }),
              HasSubstr(".lfsconfig names the server"));
  commit(".lfsconfig", "[lfs]\n\turl = http://127.0.0.1:9/none\n");
  EXPECT_THAT(error_of([&] { written(with_large_files()); }), HasSubstr("127.0.0.1:9"));
}

}  // namespace
}  // namespace imagewright
