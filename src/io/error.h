// What io throws: one Error that carries its context, caught per image and in main.
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>

namespace imagewright {

class Error : public std::runtime_error {
 public:
  enum class Kind {
    Source,   ///< one image's source is at fault (missing directory, unreadable file, no such ref):
              ///< exit 1
    Missing,  ///< something the whole run needs is missing (no engine, state not writable): exit 3
    Usage,    ///< the command line or the configuration is wrong: exit 2
  };
  Error(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

/// "cannot read 'a/b': Permission denied": `what`, then the words for an errno value.
std::string with_errno(const std::string& what, int error = errno);

}  // namespace imagewright
