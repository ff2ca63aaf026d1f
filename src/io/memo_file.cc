// A head, then the content. The checksum's seed is a random one, so that nobody can make a text
// that passes for another.
#define XXH_INLINE_ALL
#include "io/memo_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <system_error>
#include <type_traits>

#include "core/digest.h"
#include "io/error.h"
#include "io/fd.h"
#include "io/scratch.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 16> kMagic = {'i', 'm', 'a', 'g', 'e', 'w', 'r', 'i',
                                         'g', 'h', 't', ' ', 'm', 'e', 'm', '1'};

struct Head {
  std::array<char, 16> magic = kMagic;
  std::uint64_t seed = 0;
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};
static_assert(std::has_unique_object_representations_v<Head>);

Head head_of(std::uint64_t seed, std::string_view about, std::string_view content) {
  const std::uint64_t size = about.size();
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_128bits_reset_withSeed(&state, seed);
  XXH3_128bits_update(&state, &size, sizeof size);
  XXH3_128bits_update(&state, about.data(), about.size());
  XXH3_128bits_update(&state, content.data(), content.size());
  const XXH128_hash_t sum = XXH3_128bits_digest(&state);
  return {kMagic, seed, sum.low64, sum.high64};
}

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace

MemoFile::MemoFile(fs::path path, std::string_view about) : path_(std::move(path)), about_(about) {}

std::optional<std::string> MemoFile::recall() const {
  const Fd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status = {};
  if (!fd || fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  Head head;
  if (status.st_size < static_cast<off_t>(sizeof head)) return std::nullopt;
  const std::string bytes = read_at(fd.get(), 0, sizeof head);
  std::string content =
      read_at(fd.get(), sizeof head, static_cast<std::size_t>(status.st_size) - sizeof head);
  if (bytes.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof head);
  const Head good = head_of(head.seed, about_, content);
  return std::memcmp(&head, &good, sizeof head) == 0 ? std::optional(std::move(content))
                                                     : std::nullopt;
}

void MemoFile::remember(std::string_view content) const {
  const Head head = head_of(random_seed(), about_, content);
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  bytes += content;
  std::error_code ignored;
  fs::create_directories(path_.parent_path(), ignored);
  try {
    write_file(path_, bytes);
  } catch (const Error&) {
  }
}

MemoFile memo_in(const fs::path& directory, std::string_view about) {
  return {directory / hex(sha256(about)).substr(0, 32), about};
}

}  // namespace imagewright
