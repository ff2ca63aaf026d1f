#include "core/reach.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace imagewright {
namespace {

const BaseImages kNoneIsKnown = [](const Link&) { return std::nullopt; };
const BaseImages kAllArePlain = [](const Link&) { return BaseImage{}; };

BaseImages all_are(BaseImage base) {
  return [base](const Link&) { return base; };
}

// The reach on one line, or "all: " and why.
std::string reach(std::string_view dockerfile, const ImageConfig& image = {},
                  const BaseImages& bases = kAllArePlain) {
  const Reach reach = find_reach(dockerfile, image, {"linux/amd64", "linux/amd64"}, bases);
  if (reach.text.empty()) return "all: " + reach.why_whole;
  std::string text = reach.text;
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

TEST(Reach, IsWhatCopyAddAndMountsName) {
  EXPECT_EQ(reach("FROM scratch\nCOPY a b/c /x/\nADD d.tar /\n"), "/a /b/c /d.tar");
  EXPECT_EQ(reach("FROM scratch\nCOPY [\"a b\", \"/x/\"]\n"), "/a?b");
  EXPECT_EQ(reach("FROM scratch\nRUN --mount=type=bind,source=src/,target=/s make\n"), "/src");
  EXPECT_EQ(reach("FROM scratch\nRUN --mount=src=/go.mod,target=/go.mod true\n"), "/go.mod");
  EXPECT_EQ(reach("FROM scratch\nRUN make\nCMD [\"x\"]\n"), "-");
  EXPECT_EQ(reach("FROM scratch\nCOPY <<EOF /x\nCOPY . /\nEOF\nCOPY <<A b /x\nA\n"), "/b");
}

TEST(Reach, IsAllWhereAnythingTakesAll) {
  EXPECT_EQ(reach("FROM scratch\nCOPY a /\nCOPY . /\n"), "all: line 3: 'copy' takes all of it");
  for (const char* path : {".", "/", "./", "./.", "..", "../..", "a/..", "/.", "[ab]", "\"\""}) {
    EXPECT_EQ(reach(std::string("FROM scratch\nCOPY ") + path + " /x\n"),
              "all: line 2: 'copy' takes all of it")
        << path;
  }
  EXPECT_EQ(reach("FROM scratch\nRUN --mount=type=bind,target=/x true\n"),
            "all: line 2: --mount takes all of it");
}

TEST(Reach, CleansPathsAsAnEngineDoes) {
  EXPECT_EQ(reach("FROM scratch\nCOPY ./a//b/ ../c d/../e /f /x/\n"), "/a/b /c /e /f");
}

TEST(Reach, KeepsWildcards) {
  EXPECT_EQ(reach("FROM scratch\nCOPY *.txt src/?.c a/**/b /x/\n"), "/*.txt /a/*/b /src/?.c");
  // Classes and escapes are not taken alike everywhere: all that is in their directory.
  EXPECT_EQ(reach("FROM scratch\nCOPY src/a[12].c /x/\n"), "/src");
  EXPECT_EQ(reach("FROM scratch\nCOPY src/lib/a\\\\*b /x/\n"), "/src/lib");
}

TEST(Reach, WritesNamesThatPatternsWouldTakeOtherwiseAsPatterns) {
  EXPECT_EQ(reach("FROM scratch\nCOPY a+b !c #d {e} /x/\n"), "/?c /?d /?e? /a?b");
  EXPECT_EQ(reach("FROM scratch\nCOPY caf\xc3\xa9 *\xc3\xa9\xc3\xa9*.x /x/\n"), "/*.x /caf*");
}

TEST(Reach, LeavesOtherStagesAndWhatIsNotNeededOut) {
  EXPECT_EQ(reach("FROM scratch AS a\nCOPY a /\nFROM scratch AS b\nCOPY . /\n"
                  "FROM scratch\nCOPY --from=a /a /\nCOPY --from=busybox /bin /\n"
                  "RUN --mount=from=a,source=/x,target=/y true\n"),
            "/a");
  ImageConfig image;
  image.target = "b";
  EXPECT_EQ(reach("FROM scratch AS a\nCOPY . /\nFROM scratch AS b\nCOPY b /\n", image), "/b");
}

TEST(Reach, LeavesMountsWithoutContextOut) {
  EXPECT_EQ(reach("FROM scratch\nRUN --mount=type=cache,source=x,target=/c "
                  "--mount=type=tmpfs,target=/t --mount=type=secret,id=s --mount=type=ssh "
                  "--network=none true\n"),
            "-");
  EXPECT_EQ(reach("FROM scratch\nRUN --mount=type=odd,target=/c true\n"),
            "all: line 2: '--mount=type=odd,target=/c' is not understood");
  EXPECT_EQ(reach("FROM scratch\nRUN --device=x true\n"),
            "all: line 2: '--device=x' is not understood");
}

TEST(Reach, LeavesUrlsOut) {
  EXPECT_EQ(reach("FROM scratch\nADD http://h/a https://h/b c /x/\n"), "/c");
}

TEST(Reach, IsAllForFlagsAndInstructionsThatAreNotKnown) {
  EXPECT_EQ(reach("FROM scratch\nCOPY --chown=1 --chmod=2 --link --exclude=*.o a /\n"), "/a");
  EXPECT_EQ(reach("FROM scratch\nCOPY --odd a /\n"), "all: line 2: the flag '--odd' is not known");
  EXPECT_EQ(reach("FROM scratch\nADD --from=x a /\n"),
            "all: line 2: the flag '--from=x' is not known");
  EXPECT_EQ(reach("FROM scratch\nFETCH a /\n"), "all: line 2: 'fetch' is not known");
  EXPECT_EQ(reach("# syntax=example/frontend\nFROM scratch\nCOPY a /\n"),
            "all: the Dockerfile is for 'example/frontend'");
  EXPECT_EQ(reach("# syntax=docker/dockerfile:1.4\nFROM scratch\nCOPY a /\n"), "/a");
}

TEST(Reach, TakesParentsWithWildcardsAsTheirDirectory) {
  EXPECT_EQ(reach("FROM scratch\nCOPY --parents a/./b/c d/*/e /x/\n"), "/a/b/c /d");
  EXPECT_EQ(reach("FROM scratch\nCOPY --parents **/*.txt /x/\n"),
            "all: line 2: 'copy' takes all of it");
}

TEST(Reach, PutsVariablesIn) {
  ImageConfig image;
  image.args = {{"A", "given"}};
  EXPECT_EQ(
      reach("FROM scratch\nARG A=a\nARG B=b\nENV C=$A/c\nCOPY $A ${B} \"$C\" '$C' /x/\n", image),
      "/?C /b /given /given/c");
  EXPECT_EQ(reach("ARG V=1\nFROM scratch\nARG V\nCOPY v$V v$W.x /x/\n"), "/v.x /v1");
  EXPECT_EQ(reach("FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH/b /x/\n"), "/amd64/b");
  // As they are at that point.
  EXPECT_EQ(reach("FROM scratch\nENV A=1\nCOPY $A /x/\nENV A=2\nCOPY $A /x/\n"), "/1 /2");
  // Of one instruction together.
  EXPECT_EQ(reach("FROM scratch\nENV A=1\nENV A=2 B=$A\nCOPY $B /x/\n"), "/1");
}

TEST(Reach, IsAllWhereEnginesDifferInAVariable) {
  EXPECT_EQ(reach("FROM scratch\nARG A=1\nENV A=2\nCOPY $A /x/\n"),
            "all: line 4: what '$A' stands for is not known (A)");
  EXPECT_EQ(reach("FROM scratch\nARG A=1\nARG A=2\nCOPY $A /x/\n"),
            "all: line 4: what '$A' stands for is not known (A)");
  EXPECT_EQ(reach("FROM scratch AS a\nARG A=1\nFROM a\nCOPY $A /x/\n"),
            "all: line 4: what '$A' stands for is not known (A)");
  EXPECT_EQ(reach("FROM scratch AS a\nARG A=1\nFROM a\nARG A=1\nCOPY $A /x/\n"), "/1");
  EXPECT_EQ(reach("ARG A=1\nFROM scratch\nCOPY a$A /x/\n"),
            "all: line 3: what 'a$A' stands for is not known (A)");
  EXPECT_EQ(reach("FROM scratch\nCOPY a$TARGETARCH /x/\n"),
            "all: line 2: what 'a$TARGETARCH' stands for is not known (TARGETARCH)");
  ImageConfig given;
  given.args = {{"A", "1"}};
  EXPECT_EQ(reach("FROM scratch\nCOPY a$A /x/\n", given),
            "all: line 2: what 'a$A' stands for is not known (A)");
  EXPECT_EQ(reach("FROM scratch\nCOPY $http_proxy /x/\n"),
            "all: line 2: what '$http_proxy' stands for is not known (http_proxy)");
  EXPECT_EQ(reach("FROM scratch\nCOPY ${A?no} /x/\n"),
            "all: line 2: what '${A?no}' stands for is not known");
}

TEST(Reach, FollowsABasesVariables) {
  EXPECT_EQ(reach("FROM b\nCOPY $DIR/x /\n", {}, all_are({{"PATH=/bin", "DIR=src"}, {}})),
            "/src/x");
  EXPECT_EQ(reach("FROM b AS c\nENV X=$DIR/y\nFROM c\nCOPY $X /\n", {}, all_are({{"DIR=s"}, {}})),
            "/s/y");
}

TEST(Reach, IsAllForABaseThatIsNotKnown) {
  const Reach found =
      find_reach("FROM base/image\nCOPY a /\n", {}, {"linux/amd64", "linux/amd64"}, kNoneIsKnown);
  EXPECT_EQ(found.text, "");
  EXPECT_TRUE(found.for_a_base);
  EXPECT_EQ(found.why_whole, "what 'base/image' does to builds (its ONBUILD) is not known here");
  // Unless only files are copied from it.
  EXPECT_EQ(reach("FROM scratch\nCOPY --from=base /a /\nCOPY b /\n", {}, kNoneIsKnown), "/b");
}

TEST(Reach, AsksForBasesOnlyWhereTheyDecide) {
  int asked = 0;
  const BaseImages bases = [&](const Link&) {
    ++asked;
    return BaseImage{};
  };
  EXPECT_EQ(reach("FROM b\nCOPY . /\n", {}, bases), "all: line 2: 'copy' takes all of it");
  EXPECT_EQ(asked, 0);
  EXPECT_EQ(reach("FROM b\nCOPY a /\n", {}, bases), "/a");
  EXPECT_EQ(asked, 1);
}

TEST(Reach, RunsTriggers) {
  EXPECT_EQ(reach("FROM b\nCOPY a /\n", {}, all_are({{}, {"COPY . /app"}})),
            "all: line 2: 'copy' takes all of it");
  EXPECT_EQ(
      reach("FROM b\nCOPY a /\n", {}, all_are({{}, {"ENV X=p", "COPY $X.json /", "RUN make"}})),
      "/a /p.json");
  EXPECT_EQ(reach("FROM b\n", {}, all_are({{}, {"COPY <<EOF /x"}})),
            "all: the ONBUILD of 'b' is not understood");
  // Of a stage, for the next one and not for those behind.
  EXPECT_EQ(reach("FROM scratch AS a\nONBUILD COPY x /\nFROM a AS b\nFROM b\n"), "/x");
  EXPECT_EQ(reach("FROM scratch AS a\nONBUILD COPY x /\n"), "-");
  EXPECT_EQ(reach("# escape=`\nFROM scratch AS a\nONBUILD COPY x /\nFROM a\n"),
            "all: an ONBUILD is read with another escape character than it is written with");
}

TEST(Reach, KnowsContextsThatStandInForImages) {
  ImageConfig image;
  image.additional_contexts = {{"base", "docker-image://real/base"}};
  const BaseImages bases = [](const Link& link) -> std::optional<BaseImage> {
    if (link.image != "real/base") return std::nullopt;
    return BaseImage{{"D=d"}, {}};
  };
  EXPECT_EQ(reach("FROM base\nCOPY $D/x /\n", image, bases), "/d/x");
}

TEST(Reach, TextsAreRead) {
  EXPECT_EQ(reach_paths("-").size(), 0U);
  EXPECT_EQ(reach_paths("/a"), (std::vector<std::string>{"a"}));
  EXPECT_EQ(reach_paths("/a b\n/-"), (std::vector<std::string>{"a b", "-"}));
}

std::string left_by(const std::set<std::string>& paths) {
  const auto entry = [](std::string path, EntryType type) {
    Entry result;
    result.path = std::move(path);
    result.type = type;
    return result;
  };
  std::vector<Entry> entries = {
      entry("a", EntryType::Directory),    entry("a/b", EntryType::Directory),
      entry("a/b/c.txt", EntryType::File), entry("a/b/d.o", EntryType::File),
      entry("a-e", EntryType::File),       entry("f", EntryType::Directory),
      entry("f/g", EntryType::File),       entry("h.txt", EntryType::File),
      entry("i", EntryType::Directory)};
  sort_by_path(entries);
  std::string left;
  for (const Entry& one : reached(entries, rules_for(paths))) left += one.path + " ";
  return left;
}

TEST(Reached, IsWhatMatchesAndTheDirectoriesAbove) {
  EXPECT_EQ(left_by({}), "");
  EXPECT_EQ(left_by({"a"}), "a a/b a/b/c.txt a/b/d.o ");
  EXPECT_EQ(left_by({"a/b/*.txt"}), "a a/b a/b/c.txt ");
  EXPECT_EQ(left_by({"*.txt"}), "h.txt ");
  EXPECT_EQ(left_by({"f/g", "i"}), "f f/g i ");
  EXPECT_EQ(left_by({"a?e", "f/nothing"}), "a-e ");
  EXPECT_EQ(left_by({"*"}), "a a-e a/b a/b/c.txt a/b/d.o f f/g h.txt i ");
}

}  // namespace
}  // namespace imagewright
