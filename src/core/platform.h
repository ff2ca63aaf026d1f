// Platforms as Dockerfiles, configurations and registries write them, in one spelling; and what
// runs where. Pure. Rules: containerd's platforms.
#pragma once

#include <string>
#include <vector>

namespace imagewright {

struct Platform {
  std::string os, architecture, variant;
  bool operator==(const Platform&) const = default;
};

/// `linux/arm64`, `arm64`, `linux/x86_64`, `linux/arm/v7`: in lower case, with the architecture's
/// usual name, the variant that goes without saying left out (but that of arm), and `linux` where
/// no system is said. (A system alone has no architecture then.)
Platform parse_platform(const std::string& text);
/// Of an image, as its manifest or config says it.
Platform platform_of(const std::string& os, const std::string& architecture,
                     const std::string& variant);

/// What runs on a machine of this platform, the best first: itself, then older variants.
std::vector<Platform> what_runs_on(const Platform& wanted);

}  // namespace imagewright
