#include "io/pack.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>

#include "io/error.h"
#include "io/file_read.h"
#include "io/scratch.h"
#include "io/tree.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;

struct Looked {
  std::vector<Entry> entries;
  Digest digest{};
};

Looked look_at(const fs::path& root) {
  TreeRequest request;
  request.root = root.string();
  const Snapshot snapshot = read_tree(request);
  return {snapshot.entries(request), snapshot.digest()};
}

struct stat status_of(const fs::path& path) {
  struct stat status = {};
  EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
  return status;
}

Error::Kind kind_of_failure(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "it did not fail";
  return Error::Kind::Missing;
}

// A file of a tar as it is on a tape, for what no honest packer would write.
struct TarMember {
  std::string name;
  char type = '0';
  std::string target;
  std::string content;
};

std::string tar_of(const std::vector<TarMember>& members) {
  std::string tar;
  for (const TarMember& member : members) {
    std::array<char, 512> head{};
    const auto put = [&](std::size_t at, const std::string& text) {
      std::memcpy(head.data() + at, text.data(), text.size());
    };
    put(0, member.name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    std::array<char, 16> size{};
    std::snprintf(size.data(), size.size(), "%011zo", member.content.size());
    put(124, size.data());
    put(136, "00000000000");
    put(148, "        ");
    head[156] = member.type;
    put(157, member.target);
    put(257, std::string("ustar\0"
                         "00",
                         8));
    unsigned sum = 0;
    for (const char byte : head) sum += static_cast<unsigned char>(byte);
    std::snprintf(size.data(), size.size(), "%06o", sum);
    put(148, std::string(size.data(), 6) + '\0' + ' ');
    tar.append(head.data(), head.size());
    std::string content = member.content;
    content.resize((content.size() + 511) / 512 * 512);
    tar += content;
  }
  tar.append(1024, '\0');
  return tar;
}

TEST(Pack, WhatIsUnpackedIsWhatWasPacked) {
  const TempDirectory directory;
  directory.write("in/file", "some text");
  directory.write("in/empty", "", 0600);
  directory.write("in/program", "#!", 04755);
  directory.write("in/large", std::string(1'000'000, 'x') + "end");
  directory.write("in/below/deeper/file", "2", 0400);
  directory.write("in/na\xffme \n\xc3\xa4", "odd");
  directory.write(std::string("in/") + std::string(200, 'l') + "/" + std::string(200, 'm'), "long");
  fs::create_symlink("../out/of/it", directory / "in/link");
  fs::create_directory(directory / "in/nothing");
  chmod((directory / "in/nothing").c_str(), 01777);
  chmod((directory / "in/below").c_str(), 0555);
  const timespec old[2] = {{1'000'000'000, 123}, {1'000'000'000, 123}};
  for (const char* name : {"in/file", "in/link", "in/nothing"})
    utimensat(AT_FDCWD, (directory / name).c_str(), old, AT_SYMLINK_NOFOLLOW);
  const bool has_xattrs = setxattr((directory / "in/file").c_str(), "user.note", "a\0b", 3, 0) == 0;

  const Looked before = look_at(directory / "in");
  pack_context(directory / "in", before.entries, directory / "pack");
  std::vector<Entry> told = unpack_context(directory / "pack", directory / "out");
  const Looked after = look_at(directory / "out");
  EXPECT_EQ(hex(before.digest), hex(after.digest));
  ASSERT_EQ(told.size(), after.entries.size());
  for (std::size_t i = 0; i < told.size(); ++i) {
    EXPECT_EQ(told[i].path, after.entries[i].path);
    EXPECT_EQ(told[i].type, after.entries[i].type);
    EXPECT_EQ(told[i].mode, after.entries[i].mode) << told[i].path;
    EXPECT_EQ(told[i].size, after.entries[i].size);
    EXPECT_EQ(told[i].target, after.entries[i].target);
    EXPECT_EQ(told[i].xattrs, after.entries[i].xattrs);
  }
  EXPECT_EQ(status_of(directory / "out/program").st_mode & 07777, 04755U);
  EXPECT_EQ(status_of(directory / "out/nothing").st_mode & 07777, 01777U);
  for (const char* name : {"out/file", "out/link", "out/nothing"}) {
    EXPECT_EQ(status_of(directory / name).st_mtim.tv_sec, 1'000'000'000) << name;
    EXPECT_EQ(status_of(directory / name).st_mtim.tv_nsec, 123) << name;
  }
  if (has_xattrs) {
    std::array<char, 8> value{};
    EXPECT_EQ(getxattr((directory / "out/file").c_str(), "user.note", value.data(), value.size()),
              3);
  }
  chmod((directory / "in/below").c_str(), 0755);
  chmod((directory / "out/below").c_str(), 0755);
}

TEST(Pack, OnlyWhatCountsIsInIt) {
  const TempDirectory directory;
  directory.write("in/counts", "1");
  directory.write("in/does-not", "2");
  Looked all = look_at(directory / "in");
  std::erase_if(all.entries, [](const Entry& entry) { return entry.path != "counts"; });
  pack_context(directory / "in", all.entries, directory / "pack");
  unpack_context(directory / "pack", directory / "out");
  EXPECT_TRUE(fs::exists(directory / "out/counts"));
  EXPECT_FALSE(fs::exists(directory / "out/does-not"));
}

TEST(Pack, TheSameGivesTheSameBytes) {
  const TempDirectory directory;
  directory.write("in/a/file", "some text");
  directory.write("in/b", std::string(3'000'000, 'b'));
  const Looked all = look_at(directory / "in");
  pack_context(directory / "in", all.entries, directory / "1");
  pack_context(directory / "in", all.entries, directory / "2");
  EXPECT_EQ(read_file(directory / "1"), read_file(directory / "2"));
}

TEST(Pack, WhatChangedSinceItWasLookedAtIsNoticed) {
  using Change = std::function<void(const fs::path& root)>;
  const std::vector<std::pair<const char*, Change>> changes = {
      {"other bytes", [](const fs::path& root) { write_file(root / "file", "other text"); }},
      {"longer", [](const fs::path& root) { write_file(root / "file", "some text and more"); }},
      {"shorter", [](const fs::path& root) { write_file(root / "file", "some"); }},
      {"gone", [](const fs::path& root) { fs::remove(root / "file"); }},
      {"a directory now",
       [](const fs::path& root) {
         fs::remove(root / "file");
         fs::create_directory(root / "file");
       }},
      {"a symlink now",
       [](const fs::path& root) {
         fs::remove(root / "file");
         write_file(root / "same", "some texts");
         fs::create_symlink("same", root / "file");
       }},
  };
  for (const auto& [what, change] : changes) {
    const TempDirectory directory;
    directory.write("in/file", "some texts");
    const Looked all = look_at(directory / "in");
    change(directory / "in");
    EXPECT_EQ(
        kind_of_failure([&] { pack_context(directory / "in", all.entries, directory / "pack"); }),
        Error::Kind::Source)
        << what;
    EXPECT_FALSE(fs::exists(directory / "pack")) << what;
  }
}

TEST(Pack, NothingIsUnpackedElsewhere) {
  const std::vector<std::pair<const char*, std::vector<TarMember>>> packs = {
      {"up", {{"../outside", '0', "", "x"}}},
      {"up in the middle", {{"a", '5', "", ""}, {"a/../../outside", '0', "", "x"}}},
      {"absolute", {{"/tmp/imagewright-outside", '0', "", "x"}}},
      {"over a symlink", {{"way", '2', "..", ""}, {"way/outside", '0', "", "x"}}},
      {"over an absolute symlink", {{"way", '2', "/tmp", ""}, {"way/outside", '0', "", "x"}}},
      {"twice", {{"way", '2', "../outside", ""}, {"way", '0', "", "x"}}},
      {"a hard link", {{"one", '0', "", "x"}, {"two", '1', "../outside", ""}}},
      {"a fifo", {{"one", '6', "", ""}}},
      {"no name", {{"", '0', "", "x"}}},
  };
  for (const auto& [what, members] : packs) {
    const TempDirectory directory;
    fs::create_directory(directory / "place");
    directory.write("outside", "untouched");
    directory.write("pack", tar_of(members));
    EXPECT_NE(kind_of_failure([&] { unpack_context(directory / "pack", directory / "place/out"); }),
              Error::Kind::Usage)
        << what;
    EXPECT_EQ(read_file(directory / "outside"), "untouched") << what;
    EXPECT_FALSE(fs::exists(directory / "place/outside")) << what;
    EXPECT_FALSE(fs::exists("/tmp/outside")) << what;
    EXPECT_FALSE(fs::exists("/tmp/imagewright-outside")) << what;
  }
}

TEST(Pack, WhatIsNoPackIsRefused) {
  const TempDirectory directory;
  directory.write("pack", std::string(5'000, 'x'));
  EXPECT_EQ(kind_of_failure([&] { unpack_context(directory / "pack", directory / "out"); }),
            Error::Kind::Source);
  // Cut short.
  directory.write("in/file", std::string(100'000, 'y'));
  const Looked all = look_at(directory / "in");
  pack_context(directory / "in", all.entries, directory / "whole");
  fs::resize_file(directory / "whole", fs::file_size(directory / "whole") / 2);
  EXPECT_EQ(kind_of_failure([&] { unpack_context(directory / "whole", directory / "half"); }),
            Error::Kind::Source);
  // A place that is taken.
  fs::create_directory(directory / "there");
  EXPECT_EQ(kind_of_failure([&] { unpack_context(directory / "pack", directory / "there"); }),
            Error::Kind::Missing);
}

}  // namespace
}  // namespace imagewright
