#include "core/stages.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace imagewright {
namespace {

StageRequest target(const std::string& name) {
  StageRequest request;
  request.target = name;
  return request;
}

StageRequest given(const std::map<std::string, std::string>& args) {
  StageRequest request;
  request.args = args;
  return request;
}

// What is needed, one stage a line: its number, then what it stands on and takes from.
std::string needed(std::string_view text, StageRequest request = {}) {
  if (request.platform.empty()) request.platform = "linux/arm/v7";
  if (request.build_platform.empty()) request.build_platform = "linux/amd64";
  const auto file = parse_dockerfile(text);
  if (!file) return "no Dockerfile: " + file.error().message;
  const auto stages = find_stages(*file, request);
  if (!stages) return fmt::format("{}: {}", stages.error().line, stages.error().message);
  std::string result;
  for (const std::size_t number : stages->needed) {
    result += std::to_string(number);
    for (const StageSource& source : stages->all[number].sources) {
      result += source.kind == StageSource::Kind::Base   ? " on "
                : source.kind == StageSource::Kind::Copy ? " copies "
                                                         : " mounts ";
      result += source.stage ? std::to_string(*source.stage) : source.image;
      if (!source.platform.empty()) result += " for " + source.platform;
    }
    result += "\n";
  }
  return result;
}

TEST(Stages, OnlyWhatTheTargetReachesIsNeeded) {
  constexpr std::string_view kFile =
      "FROM a AS one\n"
      "FROM b AS two\n"
      "COPY --from=one /x /\n"
      "FROM c AS three\n"
      "FROM TWO\n"
      "RUN --mount=type=bind,from=three,target=/t --mount=from=d,target=/u x\n"
      "COPY --from=0 /x /\n"
      "COPY --from=e:1 /x /\n";
  EXPECT_EQ(needed(kFile),
            "0 on a\n1 on b copies 0\n2 on c\n3 on 1 mounts 2 mounts d copies 0 copies e:1\n");
  EXPECT_EQ(needed(kFile, target("three")), "2 on c\n");
  EXPECT_EQ(needed(kFile, target("Two")), "0 on a\n1 on b copies 0\n");
  EXPECT_EQ(needed(kFile, target("0")), "0 on a\n");
  EXPECT_EQ(needed(kFile, target("four")), "0: there is no stage 'four'");
  EXPECT_EQ(needed(kFile, target("4")), "0: there is no stage '4'");
}

TEST(Stages, FromSeesGlobalArgumentsAndPlatforms) {
  constexpr std::string_view kFile =
      "ARG tag=1\nARG name=base:$tag other\nFROM --platform=$BUILDPLATFORM $name AS x\n"
      "ARG tag=2\nFROM $TARGETOS-$TARGETARCH-$TARGETVARIANT${other:+-other}\nCOPY --from=x / /\n";
  EXPECT_EQ(needed(kFile), "0 on base:1 for linux/amd64\n1 on linux-arm-v7 copies 0\n");
  EXPECT_EQ(needed(kFile, given({{"tag", "9"}, {"other", "o"}, {"unknown", "u"}})),
            "0 on base:9 for linux/amd64\n1 on linux-arm-v7-other copies 0\n");
  EXPECT_EQ(needed("FROM a$unknown\n", given({{"unknown", "u"}})), "0 on a\n");
  EXPECT_EQ(needed("FROM $TARGETSTAGE\n"), "0 on default\n");
}

TEST(Stages, ScratchIsNoImage) {
  EXPECT_EQ(needed("FROM scratch\nCOPY --from=scratch / /\nCOPY a /\n"), "0\n");
}

TEST(Stages, ANameStandsForTheStageLastSoNamed) {
  EXPECT_EQ(needed("FROM a AS x\nFROM x AS x\nFROM x\n"), "0 on a\n1 on 0\n2 on 1\n");
  EXPECT_EQ(needed("FROM x\nFROM a AS x\n", target("0")), "0 on x\n") << "an image";
}

TEST(Stages, WhatNeedsItselfIsAnError) {
  EXPECT_EQ(needed("FROM a AS x\nCOPY --from=y / /\nFROM x AS y\n"),
            "2: the stage of line 3 needs itself");
  EXPECT_EQ(needed("FROM a AS x\nCOPY --from=x / /\n"), "2: the stage of line 1 needs itself");
}

TEST(Stages, ErrorsHaveALine) {
  EXPECT_EQ(needed("RUN x\nFROM a\n"), "1: 'run' stands before the first FROM");
  EXPECT_EQ(needed("ARG x\n"), "1: there is no FROM");
  EXPECT_EQ(needed("FROM\n"), "1: FROM takes an image, or an image, AS and a name");
  EXPECT_EQ(needed("FROM a b c\n"), "1: FROM takes an image, or an image, AS and a name");
  EXPECT_EQ(needed("ARG x\nFROM $x\n"), "2: the image of FROM, '$x', comes to nothing");
  EXPECT_EQ(needed("FROM ${x:?wanted}\n"), "1: x: wanted");
  EXPECT_EQ(needed("FROM a AS 1b\n").substr(0, 29), "1: '1b' is no name for a stag");
  EXPECT_EQ(needed("FROM --pull a\n"), "1: FROM knows no flag '--pull'");
  EXPECT_EQ(needed("FROM a\nCOPY --from=7 / /\n"), "2: there is no stage number 7");
  EXPECT_EQ(needed("FROM a\nCOPY --from=$x / /\n"),
            "2: variables have no place in 'from=$x'; give a stage that name with FROM");
}

TEST(Stages, MountsAreReadAsCommaSeparatedValues) {
  EXPECT_EQ(mount_option("--mount=type=bind,From=a,source=b", "from"), "a");
  EXPECT_EQ(mount_option("--mount=type=bind,\"from=a,b\",x", "from"), "a,b");
  EXPECT_EQ(mount_option("--mount=\"from=a\"\"b\"", "from"), "a\"b");
  EXPECT_EQ(mount_option("--mount=type=cache", "from"), std::nullopt);
  EXPECT_EQ(mount_option("--network=from=x", "from"), std::nullopt);
}

}  // namespace
}  // namespace imagewright
