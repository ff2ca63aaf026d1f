#include "io/tree_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <map>

#include "temp_directory.h"
#include "tree_edits.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class TreeChanges : public testing::Test {
 protected:
  TreeRequest request() {
    TreeRequest result;
    result.root = tree.path();
    result.rules = std::move(*IgnoreRules::parse(ignore));
    result.cache = home / "contexts/one";
    result.clock = &clock;
    return result;
  }
  Snapshot look() { return read_tree(request()); }
  fs::path place() const { return home / "contexts/kept"; }

  // Keeps what it is now.
  void keep() {
    const Snapshot snapshot = look();
    ASSERT_TRUE(snapshot.keep(place()));
    before = hex(snapshot.digest());
  }

  std::optional<ContextChanges> changes() { return changes_since(place(), before, look()); }

  // "content path" of each.
  std::vector<std::string> lines() {
    const auto found = changes();
    if (!found) return {"nothing was kept"};
    std::vector<std::string> result;
    for (const ContextChange& change : found->entries) {
      result.push_back(std::string(word(change.kind)) + " " + change.path);
    }
    return result;
  }

  const TempDirectory tree;
  const TempDirectory home;
  std::string ignore;
  std::string before;
  FileClock clock{{home.path()}};
};

TEST_F(TreeChanges, EachKindOfChangeIsNamed) {
  for (const char* name : {"content", "d/mode", "d/removed", "d/type", "d/unchanged", "e/f/deep"}) {
    tree.write(name, name);
  }
  fs::create_symlink("one", tree / "d/link");
  const bool attributes = setxattr((tree / "content").c_str(), "user.test", "1", 1, 0) == 0;
  tree.write("d/attributes", "");
  keep();
  EXPECT_THAT(lines(), ElementsAre());
  tree.write("content", "other");
  chmod((tree / "d/mode").c_str(), 0600);
  fs::remove(tree / "d/removed");
  fs::remove(tree / "d/type");
  fs::create_symlink("elsewhere", tree / "d/type");
  fs::remove(tree / "d/link");
  fs::create_symlink("two", tree / "d/link");
  tree.write("d/added", "");
  tree.write("e/f/deep", "other");
  chmod((tree / "e/f").c_str(), 0700);
  if (attributes) setxattr((tree / "d/attributes").c_str(), "user.test", "1", 1, 0);
  std::vector<std::string> expected = {"content content", "added d/added",     "target d/link",
                                       "mode d/mode",     "removed d/removed", "type d/type",
                                       "mode e/f",        "content e/f/deep"};
  if (attributes) expected.insert(expected.begin() + 2, "attributes d/attributes");
  EXPECT_EQ(lines(), expected);
  const auto found = changes();
  EXPECT_EQ(found->added, 1U);
  EXPECT_EQ(found->removed, 1U);
  EXPECT_EQ(found->changed, expected.size() - 2);
}

TEST_F(TreeChanges, AWholeDirectoryThatCameOrWentIsNamedByItsFiles) {
  tree.write("old/a/file", "");
  tree.write("old/b", "");
  fs::create_directories(tree / "old/void/void");
  tree.write("stays", "");
  keep();
  fs::remove_all(tree / "old");
  tree.write("new/x/y", "");
  fs::create_directories(tree / "new/z");
  EXPECT_THAT(lines(), ElementsAre("added new/x/y", "added new/z", "removed old/a/file",
                                   "removed old/b", "removed old/void/void"));
}

TEST_F(TreeChanges, AnEmptyDirectoryThatFillsOrEmptiesIsNamedByWhatCameOrWent) {
  fs::create_directories(tree / "a");
  tree.write("b/file", "");
  keep();
  tree.write("a/file", "");
  fs::remove(tree / "b/file");
  EXPECT_THAT(lines(), ElementsAre("added a/file", "removed b/file"));
}

TEST_F(TreeChanges, AFileThatBecomesADirectoryIsNamedAndSoIsWhatIsInIt) {
  tree.write("x", "");
  tree.write("y/one", "");
  keep();
  fs::remove(tree / "x");
  tree.write("x/in", "");
  fs::remove_all(tree / "y");
  tree.write("y", "");
  EXPECT_THAT(lines(), ElementsAre("type x", "added x/in", "type y", "removed y/one"));
}

TEST_F(TreeChanges, WhatIsIgnoredNowIsRemoved) {
  tree.write("node/keep", "");
  tree.write("node/other", "");
  tree.write("src/a", "");
  keep();
  ignore = "node\n!node/keep\n";
  EXPECT_THAT(lines(), ElementsAre("removed node/other"));
  ignore = "node\n";
  EXPECT_THAT(lines(), ElementsAre("removed node/keep", "removed node/other"));
  ignore = "node/keep\nsrc\n!src/none\n";
  EXPECT_THAT(lines(), ElementsAre("removed node/keep", "removed src/a"));
}

TEST_F(TreeChanges, OfAWholeContextAllIsCountedAndTheFirstAreNamed) {
  for (int i = 0; i < 1500; ++i)
    tree.write("d" + std::to_string(i % 30) + "/" + std::to_string(i), "");
  keep();
  for (int i = 0; i < 1500; ++i) {
    chmod((tree / ("d" + std::to_string(i % 30) + "/" + std::to_string(i))).c_str(), 0600);
  }
  tree.write("a", "");
  const auto found = changes();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->changed, 1500U);
  EXPECT_EQ(found->added, 1U);
  ASSERT_EQ(found->entries.size(), ContextChanges::kNamed);
  EXPECT_EQ(found->entries.front().path, "a");
  EXPECT_TRUE(std::is_sorted(found->entries.begin(), found->entries.end(),
                             [](const auto& a, const auto& b) { return a.path < b.path; }));
}

