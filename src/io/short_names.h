// What Podman and Buildah take an image's name for that says no registry: `fedora` is an alias for
// a name of another registry than docker.io's, and what is none is looked for in those that the
// configuration lists. Knows nothing of Docker, for which every such name is docker.io's.
// Rules: containers-registries.conf(5); containers/image's shortnames.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/reference.h"

namespace imagewright {

/// Does the reference say no registry?
bool is_short_name(const Reference& reference);

class ShortNames {
 public:
  /// Of this machine and user: registries.conf ($CONTAINERS_REGISTRIES_CONF, else the user's, else
  /// the system's), what is in registries.conf.d, and the aliases that were recorded. What cannot
  /// be read is as if it were not there.
  static ShortNames load();

  /// Which references a short one may mean, the first that there is. Empty: none, as nothing says
  /// where to look.
  std::vector<std::string> meanings(const Reference& reference) const;
  /// Is it an alias, which means one thing whatever the engine has?
  bool is_alias(const Reference& reference) const;

  /// The registries that the configuration lets be asked by plain http (`HOST` or `HOST:PORT`).
  const std::vector<std::string>& insecure() const { return insecure_; }

 private:
  void read(const std::string& path);

  std::map<std::string, std::string> aliases_;
  std::vector<std::string> search_;
  std::vector<std::string> insecure_;
};

}  // namespace imagewright
