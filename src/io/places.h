// Where imagewright keeps what is not state: caches that can be deleted at any time, and logs.
#pragma once

#include <filesystem>

namespace imagewright {

struct Places {
  std::filesystem::path cache;  ///< `$XDG_CACHE_HOME/imagewright`: mirrors, staging, what is
                                ///< remembered of engines, and of contexts
  std::filesystem::path logs;   ///< `$XDG_STATE_HOME/imagewright/logs`
  /// `$XDG_STATE_HOME/imagewright/run`: sockets of servers. (Not in `$XDG_RUNTIME_DIR`, which a
  /// service has not and its user has: they would not find each other.)
  std::filesystem::path sockets = {};

  /// By the environment; without HOME, by the user's entry in the password file. Creates nothing.
  /// Throws Error(Missing) if there is no home at all.
  static Places find();
};

}  // namespace imagewright
