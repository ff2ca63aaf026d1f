#include "io/short_names.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>

#include "temp_directory.h"

namespace imagewright {
namespace {

class ShortNamesTest : public testing::Test {
 protected:
  ShortNamesTest() {
    setenv("HOME", directory_.path().c_str(), 1);
    setenv("XDG_CONFIG_HOME", (directory_ / "config").c_str(), 1);
    setenv("CONTAINERS_REGISTRIES_CONF", (directory_ / "registries.conf").c_str(), 1);
  }
  ~ShortNamesTest() override {
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("CONTAINERS_REGISTRIES_CONF");
  }

  static std::string means(const std::string& name) {
    std::string text;
    for (const std::string& one : ShortNames::load().meanings(*parse_reference(name)))
      text += (text.empty() ? "" : " ") + one;
    return text;
  }

  TempDirectory directory_;
};

TEST_F(ShortNamesTest, AreAliasesOrLookedFor) {
  directory_.write("registries.conf",
                   "unqualified-search-registries = ['one.io', 'two.io']\n"
                   "[aliases]\n'imagewright-a' = 'other.io/x/a'\n");
  EXPECT_EQ(means("imagewright-a"), "other.io/x/a");
  EXPECT_EQ(means("imagewright-a:1"), "other.io/x/a:1");
  EXPECT_EQ(means("imagewright-b:1"), "one.io/imagewright-b:1 two.io/imagewright-b:1");
  EXPECT_EQ(means("team/imagewright-b"), "one.io/team/imagewright-b two.io/team/imagewright-b");
}

TEST_F(ShortNamesTest, LaterFilesWin) {
  directory_.write("registries.conf",
                   "unqualified-search-registries = ['one.io']\n"
                   "[aliases]\n'imagewright-a' = 'x.io/a'\n'imagewright-b' = 'x.io/b'\n");
  directory_.write("config/containers/registries.conf.d/a.conf",
                   "unqualified-search-registries = ['three.io']\n"
                   "[aliases]\n'imagewright-a' = 'y.io/a'\n'imagewright-b' = ''\n");
  EXPECT_EQ(means("imagewright-a"), "y.io/a");
  EXPECT_EQ(means("imagewright-b"), "three.io/imagewright-b");
}

TEST_F(ShortNamesTest, SayWhichRegistriesAreInsecure) {
  directory_.write("registries.conf",
                   "[[registry]]\nlocation = 'plain.lan:5000/part'\ninsecure = true\n"
                   "[[registry]]\nprefix = 'p.lan'\nlocation = 'q.lan'\ninsecure = true\n"
                   "[[registry]]\nlocation = 'good.lan'\n");
  EXPECT_EQ(ShortNames::load().insecure(),
            (std::vector<std::string>{"plain.lan:5000", "q.lan", "p.lan"}));
}

TEST_F(ShortNamesTest, WhatCannotBeReadIsAsIfItWereNotThere) {
  EXPECT_EQ(means("imagewright-a"), "");
  directory_.write("registries.conf", "[[[ no toml");
  EXPECT_EQ(means("imagewright-a"), "");
  directory_.write("registries.conf",
                   "unqualified-search-registries = 1\naliases = 2\nregistry = 3\n");
  EXPECT_EQ(means("imagewright-a"), "");
}

TEST_F(ShortNamesTest, AreThoseWithoutARegistry) {
  for (const char* name : {"debian", "library/debian", "team/app:1"})
    EXPECT_TRUE(is_short_name(*parse_reference(name))) << name;
  for (const char* name : {"docker.io/library/debian", "localhost/x", "localhost:5000/x", "a.b/c"})
    EXPECT_FALSE(is_short_name(*parse_reference(name))) << name;
}

}  // namespace
}  // namespace imagewright
