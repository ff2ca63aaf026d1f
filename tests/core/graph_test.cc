#include "core/graph.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

std::vector<ImageConfig> images(const std::vector<std::string>& names) {
  std::vector<ImageConfig> result;
  for (const std::string& name : names) result.emplace_back().name = name;
  return result;
}

Edge from(std::size_t parent, int line = 1) {
  return {parent, {LinkKind::Base, "", "", "", line}};
}

Edge copy(std::size_t parent, int line) {
  return {parent, {LinkKind::Copy, "", "", "", line}};
}

TEST(ImageNames, WhateverTheSpelling) {
  const ImageNames names(images({"team/a", "registry.example:5000/b:1", "busybox"}), false,
                         "linux/amd64");
  EXPECT_EQ(names.find("team/a", "linux/amd64"), 0U);
  EXPECT_EQ(names.find("docker.io/team/a:latest", "linux/amd64"), 0U);
  EXPECT_EQ(names.find("registry.example:5000/b:1", "linux/amd64"), 1U);
  EXPECT_EQ(names.find("docker.io/library/busybox", "linux/amd64"), 2U);
  EXPECT_EQ(names.find("team/a:2", "linux/amd64"), std::nullopt);
  EXPECT_EQ(names.find("registry.example:5000/b", "linux/amd64"), std::nullopt);
  EXPECT_EQ(names.find("localhost/team/a", "linux/amd64"), std::nullopt);
  EXPECT_EQ(names.find("not a reference", "linux/amd64"), std::nullopt);
}

TEST(ImageNames, ATagOfAnImageOfTheFileWasTakenForAnImageFromElsewhere) {
  std::vector<ImageConfig> all = images({"app:1.2", "b"});
  all[0].tags = {":1", "mirror.example/app:1", ":{git.short}", "b"};
  const ImageNames names(all, false, "linux/amd64");
  EXPECT_EQ(names.find("app:1", "linux/amd64"), 0U);
  EXPECT_EQ(names.find("docker.io/library/app:1", "linux/amd64"), 0U);
  EXPECT_EQ(names.find("mirror.example/app:1", "linux/amd64"), 0U);
  EXPECT_EQ(names.find("b", "linux/amd64"), 1U);
  EXPECT_EQ(names.find("app", "linux/amd64"), std::nullopt);
}

TEST(ImageNames, OfAnIndexTheImageOfThePlatform) {
  std::vector<ImageConfig> all = images({"a:1-linux-arm64", "a:1-linux-amd64", "b", "child"});
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
    all[i].index = "a:1";
    all[i].tags = {":x"};
    all[i].options.platforms = {i == 0 ? "linux/arm64" : "linux/amd64"};
  }
  const ImageNames names(all, true, "linux/amd64");
  EXPECT_EQ(names.find("a:1", "linux/arm64/v8"), 0U);
  EXPECT_EQ(names.find("docker.io/library/a:x", "linux/amd64"), 1U);
  EXPECT_EQ(names.find("localhost/a:1", "linux/arm64"), 0U);
  EXPECT_EQ(names.find("a:1", "linux/s390x"), std::nullopt);
  EXPECT_EQ(names.find("a:1-linux-arm64", "linux/amd64"), 0U);
  EXPECT_EQ(names.find_all("a:1"), (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(names.find_all("b"), (std::vector<std::size_t>{2}));
  EXPECT_TRUE(names.find_all("c").empty());
  // By what stands on it: its own platform, the machine's, or what FROM says.
  const Link plain{LinkKind::Base, "a:1", "a:1", "", 1};
  const Link other{LinkKind::Base, "a:1", "a:1", "linux/arm64", 1};
  EXPECT_EQ(names.find(plain, all[3]), 1U);
  EXPECT_EQ(names.find(other, all[3]), 0U);
  EXPECT_EQ(names.find(plain, all[0]), 0U);
}

TEST(ImageNames, ADigestMeansWhatItSays) {
  const ImageNames names(images({"a"}), false, "linux/amd64");
  EXPECT_EQ(names.find("a@sha256:" + std::string(64, '0'), "linux/amd64"), std::nullopt);
}

TEST(ImageNames, PodmanAndBuildahCallAnImageWithoutARegistryLocalhosts) {
  const ImageNames names(images({"team/a", "a"}), true, "linux/amd64");
  EXPECT_EQ(names.find("localhost/team/a:latest", "linux/amd64"), 0U);
  EXPECT_EQ(names.find("localhost/a", "linux/amd64"), 1U);
  EXPECT_EQ(names.find("localhost/b", "linux/amd64"), std::nullopt);
}

TEST(Graph, ParentsComeFirstElseByNumber) {
  const Graph graph({{from(3)}, {from(4)}, {}, {from(4)}, {}});
  EXPECT_EQ(graph.order(), (std::vector<std::size_t>{4, 3, 0, 1, 2}));
  EXPECT_TRUE(graph.find_cycle().empty());
}

TEST(Graph, AParentThatIsUsedTwiceIsOneEdge) {
  const Graph graph({{from(1, 3), copy(1, 7), from(2), from(1, 9), from(2)}, {}, {}});
  ASSERT_EQ(graph.size(), 3U);
  ASSERT_EQ(graph.parents(0).size(), 2U);
  EXPECT_EQ(graph.parents(0)[0].parent, 1U);
  EXPECT_EQ(graph.parents(0)[0].link.line, 3);
  EXPECT_EQ(graph.parents(0)[1].parent, 2U);
}

TEST(Graph, ACycleIsNamedWithWhatMakesIt) {
  const Graph graph({{from(1)},
                     {copy(2, 7)},
                     {{3, {LinkKind::Mount, "", "", "", 9}}},
                     {{1, {LinkKind::DependsOn, "", "", "", 0}}}});
  const auto cycle = graph.find_cycle();
  EXPECT_EQ(describe_cycle(graph, cycle, {"a", "b", "c", "d"}),
            "b stands on c (COPY --from, line 7), c on d (RUN --mount, line 9), d on b "
            "(depends_on)");
}

TEST(Graph, AnImageThatStandsOnItselfIsACycle) {
  const Graph graph({{from(1)}, {from(0, 2), from(1, 4)}});
  EXPECT_FALSE(graph.find_cycle().empty());
  const Graph self({{from(0, 4)}});
  EXPECT_EQ(describe_cycle(self, self.find_cycle(), {"a"}), "a stands on itself (FROM, line 4)");
}

TEST(Graph, ALongChainTakesNoStack) {
  constexpr std::size_t kMany = 200'000;
  std::vector<std::vector<Edge>> edges(kMany);
  for (std::size_t i = 1; i < kMany; ++i) edges[i - 1] = {from(i)};
  EXPECT_EQ(Graph(edges).order().front(), kMany - 1);
  edges[kMany - 1] = {from(0)};
  EXPECT_EQ(Graph(edges).find_cycle().size(), kMany);
}

}  // namespace
}  // namespace imagewright
