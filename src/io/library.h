// Libraries that are loaded when they are first used: who does not need one need not have it, and
// does not wait for it. Knows nothing of what is in them.
#pragma once

#include <dlfcn.h>

#include <string>

#include "io/error.h"

namespace imagewright {

/// A shared library; loaded once, it stays.
class Library {
 public:
  /// `file`: "libpq.so.5"; `name`: "libpq"; `missing`: what it is for, and where it comes from:
  /// "for PostgreSQL it takes libpq (Debian: libpq5)". Throws Error(Missing) with that.
  Library(const char* file, const char* name, const char* missing)
      : name_(name), handle_(dlopen(file, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr)
      throw Error(Error::Kind::Missing, std::string(missing) + ": " + dlerror());
  }

  /// Puts a function of it there. Throws Error(Missing) where it has none of this name.
  template <typename Function>
  void find(const char* function_name, Function& function) const {
    // (POSIX: what dlsym gives is a function's address, if that is what the name is.)
    function = reinterpret_cast<Function>(dlsym(handle_, function_name));
    if (function == nullptr)
      throw Error(Error::Kind::Missing,
                  std::string(name_) + " is too old: it has no " + function_name);
  }

 private:
  const char* name_;
  void* handle_;
};

}  // namespace imagewright
