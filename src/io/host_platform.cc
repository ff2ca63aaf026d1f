#include "io/host_platform.h"

#include <sys/utsname.h>

#include <array>
#include <string_view>
#include <utility>

namespace imagewright {

std::string host_platform() {
  // What uname says, and what Go (and so every engine) calls it.
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kNames = {{
      {"x86_64", "amd64"},
      {"aarch64", "arm64"},
      {"armv7l", "arm/v7"},
      {"armv6l", "arm/v6"},
      {"i686", "386"},
      {"i386", "386"},
      {"ppc64le", "ppc64le"},
      {"s390x", "s390x"},
  }};
  utsname machine = {};
  if (uname(&machine) != 0) return "linux/amd64";
  const std::string_view name = machine.machine;
  for (const auto& [theirs, ours] : kNames) {
    if (name == theirs) return "linux/" + std::string(ours);
  }
  return "linux/" + std::string(name);
}

}  // namespace imagewright
