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

TEST(ImageNames, WhateverTheSpelling) {
  const ImageNames names(images({"team/a", "registry.example:5000/b:1", "busybox"}), false);
  EXPECT_EQ(names.find("team/a"), 0U);
  EXPECT_EQ(names.find("docker.io/team/a:latest"), 0U);
  EXPECT_EQ(names.find("registry.example:5000/b:1"), 1U);
  EXPECT_EQ(names.find("docker.io/library/busybox"), 2U);
  EXPECT_EQ(names.find("team/a:2"), std::nullopt);
  EXPECT_EQ(names.find("registry.example:5000/b"), std::nullopt);
  EXPECT_EQ(names.find("localhost/team/a"), std::nullopt);
  EXPECT_EQ(names.find("not a reference"), std::nullopt);
}

TEST(ImageNames, ATagOfAnImageOfTheFileWasTakenForAnImageFromElsewhere) {
  std::vector<ImageConfig> all = images({"app:1.2", "b"});
  all[0].tags = {":1", "mirror.example/app:1", ":{git.short}", "b"};
  const ImageNames names(all, false);
  EXPECT_EQ(names.find("app:1"), 0U);
  EXPECT_EQ(names.find("docker.io/library/app:1"), 0U);
  EXPECT_EQ(names.find("mirror.example/app:1"), 0U);
  EXPECT_EQ(names.find("b"), 1U);
  EXPECT_EQ(names.find("app"), std::nullopt);
}

TEST(ImageNames, ADigestMeansWhatItSays) {
  const ImageNames names(images({"a"}), false);
  EXPECT_EQ(names.find("a@sha256:" + std::string(64, '0')), std::nullopt);
}

TEST(ImageNames, PodmanAndBuildahCallAnImageWithoutARegistryLocalhosts) {
  const ImageNames names(images({"team/a", "a"}), true);
  EXPECT_EQ(names.find("localhost/team/a:latest"), 0U);
  EXPECT_EQ(names.find("localhost/a"), 1U);
  EXPECT_EQ(names.find("localhost/b"), std::nullopt);
}

TEST(Graph, ParentsComeFirstElseByNumber) {
  Graph graph(5);
  graph.add(0, from(3));
  graph.add(3, from(4));
  graph.add(1, from(4));
  EXPECT_EQ(graph.order(), (std::vector<std::size_t>{4, 3, 0, 1, 2}));
  EXPECT_TRUE(graph.find_cycle().empty());
}

TEST(Graph, AParentThatIsUsedTwiceIsOneEdge) {
  Graph graph(2);
  graph.add(0, from(1, 3));
  graph.add(0, {1, {LinkKind::Copy, "", "", "", 7}});
  ASSERT_EQ(graph.parents(0).size(), 1U);
  EXPECT_EQ(graph.parents(0).front().link.line, 3);
}

TEST(Graph, ACycleIsNamedWithWhatMakesIt) {
  Graph graph(4);
  graph.add(0, from(1));
  graph.add(1, {2, {LinkKind::Copy, "", "", "", 7}});
  graph.add(2, {3, {LinkKind::Mount, "", "", "", 9}});
  graph.add(3, {1, {LinkKind::DependsOn, "", "", "", 0}});
  const auto cycle = graph.find_cycle();
  EXPECT_EQ(describe_cycle(graph, cycle, {"a", "b", "c", "d"}),
            "b stands on c (COPY --from, line 7), c on d (RUN --mount, line 9), d on b "
            "(depends_on)");
}

TEST(Graph, AnImageThatStandsOnItselfIsACycle) {
  Graph graph(2);
  graph.add(0, from(1));
  graph.add(1, from(0, 2));
  graph.add(1, from(1, 4));
  Graph self(1);
  self.add(0, from(0, 4));
  EXPECT_EQ(describe_cycle(self, self.find_cycle(), {"a"}), "a stands on itself (FROM, line 4)");
  EXPECT_FALSE(graph.find_cycle().empty());
}

TEST(Graph, ALongChainTakesNoStack) {
  constexpr std::size_t kMany = 200'000;
  Graph graph(kMany);
  for (std::size_t i = 1; i < kMany; ++i) graph.add(i - 1, from(i));
  EXPECT_EQ(graph.order().front(), kMany - 1);
  graph.add(kMany - 1, from(0));
  EXPECT_EQ(graph.find_cycle().size(), kMany);
}

}  // namespace
}  // namespace imagewright
