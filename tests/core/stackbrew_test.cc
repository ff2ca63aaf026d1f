#include "core/stackbrew.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "conformance.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kId = "0123456789012345678901234567890123456789";
constexpr const char* kOther = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";

std::string global(const std::string& more = "") {
  return "Maintainers: A (@a),\n  B (@b)\nGitRepo: https://host/r.git\nGitCommit: " +
         std::string(kId) + "\n" + more;
}

StackbrewLibrary read(const std::string& text) {
  auto library = parse_stackbrew(text);
  if (!library) throw std::runtime_error(describe(library.error(), "f"));
  return *std::move(library);
}

std::string error(const std::string& text) {
  const auto library = parse_stackbrew(text);
  return library ? "" : describe(library.error(), "f");
}

TEST(Stackbrew, TheFirstParagraphIsForAll) {
  const StackbrewLibrary library = read(global("Architectures: amd64, arm32v7\nDirectory: all/\n") +
                                        "\n# a remark\n\nTags: 1.2, 1, latest\nSharedTags: s, t\n"
                                        "\nTags: 1.1\n# within it\nGitCommit: " +
                                        kOther +
                                        "\nGitFetch: refs/heads/x\nDirectory: ./own\nFile: F\n"
                                        "Architectures: windows-amd64\nConstraints: c, !d\n");
  EXPECT_THAT(library.maintainers, ElementsAre("A (@a)", "B (@b)"));
  EXPECT_THAT(library.warnings, ElementsAre());
  ASSERT_EQ(library.images.size(), 2u);
  const StackbrewImage& first = library.images[0];
  EXPECT_THAT(first.tags, ElementsAre("1.2", "1", "latest"));
  EXPECT_THAT(first.shared_tags, ElementsAre("s", "t"));
  EXPECT_THAT(first.platforms, ElementsAre("linux/amd64", "linux/arm/v7"));
  EXPECT_EQ(first.source.remote, "https://host/r.git");
  EXPECT_EQ(first.source.ref, kId);
  EXPECT_EQ(first.source.fetch, "refs/heads/master");
  EXPECT_EQ(first.source.subdir, "all");
  EXPECT_EQ(first.dockerfile, "");
  const StackbrewImage& second = library.images[1];
  EXPECT_THAT(second.shared_tags, ElementsAre());
  EXPECT_THAT(second.platforms, ElementsAre("windows/amd64"));
  EXPECT_THAT(second.constraints, ElementsAre("c", "!d"));
  EXPECT_EQ(second.source.ref, kOther);
  EXPECT_EQ(second.source.fetch, "refs/heads/x");
  EXPECT_EQ(second.source.subdir, "own");
  EXPECT_EQ(second.dockerfile, "F");
}

TEST(Stackbrew, WhatAnArchitectureHasForItself) {
  const StackbrewLibrary library =
      read(global("s390x-File: Z\n") +
           "\nTags: a\nArchitectures: amd64, arm64v8, s390x, i386\n"
           "Directory: d\narm64v8-Directory: arm\narm64v8-GitCommit: " +
           kOther + "\narm64v8-GitFetch: refs/tags/v\narm64v8-GitRepo: https://other/r.git\n");
  ASSERT_EQ(library.images.size(), 3u);
  EXPECT_THAT(library.images[0].platforms, ElementsAre("linux/amd64", "linux/386"));
  EXPECT_EQ(library.images[0].source.subdir, "d");
  const GitSource& arm = library.images[1].source;
  EXPECT_THAT(library.images[1].platforms, ElementsAre("linux/arm64"));
  EXPECT_EQ(arm.remote + " " + arm.ref + " " + arm.fetch + " " + arm.subdir,
            "https://other/r.git " + std::string(kOther) + " refs/tags/v arm");
  EXPECT_EQ(library.images[2].dockerfile, "Z");
  for (const StackbrewImage& image : library.images) EXPECT_THAT(image.tags, ElementsAre("a"));
}

