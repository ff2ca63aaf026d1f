// The sockets that a server listens on: TCP addresses, and a unix socket that only its owner can
// reach. Knows nothing of what comes in.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/fd.h"

namespace imagewright {

/// Non-blocking, close-on-exec. All addresses that the name has; where there are several, those
/// that cannot be listened on are left out as long as one can. `port` 0: any that is free, and is
/// then set; the same for all. Throws Error(Missing) with the address.
std::vector<Fd> listen_on_tcp(const std::string& host, std::uint16_t& port);

/// A unix socket under a path; gone with it.
class UnixListener {
 public:
  /// Mode 0600 from its first moment. What a dead server has left there is replaced. Throws
  /// Error(Missing): a live one, or something else, is there.
  explicit UnixListener(std::filesystem::path path);
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  int fd() const { return fd_.get(); }

 private:
  std::filesystem::path path_;
  Fd fd_;
  dev_t device_ = 0;  // of the file, to remove no other
  ino_t inode_ = 0;
};

/// Accepts one connection, non-blocking and close-on-exec; none (errno) if that fails.
Fd accept_from(int listener);

}  // namespace imagewright
