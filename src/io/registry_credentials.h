// By which credentials registries are asked: those that `docker login`, `podman login` and the
// credential helpers left. Nothing prompts, and nothing is kept.
#pragma once

#include <optional>
#include <string>

namespace imagewright {

struct RegistryCredentials {
  // Either a user and a password,
  std::string user;
  std::string password;
  // or a token by which others are given out.
  std::string identity_token;
};

/// Of a registry as references name it ("docker.io", "ghcr.io", "localhost:5000"), for a repository
/// there ("library/debian"). In this order: Docker's `config.json` ($DOCKER_CONFIG, else
/// `~/.docker`) with its `credHelpers`, `credsStore` and `auths`; the `auth.json` of Podman and
/// Buildah ($REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers, /run/containers/UID,
/// $XDG_CONFIG_HOME/containers), in which a part of a repository's path may have its own. nullopt:
/// there are none, or what holds them cannot be read.
std::optional<RegistryCredentials> find_credentials(const std::string& registry,
                                                    const std::string& repository);

}  // namespace imagewright