TEST(Stackbrew, WhatIsBuiltAlikeIsOneImage) {
  const StackbrewLibrary library =
      read(global() +
           "\nTags: 1.5.3\nSharedTags: x, y\n\nTags: 1.5\nSharedTags: y, z\n"
           "\nTags: 1.6\nConstraints: c\n");
  ASSERT_EQ(library.images.size(), 2u);
  EXPECT_THAT(library.images[0].tags, ElementsAre("1.5.3", "1.5"));
  EXPECT_THAT(library.images[0].shared_tags, ElementsAre("x", "y", "z"));
}

TEST(Stackbrew, ASharedTagHasOneImageAPlatform) {
  const StackbrewLibrary library =
      read(global() +
           "\nTags: a\nSharedTags: s\nDirectory: a\n"
           "\nTags: b\nSharedTags: s\nDirectory: b\n"
           "\nTags: c\nSharedTags: s\nDirectory: c\nArchitectures: arm64v8\n"
           "\nTags: d\nSharedTags: s\nDirectory: d\nConstraints: x\n"
           "\nTags: e\nSharedTags: s\nDirectory: e\nConstraints: !x\n");
  EXPECT_THAT(library.images[0].shared_tags, ElementsAre("s"));
  EXPECT_THAT(library.images[1].shared_tags, ElementsAre());
  EXPECT_THAT(library.images[2].shared_tags, ElementsAre("s"));
  EXPECT_THAT(library.images[3].shared_tags, ElementsAre("s"));
  EXPECT_THAT(library.warnings,
              ElementsAre("the shared tag 's' is that of 'a', and not also that of 'b': they can "
                          "be for one platform",
                          "the shared tag 's' is that of 'a', and not also that of 'e': they can "
                          "be for one platform"));
}

TEST(Stackbrew, WhatCannotBeSaidIsAWarningThatNamesIt) {
  const StackbrewLibrary library =
      read(global() +
           "\nTags: classic\nBuilder: classic\nDirectory: a\n"
           "\nTags: kit\nBuilder: buildkit\nDirectory: b\n"
           "\nTags: oci\nDirectory: c\nArchitectures: amd64, s390x\ns390x-Builder: oci-import\n"
           "\nTags: short\nGitCommit: 0123abc\n"
           "\nTags: odd\nDirectory: e\nArchitectures: amd64, vax\nvax-Directory: v\nDirectry: x\n");
  std::vector<std::string> tags;
  for (const StackbrewImage& image : library.images) tags.push_back(image.tags.front());
  EXPECT_THAT(tags, ElementsAre("classic", "kit", "oci", "odd"));
  EXPECT_THAT(library.images[2].platforms, ElementsAre("linux/amd64"));
  EXPECT_THAT(library.warnings,
              ElementsAre("line 6: 'Builder: classic' of 'classic' cannot be said: the engine "
                          "decides what it builds with",
                          "line 14: 'oci' is left out for s390x: the builder 'oci-import' makes an "
                          "image otherwise than from a Dockerfile",
                          "line 19: 'short' is left out for amd64: the commit '0123abc' is not its "
                          "full id",
                          "line 25: the architecture 'vax' is not known, and what it has for "
                          "itself is left out",
                          "line 26: the field 'Directry' is not known, and left out; did you mean "
                          "'Directory'?",
                          "line 22: the architecture 'vax' of 'odd' is not known, and left out"));
}

TEST(Stackbrew, TheLinesOfOld) {
  const std::string text = std::string("# maintainer: A (@a)\n\n1.0: git://github.com/o/r@") + kId +
                           " sub/dir\nlatest: git://github.com/o/r@" + kId +
                           " sub/dir\n # a second set\nv: https://me@host/r.git@v1.2\n";
  ASSERT_TRUE(is_stackbrew(text));
  const StackbrewLibrary library = read(text);
  ASSERT_EQ(library.images.size(), 2u);
  EXPECT_THAT(library.images[0].tags, ElementsAre("1.0", "latest"));
  EXPECT_EQ(library.images[0].source.remote, "git://github.com/o/r");
  EXPECT_EQ(library.images[0].source.ref, kId);
  EXPECT_EQ(library.images[0].source.fetch, "refs/heads/*");
  EXPECT_EQ(library.images[0].source.subdir, "sub/dir");
  EXPECT_EQ(library.images[1].source.remote, "https://me@host/r.git");
  EXPECT_EQ(library.images[1].source.ref, "refs/tags/v1.2");
  EXPECT_EQ(library.images[1].source.fetch, "");
}

