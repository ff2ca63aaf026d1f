#include "io/places.h"

#include <pwd.h>
#include <unistd.h>

#include <string>

#include "io/environment.h"
#include "io/error.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

// Relative values are to be ignored (XDG Base Directory Specification).
fs::path absolute_variable(const char* name) {
  fs::path path = variable(name);
  return path.is_absolute() ? path : fs::path();
}

fs::path home() {
  if (fs::path path = absolute_variable("HOME"); !path.empty()) return path;
  const passwd* entry = getpwuid(getuid());
  if (entry == nullptr || entry->pw_dir == nullptr || entry->pw_dir[0] != '/') {
    throw Error(Error::Kind::Missing,
                "there is no home directory to keep caches and logs in; set HOME");
  }
  return entry->pw_dir;
}

fs::path base(const char* name, const char* below_home) {
  fs::path path = absolute_variable(name);
  return path.empty() ? home() / below_home : path;
}

}  // namespace

Places Places::find() {
  const fs::path state = base("XDG_STATE_HOME", ".local/state") / "imagewright";
  return {base("XDG_CACHE_HOME", ".cache") / "imagewright", state / "logs", state / "run"};
}

}  // namespace imagewright
