#include "run/known_directories.h"

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>

#include "core/digest.h"
#include "core/fingerprint.h"
#include "io/scratch.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHex = 64;
// More than this are of other times: the file is begun anew.
constexpr std::size_t kMost = 20'000;

using Numbers = std::array<std::uint64_t, 4>;

}  // namespace

KnownDirectories::KnownDirectories(fs::path file, std::string condition)
    : file_(std::move(file)), condition_(std::move(condition)) {}

// Before the entries stands the hexadecimal SHA-256 over what they depend on and them. An entry is
// the length of the path, the stamp's seed and its two halves (8 bytes each, as this machine has
// them), the path, and the two digests.
std::string KnownDirectories::check(std::string_view entries) const {
  Sha256 sum;
  sum.update_field("imagewright directories 1");
  sum.update_number(kFingerprintFormat);
  sum.update_field(condition_);
  sum.update_field(entries);
  return hex(sum.finish());
}

void KnownDirectories::load() {
  if (loaded_) return;
  loaded_ = true;
  std::ifstream file(file_, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.size() <= kHex) return;
  std::string_view entries = std::string_view(bytes).substr(kHex);
  if (bytes.compare(0, kHex, check(entries)) != 0) return;
  while (!entries.empty()) {
    Numbers numbers;
    if (entries.size() < sizeof numbers) break;
    std::memcpy(numbers.data(), entries.data(), sizeof numbers);
    entries.remove_prefix(sizeof numbers);
    if (entries.size() < 2 * kHex || entries.size() - 2 * kHex < numbers[0]) break;
    KnownDirectory& known = known_[std::string(entries.substr(0, numbers[0]))];
    known.stamp = {numbers[1], {numbers[2], numbers[3]}};
    known.context_digest = entries.substr(numbers[0], kHex);
    known.dockerfile_digest = entries.substr(numbers[0] + kHex, kHex);
    entries.remove_prefix(numbers[0] + 2 * kHex);
  }
}

std::optional<KnownDirectory> KnownDirectories::find(const std::string& directory) {
  const std::lock_guard lock(mutex_);
  load();
  const auto found = known_.find(directory);
  return found == known_.end() ? std::nullopt : std::optional(found->second);
}

void KnownDirectories::remember(const std::string& directory, const KnownDirectory& known) {
  const std::lock_guard lock(mutex_);
  load();
  if (known_.size() >= kMost) known_.clear();
  known_[directory] = known;
  changed_ = true;
}

void KnownDirectories::save() {
  const std::lock_guard lock(mutex_);
  if (!changed_) return;
  std::string entries;
  for (const auto& [path, known] : known_) {
    const Numbers numbers = {path.size(), known.stamp.seed, known.stamp.sum.low,
                             known.stamp.sum.high};
    entries.append(reinterpret_cast<const char*>(numbers.data()), sizeof numbers);
    entries += path + known.context_digest + known.dockerfile_digest;
  }
  try {
    write_file(file_, check(entries) + entries);
    changed_ = false;
  } catch (const std::exception&) {
    // A cache that cannot be written costs time, nothing else.
  }
}

}  // namespace imagewright
