#include "core/build_options.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

using Texts = std::map<std::string, std::string>;

TEST(BuildOptions, WhatDecidesIsAText) {
  BuildOptions options;
  EXPECT_EQ(deciding_options(options), Texts());
  options.platforms = {"linux/amd64", "linux/arm64"};
  options.network = "none";
  options.extra_hosts = {{"b", "10.0.0.1"}, {"a", "::1"}};
  options.shm_size = 65536;
  options.ulimits = {{"nproc", {1, 2}}, {"nofile", {-1, -1}}};
  options.privileged = true;
  EXPECT_EQ(deciding_options(options), (Texts{{"platforms", "linux/amd64,linux/arm64"},
                                              {"network", "none"},
                                              {"extra_hosts", "b=10.0.0.1,a=::1,"},
                                              {"shm_size", "65536"},
                                              {"ulimits", "nofile=-1:-1,nproc=1:2,"},
                                              {"privileged", "true"}}));
}

TEST(BuildOptions, HowAnImageIsBuiltDoesNotDecide) {
  BuildOptions options;
  options.network = "default";
  options.ssh = {"default"};
  options.cache_from = options.cache_to = {"x"};
  options.no_cache = options.pull = true;
  options.secrets = {{"a", "f", ""}};  // its content does, elsewhere
  EXPECT_EQ(deciding_options(options), Texts());
}

}  // namespace
}  // namespace imagewright
