// SHA-256 digests: computing them and writing them as text. Knows nothing of what is hashed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace imagewright {

/// A SHA-256 digest, 32 bytes.
using Digest = std::array<std::uint8_t, 32>;

/// A running SHA-256 (OpenSSL's). Reusable: `finish` starts it anew. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::string_view bytes);
  /// A length (8 bytes, little endian), then the bytes: what makes a sequence of fields
  /// unambiguous.
  void update_field(std::string_view bytes);
  void update_number(std::uint64_t number);
  Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Digest sha256(std::string_view bytes);

/// HMAC-SHA-256 (RFC 2104).
Digest hmac_sha256(std::string_view key, std::string_view bytes);

/// 64 lower-case hexadecimal digits.
std::string hex(const Digest& digest);

/// `sha256:` and the digits: how registries and engines name what has these bytes.
std::string named_digest(std::string_view bytes);

/// Of an id or a digest, with or without its `sha256:`, as much as people compare: 12 digits.
std::string short_digest(std::string_view digest);

}  // namespace imagewright
