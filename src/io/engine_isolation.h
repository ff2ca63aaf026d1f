// Under which isolation a RUN works on this machine, for programs of Buildah's build code.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace imagewright {

/// The arguments of `PROGRAM build` (buildah or podman) under which a RUN works here: none, another
/// runtime, or chroot. Neither the engine's info nor the runtime's version can tell: it is tried,
/// and remembered in `cache` as long as the programs and their settings are what they are, and the
/// environment chooses the same ($BUILDAH_ISOLATION). None also where nothing works: a Dockerfile
/// without RUN still builds, another will say why not.
std::vector<std::string> find_isolation(const std::filesystem::path& cache,
                                        const std::string& program);

}  // namespace imagewright
