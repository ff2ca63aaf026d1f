// Cheap questions to the docker daemon, on its unix socket. Knows nothing of building.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "io/engine_images.h"

namespace imagewright {

/// Where the docker CLI would look for the daemon: DOCKER_HOST, else the current docker context,
/// else `unix:///var/run/docker.sock`.
std::string docker_host();

/// Who answers there.
struct DockerDaemon {
  std::string api;      ///< its newest API version: "1.41"; "": not said
  std::string os;       ///< "linux", "windows"
  bool podman = false;  ///< Podman's service, which speaks the same protocol
};

/// nullopt: nobody does. (Asked on the socket; a host that is no unix socket is asked by the CLI.)
std::optional<DockerDaemon> docker_daemon();

/// The daemon's `/info`, JSON; "": it gave none. Asked as above.
std::string docker_info();

/// All images, by one request. nullopt: the host is no unix socket, or nothing sensible came; the
/// CLI can still be asked.
std::optional<EngineImages> docker_images();

/// The ids of the images of all containers. nullopt: the daemon does not answer.
std::optional<std::set<std::string>> docker_used_image_ids();

/// Gives an image another name. False: the daemon has no such image, or does not answer.
bool docker_tag(const std::string& image_id, const std::string& repository, const std::string& tag);

/// Takes the name away; an image without another one goes with it. Says nothing if that fails.
void docker_untag(const std::string& reference);

/// An image by its id or a reference, as the daemon describes it, JSON; "": it has none such, or
/// does not answer.
std::string docker_image(const std::string& image);

/// All names of an image, those by a digest included, and all images of a repository:
/// `repository:tag`.
std::vector<std::string> docker_names(const std::string& image_id);
std::vector<std::string> docker_tags(const std::string& repository);

}  // namespace imagewright
