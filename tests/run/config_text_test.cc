#include "run/config_text.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace imagewright {
namespace {

std::optional<std::string> no_environment(const std::string& /*name*/) {
  return std::nullopt;
}

Config parsed(const std::string& text) {
  auto config = parse_config(text, no_environment);
  if (!config) throw std::runtime_error(describe(config.error(), "") + "\n" + text);
  return *std::move(config);
}

void expect_same(const Config& a, const Config& b) {
  EXPECT_EQ(a.engine, b.engine);
  ASSERT_EQ(a.images.size(), b.images.size());
  for (std::size_t i = 0; i < a.images.size(); ++i) {
    ImageConfig one = a.images[i];
    one.line = b.images[i].line;
    EXPECT_TRUE(one == b.images[i]) << one.name;
  }
}

constexpr char kEverything[] = R"(
builder:
  engine: podman
  vars: {TAG: "1.10", WHERE: "$$HOME ${TAG}"}
  defaults:
    args: {A: "$$1", NULLS: "null", TILDE: "~", YES: "yes", EMPTY: "", '<<': merged}
    labels: {"a: b": "- c", '<<': 'x # y'}
    ssh: [default, key=~/.ssh/id]
  images:
  - name: example/base:${TAG}
    from: https://git.example.com/r.git?ref=main&checksum=0123abcd&subdir=d
    target: "true"
  - name: example/app:${V}
    matrix: {V: [1, 2], W: ["x\ny"]}
    from: {dir: "${WHERE}"}
    dockerfile_inline: |
      FROM scratch
      COPY . /
    additional_contexts: {assets: ../assets, base: docker-image://alpine}
    depends_on: example/base:1.10
    platforms: [linux/amd64, linux/arm/v7]
    secrets: [{id: a, file: s/a b}, {id: b, environment: TOKEN}]
    cache_from: ["example/cache", "type=local,src=x"]
    cache_to: ["type=inline"]
    network: none
    extra_hosts: {a: 10.0.0.1, b: "::1"}
    shm_size: 64m
    ulimits: {nofile: {soft: 10, hard: 20}, memlock: -1}
    no_cache: true
    pull: true
    privileged: true
    timeout: 1h30m5s
    retries: 3
    weight: 4
  - {name: example/plain, from: {git: ../clone, tag: v1}, timeout: 250ms, dockerfile: "D: 1"}
)";

TEST(ConfigText, IsReadAgainAsTheSame) {
  const Config config = parsed(kEverything);
  const Json json = config_json(config, "");
  expect_same(parsed(config_yaml(json)), config);
}

TEST(ConfigText, JoinsPathsToTheBase) {
  const std::string yaml = config_yaml(config_json(parsed(kEverything), "/base"));
  for (const char* part :
       {"dir: /base/$HOME 1.10", "git: /clone", "file: /base/s/a b", "key=/base/~/.ssh/id"}) {
    EXPECT_NE(yaml.find(part), std::string::npos) << part << " in\n" << yaml;
  }
  EXPECT_EQ(config_yaml(config_json(parsed(yaml), "/other")), yaml);
}

TEST(ConfigText, LeavesOutWhatIsNotSet) {
  const Config config = parsed("builder: {images: [{name: a, from: .}]}");
  EXPECT_EQ(config_yaml(config_json(config, "")),
            "builder:\n  images:\n    - name: a\n      from:\n        dir: .\n");
}

}  // namespace
}  // namespace imagewright