TEST(Stackbrew, WhatIsWrongIsSaidWithItsLine) {
  EXPECT_EQ(error(global() + "Tags: a\n"),
            "f:1: the first paragraph is for all entries: it cannot have 'Tags'");
  EXPECT_EQ(error(global() + "\nGitCommit: " + kOther + "\n"), "f:6: this entry has no 'Tags'");
  EXPECT_EQ(error("Maintainers: a\n\nTags: a\nGitCommit: " + std::string(kId)),
            "f:3: 'a' has no 'GitRepo'");
  EXPECT_EQ(error(global() + "\nTags: a, b\n\nTags: c, a\nDirectory: x\n"),
            "f:8: the tag 'a' is given twice");
  EXPECT_EQ(error(global() + "\nTags: a\nSharedTags: b\n\nTags: b\n"),
            "f:9: the tag 'b' is a shared tag already");
  EXPECT_EQ(error(global() + "\nTags: a\n\nTags: b\nSharedTags: a\n"),
            "f:8: the shared tag 'a' is an image's own already");
  EXPECT_EQ(error(global() + "\nTags: a b\n"), "f:6: 'a b' can be no tag");
  EXPECT_EQ(error(global() + "\nTags: a\nnothing\n"), "f:7: 'nothing' is no 'Field: value'");
  EXPECT_EQ(error(global() + "\n  astray\n"),
            "f:6: this line goes on with a field, and there is none above it");
  EXPECT_EQ(error(global() + "\nTags: a\nTags: b\n"), "f:7: the field 'Tags' is given twice");
  EXPECT_THAT(error(global() + "\nTags: a\nGitCommit: main\n"),
              HasSubstr("f:6: 'GitCommit' of 'a' must be a commit's id, and not 'main'"));
  EXPECT_THAT(error(global() + "\nTags: a\nDirectory: ../x\n"), HasSubstr("f:6: 'a': "));
  EXPECT_THAT(error(global() + "\nTags: a\nGitFetch: --upload-pack=x\n"), HasSubstr("f:6: 'a': "));
  EXPECT_THAT(error(global() + "\nTags: a\nGitRepo: ext::sh -c x\n"), HasSubstr("f:7: "));
  EXPECT_THAT(error(global() + "\nTags: a\nGitRepo: /etc\n"), HasSubstr("'/etc' is no git URL"));
}

TEST(Stackbrew, AFileOfOursIsNone) {
  EXPECT_FALSE(is_stackbrew("builder:\n  images: []\n"));
  EXPECT_FALSE(is_stackbrew("Tags: x\nbuilder:\n  images: []\n"));
  EXPECT_FALSE(is_stackbrew("home: https://me@host/\nbuilder:\n  images: []\n"));
  EXPECT_FALSE(is_stackbrew("services:\n  web: {build: .}\n"));
  EXPECT_FALSE(is_stackbrew("home: https://me@host/\nother: x\n"));
  EXPECT_FALSE(
      is_stackbrew("{\"builder\": {\"images\": [{\"name\": \"x\", \"from\": "
                   "\"https://git@host/x.git\"}]}}"));
  EXPECT_FALSE(is_stackbrew(""));
  EXPECT_FALSE(is_stackbrew("# nothing\n"));
}

TEST(conformance_stackbrew, ConformanceLibraryFiles) {
  const fs::path folder = conformance_file("stackbrew");
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no conformance data at " << folder;
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    EXPECT_TRUE(is_stackbrew(text)) << entry.path();
    const auto library = parse_stackbrew(text);
    ASSERT_TRUE(library) << entry.path() << ": " << library.error().message;
    for (const std::string& warning : library->warnings) {
      EXPECT_TRUE(warning.find("Builder: classic") != std::string::npos ||
                  warning.find("no entry") != std::string::npos)
          << warning;
    }
    ++files;
  }
  EXPECT_GE(files, 15u);
}

}  // namespace
}  // namespace imagewright
