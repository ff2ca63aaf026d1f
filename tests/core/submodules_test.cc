#include "core/submodules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace imagewright {
namespace {

using testing::HasSubstr;

GitSource parent(const std::string& remote, bool local = false) {
  GitSource source;
  source.remote = remote;
  source.local = local;
  return source;
}

// The remote, or what is wrong.
std::string found(const std::string& remote, const std::string& url) {
  const auto source = submodule_source(parent(remote), url);
  return source ? source->remote : source.error().message;
}

TEST(Submodules, RelativeUrlsAreAgainstTheRepositorys) {
  const std::string web = "https://host/team/app.git";
  EXPECT_EQ(found(web, "../lib.git"), "https://host/team/lib.git");
  EXPECT_EQ(found(web, "../../other/lib.git/"), "https://host/other/lib.git");
  EXPECT_EQ(found(web, "./lib.git"), "https://host/team/app.git/lib.git");
  EXPECT_EQ(found("https://host/team/app/", "../lib"), "https://host/team/lib");
  EXPECT_EQ(found("https://me:secret@host/app", "../lib"), "https://me:secret@host/lib");
  EXPECT_EQ(found("ssh://git@host:22/a/b", "../c"), "ssh://git@host:22/a/c");
  EXPECT_EQ(found("git@host:team/app.git", "../lib.git"), "git@host:team/lib.git");
  EXPECT_EQ(found("git@host:app.git", "../lib.git"), "git@host:lib.git");
}

TEST(Submodules, OthersStandAlone) {
  EXPECT_EQ(found("https://me:secret@host/app", "https://host/lib"), "https://host/lib");
  EXPECT_EQ(found("https://host/app", "git@host:lib.git"), "git@host:lib.git");
}

TEST(Submodules, ARelativeUrlStaysOnItsHost) {
  for (const char* url : {"../../evil.example/x", "../../../evil.example/x", "../x/../../../y"})
    EXPECT_THAT(found("https://me:secret@host/app", url), HasSubstr("leaves its host")) << url;
  EXPECT_THAT(found("git@host:app.git", "../../x"), HasSubstr("leaves its host"));
}

TEST(Submodules, NothingRunsAndNothingOfThisMachineIsRead) {
  const std::string web = "https://host/app";
  EXPECT_THAT(found(web, "ext::sh -c touch% /tmp/x"), HasSubstr("would have git run a program"));
  EXPECT_THAT(found(web, "--upload-pack=touch /tmp/x"), HasSubstr("begins with '-'"));
  EXPECT_THAT(found(web, "-u./x"), HasSubstr("begins with '-'"));
  EXPECT_THAT(found(web, "ssh://-oProxyCommand=touch/x"), HasSubstr("-oProxyCommand"));
  EXPECT_THAT(found(web, "file:///etc"), HasSubstr("'file', which is not available"));
  EXPECT_THAT(found(web, "/etc/passwd"), HasSubstr("a path on this machine"));
  EXPECT_THAT(found(web, "sub/dir"), HasSubstr("a path on this machine"));
  EXPECT_THAT(found(web, "https://host/a\nb"), HasSubstr("control character"));
  EXPECT_THAT(found(web, "fd::17"), HasSubstr("would have git run a program"));
  const auto beside = submodule_source(parent("/home/me/app", true), "../lib");
  ASSERT_FALSE(beside);
  EXPECT_THAT(beside.error().message, HasSubstr("a path on this machine"));
}

TEST(Submodules, AMessageHoldsNoPassword) {
  EXPECT_EQ(found("https://host/app", "gopher://me:secret@host/x").find("secret"),
            std::string::npos);
}

TEST(Submodules, TheFile) {
  using namespace std::string_literals;
  const auto all = parse_submodules(
      "submodule.a.path\nlibs/a/\0submodule.a.url\n../a\0"
      "submodule.b.c.url\nhttps://h/b\0submodule.b.c.path\nb\0submodule.b.c.update\nnone\0"
      "submodule.d.url\nhttps://h/d\0"
      "submodule.e.path\ne\0submodule.e.update\n!touch /tmp/x\0"
      "core.x\ny\0submodule\0"s);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all.at("libs/a").url, "../a");
  EXPECT_FALSE(all.at("libs/a").is_left);
  EXPECT_TRUE(all.at("b").is_left);
  EXPECT_EQ(all.at("e").url, "");
  EXPECT_FALSE(all.at("e").is_left);
}

}  // namespace
}  // namespace imagewright
