#include "core/links.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace imagewright {
namespace {

const Platforms kHere = {"linux/arm64", "linux/amd64"};

std::string links(std::string_view text, const ImageConfig& image = {}) {
  const auto found = find_links(text, image, kHere);
  if (!found) return describe(found.error(), "Dockerfile");
  std::string result;
  for (const Link& link : *found) {
    result += fmt::format("{} {}", word(link.kind), link.image);
    if (!link.directory.empty()) result += "directory " + link.directory;
    if (link.written != link.image) result += " as " + link.written;
    if (!link.platform.empty()) result += " for " + link.platform;
    result += fmt::format(" {}\n", link.line);
  }
  return result;
}

// Every image that is used, with another reference.
std::string pinned(std::string_view text, const ImageConfig& image = {}) {
  const auto found = find_links(text, image, kHere);
  if (!found) return describe(found.error(), "Dockerfile");
  References references;
  for (const Link& link : *found)
    references[{link.written, link.platform}] = "pinned/" + link.image;
  return with_references(text, image, kHere, references);
}

TEST(Links, AreWhatTheTargetReaches) {
  constexpr std::string_view kFile =
      "ARG BASE=debian:12\n"
      "FROM --platform=$BUILDPLATFORM $BASE AS build\n"
      "FROM unused\n"
      "RUN --mount=from=also-unused,target=/x true\n"
      "FROM team/base\n"
      "COPY --from=build /x /\n"
      "COPY --from=team/tools /y /\n"
      "RUN --mount=type=bind,from=team/data,target=/d true\n";
  EXPECT_EQ(links(kFile),
            "from debian:12 for linux/amd64 2\nfrom team/base 5\ncopy team/tools 7\nmount "
            "team/data 8\n");
  ImageConfig image;
  image.target = "build";
  image.args["BASE"] = "team/other";
  image.depends_on = {"team/db"};
  EXPECT_EQ(links(kFile, image), "from team/other for linux/amd64 2\ndepends-on team/db 0\n");
}

TEST(Links, AContextStandsInForAnImageAndForAStage) {
  ImageConfig image;
  image.additional_contexts = {{"base", "image:team/base"},
                               {"debian:12", "docker-image://mirror/debian:12"}};
  EXPECT_EQ(links("FROM debian:12 AS Base\n"
                  "RUN nothing\n"
                  "FROM docker.io/library/debian:12\n"
                  "COPY --from=BASE /x /\n",
                  image),
            "from team/base as base 1\nfrom mirror/debian:12 as docker.io/library/debian:12 3\n");
}

TEST(Links, ADirectoryStandsInForWhatFilesComeFrom) {
  ImageConfig image;
  image.additional_contexts = {{"sources", "../sources"}, {"team/data", "data"}};
  EXPECT_EQ(links("FROM scratch\n", image), "");
  EXPECT_EQ(links("FROM scratch AS a\nCOPY --from=team/data / /\n"
                  "FROM scratch\nCOPY --from=sources x /\n"
                  "RUN --mount=from=sources,target=/s true\n",
                  image),
            "copy directory ../sources as sources 4\nmount directory ../sources as sources 5\n");
  EXPECT_EQ(links("# syntax=team/other:1\nFROM a\n", image),
            "syntax team/other:1 1\ncopy directory ../sources as sources 0\ncopy directory data as "
            "team/data 0\n");
  EXPECT_EQ(links("FROM sources\n", image),
            "Dockerfile:1: 'sources' is a directory, and no image that a stage can stand on");
  for (const char* value : {"https://h/x", "git@h:x", "oci-layout://x", "target:x", "service:x"}) {
    image.additional_contexts = {{"x", value}};
    EXPECT_EQ(links("FROM scratch\n", image),
              "Dockerfile: the additional context 'x' is '" + std::string(value) +
                  "'; it must be a directory or an image in this version of imagewright: PATH, "
                  "image:NAME or docker-image://REFERENCE");
  }
  image.additional_contexts = {{"x", "./target:x"}};
  EXPECT_EQ(links("FROM scratch\nCOPY --from=x y /\n", image),
            "copy directory ./target:x as x 2\n");
}

TEST(Links, AnotherFrontendsFileIsNotLookedInto) {
  EXPECT_EQ(links("# syntax=team/other:1\nFROM a\n"), "syntax team/other:1 1\n");
  EXPECT_EQ(links("#!/bin/x\n# escape=`\n# syntax = team/other:1 --some words\nFROM a\n"),
            "syntax team/other:1 3\n");
  EXPECT_EQ(links("# syntax=docker/dockerfile:1.7\nFROM a\n"),
            "from a 2\nsyntax docker/dockerfile:1.7 1\n");
  EXPECT_EQ(links("# syntax=docker.io/docker/dockerfile-upstream:master\nFROM a\n"),
            "from a 2\nsyntax docker.io/docker/dockerfile-upstream:master 1\n");
  const std::string pinned = "docker/dockerfile@sha256:" + std::string(64, '0');
  EXPECT_EQ(links("# syntax=" + pinned + "\nFROM a\n"), "from a 2\nsyntax " + pinned + " 1\n");
}

TEST(Links, ErrorsAreTheDockerfilesOwn) {
  EXPECT_EQ(links("FROM a\nFROM\n"),
            "Dockerfile:2: FROM takes an image, or an image, AS and a name");
  ImageConfig image;
  image.target = "missing";
  EXPECT_EQ(links("FROM a\n", image), "Dockerfile: there is no stage 'missing'");
}

TEST(WithReferences, OnlyTheReferencesChange) {
  EXPECT_EQ(pinned("# a comment with FROM team/base\n"
                   "ARG BASE=team/base\n"
                   "from  --platform=linux/amd64   ${BASE:-x}   aS one\n"
                   "RUN echo team/base\n"
                   "FROM team/base\n"
                   "COPY --chown=1:1 --from=team/tools \\\n"
                   "  # in between\n"
                   "  team/tools /\n"
                   "COPY --from=one /x /\n"),
            "# a comment with FROM team/base\n"
            "ARG BASE=team/base\n"
            "from  --platform=linux/amd64   pinned/team/base   aS one\n"
            "RUN echo team/base\n"
            "FROM pinned/team/base\n"
            "COPY --chown=1:1 --from=pinned/team/tools \\\n"
            "  # in between\n"
            "  team/tools /\n"
            "COPY --from=one /x /\n");
}

TEST(WithReferences, MountsWhateverTheirForm) {
  EXPECT_EQ(
      pinned("FROM scratch\n"
             "RUN --network=none --mount=type=bind,from=team/a,target=/a \\\n"
             "    --mount=target=/b,FROM=team/b x\n"
             "RUN <<EOF\n"
             "--mount=from=team/c\n"
             "EOF\n"
             "RUN --mount=\"from=team/d,target=/with blank\" --mount='type=tmpfs,target=/t' x\n"),
      "FROM scratch\n"
      "RUN --network=none --mount=type=bind,from=pinned/team/a,target=/a \\\n"
      "    --mount=target=/b,from=pinned/team/b x\n"
      "RUN <<EOF\n"
      "--mount=from=team/c\n"
      "EOF\n"
      "RUN --mount=from=pinned/team/d,target=/with\\ blank --mount='type=tmpfs,target=/t' x\n");
}

TEST(WithReferences, AFlagThatGoesOverLines) {
  EXPECT_EQ(pinned("# escape=`\nFROM scratch\r\nCOPY --from=te`\r\nam/a /x /\r\n"),
            "# escape=`\nFROM scratch\r\nCOPY --from=pinned/team/a /x /\r\n");
  EXPECT_EQ(pinned("FROM \\\n\\\n a\nRUN x"), "FROM \\\n\\\n pinned/a\nRUN x");
}

TEST(WithReferences, BehindAByteOrderMark) {
  EXPECT_EQ(pinned("\xef\xbb\xbf"
                   "FROM a\n"),
            "\xef\xbb\xbf"
            "FROM pinned/a\n");
}

TEST(WithReferences, AStageForWhichAContextStandsIsOnlyThat) {
  ImageConfig image;
  image.additional_contexts = {{"base", "image:team/base"}};
  EXPECT_EQ(pinned("FROM debian AS base\n"
                   "RUN one \\\n"
                   "  two\n"
                   "COPY a b\n"
                   "FROM base\n"
                   "RUN three\n",
                   image),
            "FROM pinned/team/base AS base\n"
            "\n"
            "\n"
            "\n"
            "FROM base\n"
            "RUN three\n");
}

TEST(Links, TheFrontendIsNamedOtherwiseInItsOwnLineOnly) {
  EXPECT_EQ(pinned("# SYNTAX=docker/dockerfile:1\nFROM a\nRUN echo syntax=docker/dockerfile:1\n"),
            "# SYNTAX=pinned/docker/dockerfile:1\nFROM pinned/a\n"
            "RUN echo syntax=docker/dockerfile:1\n");
}

TEST(Links, AMirrorOfDockersFrontendReadsAsThatDoes) {
  EXPECT_TRUE(is_known_frontend("mirror.example.com/docker/dockerfile:1"));
  EXPECT_TRUE(is_known_frontend("mirror.example.com/hub/docker/dockerfile-upstream:1"));
  EXPECT_FALSE(is_known_frontend("mirror.example.com/dockerfile:1"));
  EXPECT_FALSE(is_known_frontend("someone/docker-dockerfile"));
}

}  // namespace
}  // namespace imagewright
