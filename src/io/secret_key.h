// The key by which contents of secrets are digested: random, made once, readable for its owner
// alone. Whoever has a digest but not the key cannot try out what it is the digest of. Knows
// nothing of secrets.
#pragma once

#include <filesystem>
#include <string>

namespace imagewright {

/// The 32 bytes in `cache/secret-key` (0600), made if they are not there. Where they are lost,
/// images with secrets are built once more. Throws Error(Missing).
std::string secret_key(const std::filesystem::path& cache);

/// 32 random bytes. Throws Error(Missing).
std::string new_secret_key();

}  // namespace imagewright
