#include "io/secret_key.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "io/error.h"
#include "io/fd.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKeyBytes = 32;

[[noreturn]] void fail(const fs::path& path) {
  throw Error(Error::Kind::Missing,
              with_errno("cannot keep the key for secrets in '" + path.string() + "'", errno));
}

// "": there is no whole one.
std::string read_key(const fs::path& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return "";
  if (!fd) fail(path);
  std::string key = read_at(fd.get(), 0, kKeyBytes);
  return key.size() == kKeyBytes ? key : "";
}

}  // namespace

std::string new_secret_key() {
  std::string key(kKeyBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), static_cast<int>(key.size())) != 1)
    throw Error(Error::Kind::Missing, "there are no random bytes to make a key of");
  return key;
}

std::string secret_key(const fs::path& cache) {
  const fs::path path = cache / "secret-key";
  if (std::string key = read_key(path); !key.empty()) return key;
  std::error_code ignored;
  fs::create_directories(cache, ignored);
  const std::string key = new_secret_key();
  // Whole from the start, and never in place of one that another run has made meanwhile.
  std::string fresh = path.string() + ".XXXXXX";
  const Fd fd(mkostemp(fresh.data(), O_CLOEXEC));  // 0600
  if (!fd) fail(path);
  const bool written = write_at(fd.get(), 0, key) && fsync(fd.get()) == 0;
  int linked = written ? link(fresh.c_str(), path.c_str()) : -1;
  // (A shorter one than a key is what something else left there.)
  if (written && linked != 0 && errno == EEXIST && read_key(path).empty())
    linked = std::rename(fresh.c_str(), path.c_str());
  const int error = errno;
  unlink(fresh.c_str());
  errno = error;
  if (linked != 0 && errno != EEXIST) fail(path);
  std::string kept = read_key(path);
  if (kept.empty()) fail(path);
  return kept;
}

}  // namespace imagewright
