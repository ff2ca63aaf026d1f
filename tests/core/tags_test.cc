#include "core/tags.h"

#include <gtest/gtest.h>

#include <string>

#include "core/digest.h"

namespace imagewright {
namespace {

TagFacts facts() {
  return {"0123456789abcdef0123456789abcdef01234567", "feature/x", "v1.2", "2026-03-21",
          "sha256:fedcba9876543210"};
}

// With blanks between, or the error.
std::string references(const std::vector<std::string>& templates, const TagFacts& of = facts(),
                       const std::string& name = "registry.lan:5000/team/app:1") {
  const auto all = references_for(name, templates, of);
  if (!all) return all.error().message;
  std::string text;
  for (const std::string& reference : *all) text += (text.empty() ? "" : " ") + reference;
  return text;
}

std::string wrong(const std::string& tag) {
  const auto good = check_tag(tag);
  return good ? "" : good.error().message;
}

TEST(Tags, TheNameIsTheFirst) {
  EXPECT_EQ(references({}), "registry.lan:5000/team/app:1");
  EXPECT_EQ(references({"other/name", ":2"}),
            "registry.lan:5000/team/app:1 other/name registry.lan:5000/team/app:2");
}

TEST(Tags, AreFilledIn) {
  EXPECT_EQ(
      references({":{git.short}", ":{git.branch}-{date}", "x/y:{git.tag}", ":{digest.short}"}),
      "registry.lan:5000/team/app:1 registry.lan:5000/team/app:0123456789ab "
      "registry.lan:5000/team/app:feature-x-2026-03-21 x/y:v1.2 "
      "registry.lan:5000/team/app:fedcba987654");
}

TEST(Tags, NoTwoAreAlike) {
  EXPECT_EQ(references({"docker.io/library/app", ":latest", ":1", ":1"}, facts(), "app"),
            "app app:1");
}

TEST(Tags, OneWhoseBranchOrTagIsNotKnownIsLeftOut) {
  TagFacts some = facts();
  some.branch.clear();
  some.tag.clear();
  EXPECT_EQ(references({":{git.branch}", ":{git.tag}", ":{git.short}"}, some, "app"),
            "app app:0123456789ab");
}

TEST(Tags, OneThatWantsGitWhereThereIsNoneIsAnError) {
  EXPECT_EQ(
      references({":{git.short}"}, TagFacts{}),
      "the tag ':{git.short}' cannot be made: '{git.short}' is not known, as its source is not "
      "in git");
}

TEST(Tags, WhatCanBeNoReferenceIsRefused) {
  EXPECT_EQ(wrong(":{git.short}"), "");
  EXPECT_EQ(wrong("a/b:{date}"), "");
  EXPECT_EQ(wrong("{git.branch}/x"), "");
  EXPECT_EQ(wrong(":{git.sort}"),
            "there is no '{git.sort}' to be filled in; did you mean 'git.short'?");
  EXPECT_EQ(wrong(":{"), "there is no '{}' to be filled in");
  EXPECT_NE(wrong(":a}"), "");
  EXPECT_NE(wrong(""), "");
  EXPECT_NE(wrong(":"), "");
  EXPECT_NE(wrong("UPPER"), "");
  EXPECT_NE(wrong("a@sha256:" + std::string(64, 'a')), "");
  TagFacts odd = facts();
  odd.branch = std::string(200, 'x');
  EXPECT_NE(references({":{git.branch}"}, odd).find("malformed tag"), std::string::npos);
}

// (What was pushed by an earlier version is to be found: the text of docs/formats.md.)
TEST(Tags, AFingerprintHasOneInTheRepositoryOfTheName) {
  const std::string print(64, 'a');
  EXPECT_EQ(fingerprint_reference("localhost:5000/a/b:1.0", print, "buildah", "linux/amd64"),
            "localhost:5000/a/b:imagewright-" +
                hex(sha256("1 " + print + "\nbuildah\nlinux/amd64\n")).substr(0, 32));
  const auto one = fingerprint_reference("a", print, "docker", "linux/amd64");
  EXPECT_NE(one, fingerprint_reference("a", print, "buildah", "linux/amd64"));
  EXPECT_NE(one, fingerprint_reference("a", print, "docker", "linux/arm64"));
  EXPECT_NE(one, fingerprint_reference("a", std::string(64, 'b'), "docker", "linux/amd64"));
}

}  // namespace
}  // namespace imagewright
