#include "service/fleet_engine.h"

#include <gtest/gtest.h>

#include "io/error.h"

namespace imagewright {
namespace {

using Repositories = std::set<std::string>;

ImageConfig image_of(const std::string& name, std::optional<bool> push = std::nullopt,
                     std::vector<std::string> tags = {}) {
  ImageConfig image;
  image.name = name;
  image.push = push;
  image.tags = std::move(tags);
  return image;
}

TEST(FleetPlaces, WhereAnImageIsToBe) {
  const FleetPlaces none;
  EXPECT_EQ(none.repositories_of(image_of("e2e/a")), Repositories{});
  EXPECT_EQ(none.repositories_of(image_of("localhost:5000/a:1")), Repositories{"localhost:5000/a"});
  EXPECT_EQ(none.repositories_of(image_of("example.com/a", false)), Repositories{"example.com/a"});
  EXPECT_EQ(none.repositories_of(image_of("localhost/a")), Repositories{"localhost/a"});
  const FleetPlaces registry{"localhost:5000/kept", false};
  EXPECT_EQ(registry.repositories_of(image_of("e2e/a:1")),
            Repositories{"localhost:5000/kept/e2e/a"});
  EXPECT_EQ(registry.repositories_of(image_of("example.com/a")), Repositories{"example.com/a"});
}

TEST(FleetPlaces, WhatIsPublishedIsWhereItsNamesAre) {
  const FleetPlaces registry{"localhost:5000/kept", true};
  EXPECT_EQ(registry.repositories_of(image_of("busybox")),
            Repositories{"docker.io/library/busybox"});
  EXPECT_EQ(registry.repositories_of(image_of("e2e/a", false)),
            Repositories{"localhost:5000/kept/e2e/a"});
  EXPECT_EQ(registry.repositories_of(
                image_of("example.com/a", true,
                         {":1", ":{date}", "mirror.example.com:5000/b/a:{date}", "other/a"})),
            (Repositories{"example.com/a", "mirror.example.com:5000/b/a", "docker.io/other/a"}));
}

TEST(FleetRegistry, IsWrittenInFull) {
  EXPECT_EQ(fleet_registry("localhost:5000"), "localhost:5000");
  EXPECT_EQ(fleet_registry("localhost:5000/a/b/"), "localhost:5000/a/b");
  EXPECT_EQ(fleet_registry("index.docker.io/me"), "docker.io/me");
  for (const char* wrong : {"", "myname", "https://localhost:5000", "localhost:5000/A", "a b.c"})
    EXPECT_THROW(fleet_registry(wrong), Error) << wrong;
}

}  // namespace
}  // namespace imagewright
