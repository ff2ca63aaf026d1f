// Cheap questions to the docker daemon, on its unix socket. Knows nothing of building.
#pragma once

#include <optional>
#include <set>
#include <string>

namespace imagewright {

/// Where the docker CLI would look for the daemon: DOCKER_HOST, else the current docker context,
/// else `unix:///var/run/docker.sock`.
std::string docker_host();

/// Does a daemon answer there? (Asked on the socket; a host that is no unix socket is asked by the
/// CLI.)
bool docker_answers();

/// The ids of all images, by one request. nullopt: the host is no unix socket, or nothing sensible
/// came; the CLI can still be asked.
std::optional<std::set<std::string>> docker_image_ids();

/// Can the daemon build with BuildKit? (From API 1.39 on, except on Windows; its `Builder-Version`
/// only says what it would do unasked.) nullopt as above.
std::optional<bool> docker_has_buildkit();

}  // namespace imagewright
