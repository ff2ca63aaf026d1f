// The platform of this machine. Knows nothing of engines.
#pragma once

#include <string>

namespace imagewright {

/// As image references and Dockerfiles have it: `linux/amd64`, `linux/arm64`, `linux/arm/v7`.
std::string host_platform();

}  // namespace imagewright
