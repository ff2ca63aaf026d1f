// Where imagewright keeps what is not state: caches that can be deleted at any time, and logs.
#pragma once

#include <filesystem>

namespace imagewright {

struct Places {
  std::filesystem::path cache;  ///< `$XDG_CACHE_HOME/imagewright`: mirrors, staging, what is
                                ///< remembered of engines, and of contexts
  std::filesystem::path logs;   ///< `$XDG_STATE_HOME/imagewright/logs`

  /// By the environment; without HOME, by the user's entry in the password file. Creates nothing.
  /// Throws Error(Missing) if there is no home at all.
  static Places find();
};

}  // namespace imagewright
