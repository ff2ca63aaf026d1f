#include "core/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "conformance.h"

namespace imagewright {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

GitSource git(std::string remote, std::string ref = "", std::string subdir = "",
              std::string checksum = "") {
  return {std::move(remote), std::move(ref), std::move(subdir), std::move(checksum), false};
}

std::string message_of(std::string_view from) {
  const auto source = parse_source(from);
  return source ? "" : source.error().message;
}

std::string git_message_of(std::string_view remote) {
  const auto source = parse_git_remote(remote);
  return source ? "" : source.error().message;
}

void expect_git(std::string_view from, const GitSource& expected) {
  SCOPED_TRACE(from);
  const auto source = parse_source(from);
  if (!source) {
    ADD_FAILURE() << source.error().message;
    return;
  }
  if (!std::holds_alternative<GitSource>(*source)) {
    ADD_FAILURE() << "is a directory";
    return;
  }
  const auto& found = std::get<GitSource>(*source);
  EXPECT_EQ(found.remote, expected.remote);
  EXPECT_EQ(found.ref, expected.ref);
  EXPECT_EQ(found.subdir, expected.subdir);
  EXPECT_EQ(found.checksum, expected.checksum);
  EXPECT_FALSE(found.local);
}

TEST(Source, Directories) {
  for (const char* from : {".", "..", "./x", "../x", "/x", "x", "x/y", "./git@host:x", "x.git",
                           "github.com", "a b", "host:path", "x/git@host:y", "./-x", "C#"}) {
    const auto source = parse_source(from);
    ASSERT_TRUE(source) << from << ": " << source.error().message;
    EXPECT_EQ(*source, Source(DirectorySource{from})) << from;
  }
}

TEST(Source, GitHubShortForm) {
  expect_git("github.com/a/b", git("https://github.com/a/b"));
  expect_git("github.com/a/b.git", git("https://github.com/a/b.git"));
  expect_git("github.com/a/b#v1:sub/dir", git("https://github.com/a/b", "v1", "sub/dir"));
  expect_git("github.com/a/b.git?branch=x", git("https://github.com/a/b.git", "refs/heads/x"));
}

TEST(Source, Schemes) {
  expect_git("git://host/x", git("git://host/x"));
  expect_git("ssh://git@host:22/x", git("ssh://git@host:22/x"));
  expect_git("http://host/x.git", git("http://host/x.git"));
  expect_git("https://[::1]:8443/x.git", git("https://[::1]:8443/x.git"));
  // git knows no transport named HTTPS.
  expect_git("HTTPS://host/x.git", git("https://host/x.git"));
}

TEST(Source, ScpLike) {
  expect_git("git@host:a/b", git("git@host:a/b"));
  expect_git("git@host:a/b#main:sub", git("git@host:a/b", "main", "sub"));
  expect_git("git@host:a/b?tag=v1", git("git@host:a/b", "refs/tags/v1"));
}

TEST(Source, Fragments) {
  expect_git("https://host/x.git#", git("https://host/x.git"));
  expect_git("https://host/x.git#:sub", git("https://host/x.git", "", "sub"));
  expect_git("https://host/x.git#main:", git("https://host/x.git", "main"));
  expect_git("https://host/x.git#a%2Fb:c%20d", git("https://host/x.git", "a/b", "c d"));
  EXPECT_THAT(message_of("https://host/x.git#a%2"), HasSubstr("%"));
}

TEST(Source, Queries) {
  expect_git("https://host/x.git?ref=a&subdir=b&commit=abc123",
             git("https://host/x.git", "a", "b", "abc123"));
  expect_git("https://host/x.git?tag=refs/tags/v1", git("https://host/x.git", "refs/tags/v1"));
  expect_git("https://host/x.git?ref=v1#v1", git("https://host/x.git", "v1"));
  expect_git("https://host/x.git?branch=a%2Fb&subdir=c+d",
             git("https://host/x.git", "refs/heads/a/b", "c d"));
  expect_git("https://host/x.git?keep-git-dir=false&submodules=0", git("https://host/x.git"));
}

TEST(Source, QueriesThatAreRefused) {
  EXPECT_THAT(message_of("https://host/x.git?depth=1"), HasSubstr("unexpected query \"depth\""));
  EXPECT_THAT(message_of("https://host/x.git?ref="), HasSubstr("no value"));
  EXPECT_THAT(message_of("https://host/x.git?ref"), HasSubstr("no value"));
  EXPECT_THAT(message_of("https://host/x.git?ref=a&ref=a"), HasSubstr("multiple values"));
  EXPECT_THAT(message_of("https://host/x.git?subdir=a#b:c"), HasSubstr("subdir conflicts"));
  EXPECT_THAT(message_of("https://host/x.git?branch=a#b"), HasSubstr("ref conflicts"));
  EXPECT_THAT(message_of("https://host/x.git?checksum=ab&commit=cd"),
              HasSubstr("checksum conflicts"));
  EXPECT_THAT(message_of("https://host/x.git?mtime=now"), HasSubstr("invalid mtime value"));
  EXPECT_THAT(message_of("https://host/x.git?keep-git-dir=1"), HasSubstr("not available"));
  EXPECT_THAT(message_of("https://host/x.git?keep-git-dir"), HasSubstr("not available"));
  EXPECT_THAT(message_of("https://host/x.git?submodules=x"), HasSubstr("invalid submodules value"));
}

TEST(Source, RefusedForms) {
  EXPECT_THAT(message_of(""), HasSubstr("empty"));
  EXPECT_THAT(message_of("https://host/x"), HasSubstr("add '.git'"));
  EXPECT_THAT(message_of("https://host/x.tar.gz?token=1"), HasSubstr("tarballs"));
  EXPECT_THAT(message_of("file:///x"), HasSubstr("under the key 'git'"));
  EXPECT_THAT(message_of("ftp://host/x"), HasSubstr("'ftp'"));
  EXPECT_THAT(message_of("git+ssh://host/x"), HasSubstr("'git+ssh'"));
  EXPECT_THAT(message_of("ext::sh -c id"), HasSubstr("run a program"));
  EXPECT_THAT(message_of("https:///x.git"), HasSubstr("no host"));
  EXPECT_THAT(message_of("ssh://git@host:a/b.git"), HasSubstr("port"));
}

// CVE-2017-1000117, CVE-2018-17456, CVE-2019-13139 and CVE-2020-5260: parts that become options or
// lines.
TEST(Source, OptionsAndControlCharacters) {
  for (const char* from :
       {"-", "--output=x", "ssh://-oProxyCommand=id/x", "ssh://git@-oProxyCommand=id/x",
        "ssh://%2doProxyCommand=id/x", "ssh://-lroot@host/x", "git@-host:x", "-git@host:x",
        "git@host:-x", "https://host/x.git#-u./payload", "https://host/x.git#--upload-pack=id:x",
        "https://host/x.git#main:-x", "https://host/x.git?ref=-x", "https://host/x.git#a%0ab",
        "https://host/x%0a.git", "https://host%0d/x.git", "https://u%0a@host/x.git", "a\nb",
        "https://host/x.git#%00"}) {
    EXPECT_NE(message_of(from), "") << from;
  }
  EXPECT_NE(message_of(std::string_view("a\0b", 3)), "");
}

TEST(Source, SubdirectoriesStayInside) {
  for (const char* subdir : {"..", "../x", "a/../../x", "/..", "a//../.."}) {
    EXPECT_THAT(message_of(std::string("https://host/x.git#main:") + subdir), HasSubstr("leaves"));
  }
  EXPECT_EQ(message_of("https://host/x.git#main:a/../b"), "");
  EXPECT_EQ(message_of("https://host/x.git#main:..a/b.."), "");
}

TEST(Source, RefsThatAreRefspecsOrExpressions) {
  for (const char* ref : {"a:b", "HEAD~1", "HEAD^", "refs/*", "a..b", "main@{1}", "a b", "a\\b"}) {
    GitSource source = git("https://host/x.git", ref);
    EXPECT_FALSE(check_git_source(source)) << ref;
  }
  for (const char* ref : {"", "main", "release/1.2", "refs/pull/1/head", "v1.0.0-rc.1", "a@b"}) {
    GitSource source = git("https://host/x.git", ref);
    EXPECT_TRUE(check_git_source(source)) << ref;
  }
}

TEST(Source, ChecksumsAreHexadecimal) {
  EXPECT_TRUE(check_git_source(git("https://host/x.git", "", "", "DEADbeef")));
  EXPECT_FALSE(check_git_source(git("https://host/x.git", "", "", "main")));
  EXPECT_FALSE(check_git_source(git("https://host/x.git", "", "", "-a")));
  EXPECT_FALSE(check_git_source(git("https://host/x.git", "", "", std::string(65, 'a'))));
}

TEST(Source, MapForm) {
  EXPECT_EQ(*parse_git_remote("https://host/x"), git("https://host/x"));
  EXPECT_EQ(*parse_git_remote("github.com/a/b"), git("https://github.com/a/b"));
  EXPECT_EQ(*parse_git_remote("git@host:x"), git("git@host:x"));
  for (const char* path : {"../x", "/x", "x", ".", "../C#/x"}) {
    EXPECT_EQ(*parse_git_remote(path), (GitSource{path, "", "", "", true})) << path;
  }
}

TEST(Source, MapFormRefuses) {
  EXPECT_THAT(git_message_of(""), HasSubstr("empty"));
  EXPECT_THAT(git_message_of("https://host/x#main"), HasSubstr("'#'"));
  EXPECT_THAT(git_message_of("git@host:x?ref=a"), HasSubstr("'?'"));
  EXPECT_THAT(git_message_of("github.com/a/b#main"), HasSubstr("'#'"));
  EXPECT_THAT(git_message_of("file:///x"), HasSubstr("'file'"));
  EXPECT_THAT(git_message_of("-x"), HasSubstr("'-'"));
  EXPECT_THAT(git_message_of("ext::id"), HasSubstr("program"));
}

// The map form sets the parts one by one.
TEST(Source, CheckLooksAtEveryPart) {
  EXPECT_TRUE(check_git_source({"../x", "main", "a", "ab", true}));
  EXPECT_FALSE(check_git_source({"-x", "", "", "", true}));
  EXPECT_FALSE(check_git_source({"x\ny", "", "", "", true}));
  EXPECT_FALSE(check_git_source({"", "", "", "", true}));
  EXPECT_FALSE(check_git_source({"../x", "", "", "", false}));
  EXPECT_FALSE(check_git_source({"file:///x", "", "", "", false}));
  EXPECT_FALSE(check_git_source({"file://host/x.git", "", "", "", false}));
  EXPECT_FALSE(check_git_source({"ext://host/x.git", "", "", "", false}));
  EXPECT_FALSE(check_git_source(git("https://host/x", "", "a\tb")));
}

TEST(Redacted, Credentials) {
  EXPECT_EQ(redacted("https://user:pw@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://token@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://git:pw@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://a@b:c@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://user:p'w\"@host/x"), "https://xxxxx@host/x");
}

TEST(Redacted, WhatIsNoCredential) {
  for (const char* text :
       {"", "plain", "ssh://git@host/x", "git@host:x", "https://host/a@b", "https://host:80/a@b",
        "https://[::1]:80/a@b", "a://", "https://host, x@y"}) {
    EXPECT_EQ(redacted(text), text);
  }
}

TEST(Redacted, WholeLines) {
  EXPECT_EQ(redacted("fatal: unable to access 'https://u:p@h/x/': via http://a:b@proxy:3128 (x@y)"),
            "fatal: unable to access 'https://xxxxx@h/x/': via http://xxxxx@proxy:3128 (x@y)");
  EXPECT_EQ(redacted("https://u:p@h/x,https://v:q@i/y"), "https://xxxxx@h/x,https://xxxxx@i/y");
  EXPECT_EQ(redacted("https://u:p@h\nhttps://v@i"), "https://xxxxx@h\nhttps://xxxxx@i");
}

// Such a URL is refused, and the message must not give the password away.
TEST(Redacted, PasswordsThatBreakTheUrl) {
  EXPECT_EQ(redacted("https://user:p/w@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://user:p#w@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://[user:p#w@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://[u]:p#w@host/x"), "https://xxxxx@host/x");
}

// What looked like the next URL was the rest of a password.
TEST(Redacted, APasswordThatHoldsAMarkIsNotTakenForTwoUrls) {
  EXPECT_EQ(redacted("https://user:secret://@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://user:a://secret@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://user:://secret@host/x"), "https://xxxxx@host/x");
}

TEST(Redacted, APasswordThatBeginsWithASlashIsNotTakenForAPath) {
  EXPECT_EQ(redacted("https://user:/secret@host/x"), "https://xxxxx@host/x");
  EXPECT_EQ(redacted("https://user:?secret@host/x"), "https://xxxxx@host/x");
}

TEST(Source, APasswordThatBeginsWithASlashIsNotTakenForAPath) {
  for (const char* from : {"https://user:/secret@host/x.git", "ssh://user:?branch=secret@host/x",
                           "ssh://user:]/?secret@host/x"}) {
    const auto source = parse_source(from);
    ASSERT_FALSE(source) << from;
    EXPECT_EQ(source.error().message.find("secret"), std::string::npos) << source.error().message;
  }
  EXPECT_TRUE(parse_source("ssh://git@host:/x@y"));
  EXPECT_TRUE(parse_source("ssh://host:/x"));
}

TEST(Source, ALoginWithAMarkIsRefusedBecauseItWouldBeShown) {
  for (const char* remote : {"https://user:?secret@host/x", "https://user:80#secret@host/x"}) {
    const auto checked = check_git_source({remote, "", "", "", false});
    ASSERT_FALSE(checked) << remote;
    EXPECT_EQ(checked.error().message.find("secret"), std::string::npos);
  }
}

TEST(Source, ABlankInALoginIsRefusedBecauseNoLineCouldHideIt) {
  for (const char* remote :
       {"https://user:sec ret@host/x.git", "ssh://us er@host/x", "https://to ken@host/x.git"}) {
    EXPECT_THAT(message_of(remote), HasSubstr("%20")) << remote;
    EXPECT_THAT(git_message_of(remote), HasSubstr("%20")) << remote;
    EXPECT_FALSE(check_git_source(git(remote))) << remote;
  }
  EXPECT_EQ(message_of("https://user:sec%20ret@host/a b.git"), "");
}

// The part before the `#` was taken for the whole remote: host "user", port "secret".
TEST(Source, APasswordWithABareHashOrMarkIsNamedAsThatAndNotShown) {
  for (const char* from : {"https://user:secret#x@host/x.git", "ssh://user:secret#x@host/x",
                           "https://user:secret?x@host/x.git", "git://user:secret/x@host/x"}) {
    EXPECT_THAT(message_of(from), HasSubstr("'#' is %23")) << from;
    EXPECT_THAT(message_of(from), HasSubstr("://xxxxx@host/x")) << from;
  }
}

// A message is one line of bounded length, however long the text is that it quotes.
TEST(Source, MessagesQuoteNoMoreThanALine) {
  const std::string much(100'000, 'x');
  for (const std::string& from :
       {"-" + much, much + "::x", much + "://host/x", "https://host/" + much, "ssh://h:" + much,
        "ssh://h/x#-" + much, "ssh://h/x#*" + much, "ssh://h/x#a:../" + much,
        "ssh://h/x?commit=" + much, "ssh://h/x?" + much + "=1", "ssh://h/x?a=1&ref=" + much + "#b",
        "ssh://h/x?mtime=" + much, "ssh://h/x?submodules=" + much,
        "ssh://h/x?" + much + "&" + much}) {
    EXPECT_NE(message_of(from), "") << from.substr(0, 20);
    EXPECT_LT(message_of(from).size(), 400U) << from.substr(0, 20);
  }
}

TEST(Redacted, MessagesHoldNoPassword) {
  for (const char* from :
       {"https://user:secret@host/x", "https://user:secret@/x.git",
        "https://user:sec/secret@host/x.git", "https://user:secret%0a@host/x.git",
        "https://-user:secret@host/x.git", "https://user:secret@host:port/x.git",
        "ftp://user:secret@host/x", "https://user:secret@host/x.git?depth=1",
        "https://user:secret%@host/x.git", "https://user:my secret@host/x",
        "https://user:secret word@host/x", "-https://user:my secret@host/x",
        "https://user:secret://@host/x.git", "https://user:secret#x@host/x.git"}) {
    EXPECT_NE(message_of(from), "") << from;
    EXPECT_THAT(message_of(from), Not(HasSubstr("secret"))) << from;
  }
}

TEST(Source, Described) {
  EXPECT_EQ(describe(DirectorySource{"./a"}), "./a");
  EXPECT_EQ(describe(git("https://u:p@host/x.git")), "https://xxxxx@host/x.git");
  EXPECT_EQ(describe(git("git@host:x", "main")), "git@host:x#main");
  EXPECT_EQ(describe(git("git@host:x", "main", "a/b")), "git@host:x#main:a/b");
  EXPECT_EQ(describe(git("git@host:x", "", "a/b")), "git@host:x#:a/b");
}

TEST(conformance_source, ConformanceGitRefs) {
  const std::string path = conformance_file("git-refs.json");
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no conformance data at " << path;
  for (const auto& test : nlohmann::json::parse(file)) {
    const auto from = test.at("from").get<std::string>();
    SCOPED_TRACE(from);
    const auto source = parse_source(from);
    if (test.contains("error")) {
      EXPECT_FALSE(source) << "is accepted";
      EXPECT_THAT(message_of(from), HasSubstr(test.at("error").get<std::string>()));
    } else if (test.at("git").get<bool>()) {
      expect_git(from, git(test.at("remote"), test.value("ref", ""), test.value("subdir", ""),
                           test.value("checksum", "")));
    } else {
      EXPECT_TRUE(!source || std::holds_alternative<DirectorySource>(*source)) << "is git";
    }
  }
}

}  // namespace
}  // namespace imagewright
