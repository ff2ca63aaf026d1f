#include "core/lfs_pointer.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

const std::string kId(64, 'a');

std::string pointer(const std::string& version, const std::string& id, const std::string& size,
                    const std::string& more = "") {
  return "version " + version + "\n" + more + "oid " + id + "\nsize " + size + "\n";
}
constexpr const char* kVersion = "https://git-lfs.github.com/spec/v1";

TEST(LfsPointer, WhatIsOne) {
  const auto found = parse_lfs_pointer(pointer(kVersion, "sha256:" + kId, "12345"));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, kId);
  EXPECT_EQ(found->size, 12345u);
  EXPECT_TRUE(
      parse_lfs_pointer(pointer("https://hawser.github.com/spec/v1", "sha256:" + kId, "0")));
  const auto extended =
      parse_lfs_pointer(pointer(kVersion, "sha256:" + kId, "1", "ext-0-foo sha256:" + kId + "\n"));
  ASSERT_TRUE(extended);
  EXPECT_TRUE(extended->is_extended);
  EXPECT_FALSE(found->is_extended);
}

TEST(LfsPointer, OnesThatGitLfsTakesTooStayedPointers) {
  std::string cut = pointer(kVersion, "sha256:" + kId, "12");
  cut.pop_back();
  ASSERT_TRUE(parse_lfs_pointer(cut));
  EXPECT_EQ(parse_lfs_pointer(cut)->size, 12u);
  const auto windows = parse_lfs_pointer("version " + std::string(kVersion) +
                                         "\r\noid sha256:" + kId + "\r\nsize 12\r\n");
  ASSERT_TRUE(windows);
  EXPECT_EQ(windows->id, kId);
}

TEST(LfsPointer, WhatIsNone) {
  EXPECT_FALSE(parse_lfs_pointer(""));
  EXPECT_FALSE(parse_lfs_pointer("version " + std::string(kVersion) + "\n"));
  EXPECT_FALSE(parse_lfs_pointer(pointer("https://host/spec/v1", "sha256:" + kId, "1")));
  EXPECT_FALSE(parse_lfs_pointer(pointer(kVersion, "sha1:" + kId, "1")));
  EXPECT_FALSE(parse_lfs_pointer(pointer(kVersion, "sha256:" + kId.substr(1), "1")));
  EXPECT_FALSE(parse_lfs_pointer(pointer(kVersion, "sha256:../" + kId.substr(3), "1")));
  EXPECT_FALSE(parse_lfs_pointer(pointer(kVersion, "sha256:" + std::string(64, 'A'), "1")));
  EXPECT_FALSE(parse_lfs_pointer(pointer(kVersion, "sha256:" + kId, "-1")));
  EXPECT_FALSE(parse_lfs_pointer(pointer(kVersion, "sha256:" + kId, "1 ")));
  EXPECT_FALSE(parse_lfs_pointer(pointer(kVersion, "sha256:" + kId, "99999999999999999999999")));
  EXPECT_FALSE(parse_lfs_pointer(
      pointer(kVersion, "sha256:" + kId, "1", "x " + std::string(1000, 'y') + "\n")));
}

}  // namespace
}  // namespace imagewright
