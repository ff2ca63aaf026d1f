#include "core/platform.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/lower_case.h"

namespace imagewright {

namespace {

constexpr std::array<std::string_view, 6> kSystems = {"linux",   "windows", "darwin",
                                                      "freebsd", "netbsd",  "openbsd"};

// The architecture's usual name, and its variant where that goes without saying or is said by it.
void normalize(Platform& platform) {
  auto& [os, architecture, variant] = platform;
  if (architecture == "x86_64" || architecture == "x86-64") architecture = "amd64";
  if (architecture == "i386") architecture = "386";
  if (architecture == "aarch64") architecture = "arm64";
  if (architecture == "armhf") {
    architecture = "arm";
    variant = "v7";
  }
  if (architecture == "armel") {
    architecture = "arm";
    variant = "v6";
  }
  if (architecture == "arm64" && (variant == "8" || variant == "v8")) variant.clear();
  if (architecture == "amd64" && variant == "v1") variant.clear();
  if (architecture == "arm") {
    if (variant.empty()) variant = "v7";
    if (variant.front() != 'v') variant.insert(0, 1, 'v');
  }
}

}  // namespace

Platform platform_of(const std::string& os, const std::string& architecture,
                     const std::string& variant) {
  Platform platform{lower_case(os), lower_case(architecture), lower_case(variant)};
  normalize(platform);
  return platform;
}

Platform parse_platform(const std::string& text) {
  const std::size_t first = text.find('/');
  const std::string begin = lower_case(text.substr(0, first));
  if (first == std::string::npos) {
    const bool is_system = std::find(kSystems.begin(), kSystems.end(), begin) != kSystems.end();
    return is_system ? Platform{begin, "", ""} : platform_of("linux", begin, "");
  }
  const std::size_t second = text.find('/', first + 1);
  return platform_of(begin, text.substr(first + 1, second - first - 1),
                     second == std::string::npos ? "" : text.substr(second + 1));
}

std::vector<Platform> what_runs_on(const Platform& wanted) {
  std::vector<Platform> all = {wanted};
  const auto arm_up_to = [&](char newest) {
    for (char version = newest; version >= '5'; --version)
      all.push_back({wanted.os, "arm", std::string("v") + version});
  };
  if (wanted.architecture == "arm" && wanted.variant.size() == 2)
    arm_up_to(static_cast<char>(wanted.variant[1] - 1));
  if (wanted.architecture == "arm64") {
    if (!wanted.variant.empty()) all.push_back({wanted.os, "arm64", ""});
    arm_up_to('8');
  }
  if (wanted.architecture == "amd64") {
    if (wanted.variant.size() == 2) {
      for (char version = wanted.variant[1]; version-- > '2';)
        all.push_back({wanted.os, "amd64", std::string("v") + version});
      all.push_back({wanted.os, "amd64", ""});
    }
    all.push_back({wanted.os, "386", ""});
  }
  return all;
}

}  // namespace imagewright
