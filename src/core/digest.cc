// (The plain interface: what the newer one sets up at the first use, and allocates at each, costs a
// run that has nothing to do more than what it hashes.)
#define OPENSSL_API_COMPAT 10100
#include "core/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace imagewright {

struct Sha256::Context {
  SHA256_CTX sha;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  SHA256_Init(&context_->sha);
}

Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  SHA256_Update(&context_->sha, bytes.data(), bytes.size());
}

void Sha256::update_field(std::string_view bytes) {
  update_number(bytes.size());
  update(bytes);
}

void Sha256::update_number(std::uint64_t number) {
  std::array<char, 8> bytes{};
  for (char& byte : bytes) {
    byte = static_cast<char>(number & 0xff);
    number >>= 8;
  }
  update({bytes.data(), bytes.size()});
}

Digest Sha256::finish() {
  Digest digest{};
  SHA256_Final(digest.data(), &context_->sha);
  SHA256_Init(&context_->sha);
  return digest;
}

Digest sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

Digest hmac_sha256(std::string_view key, std::string_view bytes) {
  Digest digest{};
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data(), nullptr);
  return digest;
}

std::string hex(const Digest& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(digest.size() * 2, '\0');
  char* at = text.data();
  for (const std::uint8_t byte : digest) {
    *at++ = kDigits[byte >> 4];
    *at++ = kDigits[byte & 15];
  }
  return text;
}

std::string named_digest(std::string_view bytes) {
  return "sha256:" + hex(sha256(bytes));
}

std::string short_digest(std::string_view digest) {
  constexpr std::size_t kDigits = 12;
  const std::size_t colon = digest.find(':');
  return std::string(digest.substr(colon == std::string_view::npos ? 0 : colon + 1, kDigits));
}

}  // namespace imagewright
