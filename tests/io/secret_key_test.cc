#include "io/secret_key.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "io/scratch.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

TEST(SecretKey, IsMadeOnceAndForItsOwnerAlone) {
  const TempDirectory home;
  const auto cache = home.path() / "new" / "cache";
  const std::string key = secret_key(cache);
  EXPECT_EQ(key.size(), 32U);
  EXPECT_EQ(secret_key(cache), key);
  struct stat status = {};
  ASSERT_EQ(stat((cache / "secret-key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  EXPECT_NE(secret_key(home.path() / "other"), key);
}

TEST(SecretKey, HalfAKeyIsNone) {
  const TempDirectory cache;
  write_file(cache.path() / "secret-key", "short");
  const std::string key = secret_key(cache.path());
  EXPECT_EQ(key.size(), 32U);
  EXPECT_EQ(secret_key(cache.path()), key);
}

}  // namespace
}  // namespace imagewright