TEST_F(TreeChanges, WhatWasKeptOfAnotherContextSaysNothing) {
  tree.write("a", "");
  keep();
  EXPECT_TRUE(is_kept(place()));
  EXPECT_TRUE(changes());
  const std::string right = before;
  before = hex(sha256("another context"));
  EXPECT_FALSE(changes()) << "it is of another digest";
  before = right;
  forget_kept(place());
  EXPECT_FALSE(is_kept(place()));
  EXPECT_FALSE(changes());
  forget_kept(place());
  for (const auto& entry : fs::directory_iterator(home / "contexts")) {
    EXPECT_EQ(entry.path().filename().string().find("kept"), std::string::npos);
  }
}

TEST_F(TreeChanges, WhatWasKeptAndIsDamagedSaysNothing) {
  tree.write("d/a", "1");
  keep();
  tree.write("d/a", "2");
  for (const char* extension : {".dirs", ".files"}) {
    const fs::path file = place().string() + extension;
    std::ifstream in(file, std::ios::binary);
    const std::string good((std::istreambuf_iterator<char>(in)), {});
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ 0x41);
      for (const std::string& bytes : {bad, good.substr(0, i)}) {
        // (A file of its own: the cache shares the one that was kept.)
        fs::remove(file);
        std::ofstream(file, std::ios::binary) << bytes;
        const auto found = changes();
        if (!found) continue;
        // Lists are read only where they are needed.
        ASSERT_EQ(found->changed, 1U) << extension << " " << i;
        ASSERT_EQ(found->entries.size(), 1U) << extension << " " << i;
        ASSERT_EQ(found->entries[0].path, "d/a");
      }
    }
    fs::remove(file);
    std::ofstream(file, std::ios::binary) << good;
  }
  EXPECT_THAT(lines(), ElementsAre("content d/a"));
}

TEST_F(TreeChanges, WhatWasKeptOutlivesTheCache) {
  for (int i = 0; i < 2000; ++i) tree.write("d/" + std::to_string(i), "");
  keep();
  // So often that the cache is swept out meanwhile.
  for (int i = 0; i < 25; ++i) {
    tree.write("d/0", std::to_string(i));
    look();
  }
  EXPECT_THAT(lines(), ElementsAre("content d/0"));
  fs::remove(home / "contexts/one.dirs");
  fs::remove(home / "contexts/one.files");
  EXPECT_THAT(lines(), ElementsAre("content d/0"));
}

// --- Against a comparison of two whole lists

ContextChanges naive(const std::vector<Entry>& old, const std::vector<Entry>& fresh) {
  std::map<std::string, std::pair<const Entry*, const Entry*>> paths;
  for (const Entry& entry : old) paths[entry.path].first = &entry;
  for (const Entry& entry : fresh) paths[entry.path].second = &entry;
  const auto has_below = [](const std::vector<Entry>& entries, const std::string& path) {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const Entry& entry) { return entry.path.starts_with(path + "/"); });
  };
  ContextChanges changes;
  for (const auto& [path, sides] : paths) {
    const auto [a, b] = sides;
    if (b == nullptr) {
      if (a->type != EntryType::Directory || !has_below(old, path)) {
        changes.add(ChangeKind::Removed, path);
      }
    } else if (a == nullptr) {
      if (b->type != EntryType::Directory || !has_below(fresh, path)) {
        changes.add(ChangeKind::Added, path);
      }
    } else if (a->type != b->type) {
      changes.add(ChangeKind::Type, path);
    } else if (a->content != b->content) {
      changes.add(ChangeKind::Content, path);
    } else if (a->target != b->target) {
      changes.add(ChangeKind::Target, path);
    } else if (a->mode != b->mode) {
      changes.add(ChangeKind::Mode, path);
    } else if (a->xattrs != b->xattrs) {
      changes.add(ChangeKind::Attributes, path);
    }
  }
  return changes;
}

TEST_F(TreeChanges, RandomHistoriesAreToldAsAComparisonOfTwoListsTellsThem) {
  const unsigned seed = random_seed();
  TreeEdits edits(tree.path(), seed);
  const char* const rules[] = {"", "a\n!a/b\n*.log\n", "*\n!a/b/c\n", "b/*\n!b/a\n"};
  for (int round = 0; round < 250; ++round) {
    TreeRequest whole = request();
    whole.cache.clear();
    keep();
    const std::vector<Entry> old = read_tree(whole).entries(whole);
    for (std::uint32_t i = edits.below(15); i > 0; --i) edits.step();
    // Now and then the rules change, too.
    if (round % 4 == 0) ignore = rules[edits.below(4)];
    whole = request();
    whole.cache.clear();
    const Snapshot now = read_tree(whole);
    const auto found = changes();
    ASSERT_TRUE(found) << "IMAGEWRIGHT_SEED=" << seed;
    const ContextChanges expected = naive(old, now.entries(whole));
    ASSERT_EQ(*found, expected) << "IMAGEWRIGHT_SEED=" << seed << "\n"
                                << describe(*found) << "\n"
                                << describe(expected);
    // Something is told if, and only if, the digest moved.
    ASSERT_EQ(found->empty(), hex(now.digest()) == before) << "IMAGEWRIGHT_SEED=" << seed;
    forget_kept(place());
  }
}

}  // namespace
}  // namespace imagewright
