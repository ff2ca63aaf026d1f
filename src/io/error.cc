#include "io/error.h"

#include <system_error>

namespace imagewright {

std::string with_errno(const std::string& what, int error) {
  return what + ": " + std::generic_category().message(error);
}

}  // namespace imagewright
