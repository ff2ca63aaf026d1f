#include "io/store.h"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "io/error.h"
#include "io/interrupt.h"
#include "io/state_file.h"
#include "state_rows.h"

namespace imagewright {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Names = std::set<std::string>;

constexpr int kSkipped = 77;

/// A process that has what `make` gives until it is ended.
template <typename Make>
pid_t hold(Make make) {
  int ready[2];
  if (pipe(ready) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    try {
      [[maybe_unused]] const auto held = make();
      if (::write(ready[1], "x", 1) != 1) _exit(1);
      for (;;) pause();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "in the child: %s\n", error.what());
    }
    _exit(1);
  }
  close(ready[1]);
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  return child;
}

void end(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

std::string bytes_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    std::string name = (fs::temp_directory_path() / "store test ?#%-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = name;
    chmod(name.c_str(), 0755);
    file_ = directory_ / ".builder.state.db";
  }
  ~StoreTest() override { fs::remove_all(directory_); }

  Names files() const {
    Names names;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

  void sql(const std::string& statements) const {
    SQLite::Database database(file_.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec(statements);
  }

  void write_original() const {
    sql("CREATE TABLE image_state (id INTEGER NOT NULL, name VARCHAR, digest VARCHAR, "
        "image_id VARCHAR, PRIMARY KEY (id), UNIQUE (name));"
        "INSERT INTO image_state (name, digest, image_id) VALUES ('test/busybox', 'c0ffee', "
        "'769b9341d937'), ('test/tmp', NULL, NULL)");
  }

  /// What opening and reading the state throws.
  template <typename Open>
  std::string error_of(Open open) const {
    try {
      Store store = open(directory_);
      store.rows();
      store.builds("a");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::Missing);
      EXPECT_THAT(error.what(), HasSubstr(file_.string()));
      return error.what();
    }
    return "";
  }

  fs::path directory_;
  fs::path file_;
};

// --- The original's file, and those of other versions

TEST_F(StoreTest, UpgradesTheOriginalInPlace) {
  write_original();
  {
    Store store = Store::open(directory_);
    EXPECT_TRUE(fs::exists(file_.string() + "-wal"));
    EXPECT_TRUE(fs::exists(file_.string() + "-shm"));
    const ImageRow row = store.find("test/busybox").value();
    EXPECT_EQ(row, (ImageRow{"test/busybox", "c0ffee", "769b9341d937", "", "", 0, true, "", {}}));
    EXPECT_EQ(store.find("test/tmp")->digest, "");
    EXPECT_THAT(store.retire("/c.yml", {"test/busybox"}), ElementsAre("test/tmp"));
    store.record_success(image("test/busybox"), attempt("test/busybox"));
  }
  EXPECT_EQ(files(), Names{".builder.state.db"});
  Store store = Store::open(directory_);
  EXPECT_EQ(store.find("test/busybox"), image("test/busybox"));
}

TEST_F(StoreTest, UpgradesAStateWithoutReachInPlace) {
  Store::open(directory_).record_success(image("a"), attempt("a"));
  sql("ALTER TABLE image_state DROP COLUMN reach;"
      "ALTER TABLE image_input DROP COLUMN value;"
      "ALTER TABLE image_state DROP COLUMN source;"
      "ALTER TABLE image_state DROP COLUMN commit_id;"
      "ALTER TABLE image_state DROP COLUMN tree_id;"
      "ALTER TABLE image_state DROP COLUMN built_ms;"
      "ALTER TABLE build DROP COLUMN source;"
      "ALTER TABLE build DROP COLUMN details;"
      "DROP TABLE published;"
      "DROP TABLE given_name;"
      "PRAGMA user_version = 1");
  ImageRow row = image("a");
  row.reach.clear();
  for (StoredInput& input : row.inputs) input.value.clear();
  EXPECT_EQ(Store::open_read_only(directory_).find("a"), row);
  EXPECT_EQ(Store::open(directory_).find("a"), row);
}

TEST_F(StoreTest, TheOriginalCanGoOnWithItsTable) {
  {
    Store store = Store::open(directory_);
    for (const char* name : {"a", "b", "c"}) store.record_success(image(name), attempt(name));
  }
  sql("UPDATE image_state SET digest = 'its own', image_id = '123' WHERE name = 'a';"
      "DELETE FROM image_state WHERE name = 'c';"
      "INSERT INTO image_state (name, digest, image_id) VALUES ('d', 'e', 'f')");
  Store store = Store::open(directory_);
  EXPECT_EQ(store.find("a"), (ImageRow{"a", "its own", "123", "/c.yml", "", 0, true, "", {}}));
  EXPECT_EQ(store.find("b"), image("b"));
  EXPECT_EQ(store.find("d"), (ImageRow{"d", "e", "f", "", "", 0, true, "", {}}))
      << "not c's inputs";
  store.record_success(image("d"), attempt("d"));
  EXPECT_EQ(store.find("d"), image("d"));
}

TEST_F(StoreTest, AnUpgradeThatFailsChangesNothing) {
  write_original();
  sql("CREATE TABLE build (something)");
  const std::string before = bytes_of(file_);
  EXPECT_THAT(error_of(Store::open), HasSubstr("move it away"));
  EXPECT_THAT(error_of(Store::open_read_only), HasSubstr("move it away"));
  EXPECT_EQ(bytes_of(file_), before);
}

TEST_F(StoreTest, RefusesANewerState) {
  Store::open(directory_);
  sql("PRAGMA user_version = 99");
  const std::string before = bytes_of(file_);
  const std::string expected = fmt::format(
      "the state file '{}' was written by a newer imagewright (state version 99; this "
      "one knows up to {})",
      file_.string(), kStateVersion);
  EXPECT_EQ(error_of(Store::open), expected);
  EXPECT_EQ(error_of(Store::open_read_only), expected);
  EXPECT_EQ(bytes_of(file_), before);
  EXPECT_EQ(files(), Names{".builder.state.db"});
}

TEST_F(StoreTest, RefusesOtherDatabases) {
  sql("CREATE TABLE bookmarks (url)");
  EXPECT_THAT(error_of(Store::open), HasSubstr("another program's database"));
  EXPECT_THAT(error_of(Store::open_read_only), HasSubstr("another program's database"));
  sql("CREATE TABLE image_state (id, url)");
  EXPECT_THAT(error_of(Store::open), HasSubstr("another program's database"));
  sql("PRAGMA user_version = 1");
  EXPECT_THAT(error_of(Store::open), HasSubstr("move it away"));
}

// --- Damage

TEST_F(StoreTest, SaysThatGarbageIsNoState) {
  std::string garbage(10'000, 'x');
  write(file_, garbage);
  EXPECT_THAT(error_of(Store::open), HasSubstr("move it away, and everything is built once"));
  EXPECT_THAT(error_of(Store::open_read_only), HasSubstr("move it away"));
  EXPECT_EQ(bytes_of(file_), garbage);
  EXPECT_EQ(files(), Names{".builder.state.db"});
}

TEST_F(StoreTest, ADamagedStateIsAnErrorAndNothingWorse) {
  {
    Store store = Store::open(directory_);
    for (int i = 0; i < 60; ++i) {
      store.record_success(image(std::to_string(i)), attempt(std::to_string(i)));
    }
  }
  const std::string whole = bytes_of(file_);
  ASSERT_GT(whole.size(), 20'000U);
  std::mt19937 random(1);
  for (int i = 0; i < 150; ++i) {
    const std::size_t cut = 1 + random() % (whole.size() - 1);
    write(file_, whole.substr(0, cut));
    EXPECT_THAT(error_of(Store::open_read_only), HasSubstr("move it away")) << cut;
    EXPECT_EQ(files(), Names{".builder.state.db"});
    EXPECT_THAT(error_of(Store::open), HasSubstr("move it away")) << cut;
    EXPECT_EQ(bytes_of(file_), whole.substr(0, cut));
  }
  for (int i = 0; i < 150; ++i) {
    std::string damaged = whole;
    for (int k = 0; k < 20; ++k) damaged[random() % damaged.size()] = static_cast<char>(random());
    write(file_, damaged);
    error_of(Store::open_read_only);
    error_of([](const fs::path& directory) {
      Store store = Store::open(directory);
      store.record_success(image("a"), attempt("a"));
      store.retire("/c.yml", {"a"});
      return store;
    });
    for (const char* suffix : {"-wal", "-shm", "-journal"}) fs::remove(file_.string() + suffix);
  }
}

TEST_F(StoreTest, AnEmptyFileIsANewState) {
  write(file_, "");
  EXPECT_EQ(error_of(Store::open_read_only), "");
  EXPECT_EQ(fs::file_size(file_), 0U);
  EXPECT_EQ(error_of(Store::open), "");
}

TEST_F(StoreTest, SaysWhatCannotBeOpened) {
  fs::create_directory(file_);
  EXPECT_NE(error_of(Store::open), "");
  EXPECT_NE(error_of(Store::open_read_only), "");
  fs::remove(file_);
  directory_ /= "missing";
  file_ = directory_ / ".builder.state.db";
  EXPECT_NE(error_of(Store::open), "");
  EXPECT_EQ(error_of(Store::open_read_only), "");
  directory_ = directory_.parent_path();
}

TEST_F(StoreTest, AFullDiskIsRecognisableAndLosesNothing) {
  const int status = in_child([&] {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", directory_.c_str(), "tmpfs", 0, "size=400k") != 0) {
      _exit(kSkipped);
    }
    Store store = Store::open(directory_);
    int done = 0;
    std::string said;
    for (; done < 1000 && said.empty(); ++done) {
      try {
        store.record_success(image(std::to_string(done)), attempt(std::to_string(done)));
      } catch (const Error& error) {
        said = error.what();
        --done;
      }
    }
    std::fprintf(stderr, "after %d rows: %s\n", done, said.c_str());
    return said.find("database or disk is full") != std::string::npos && done > 0 &&
           store.rows().size() == static_cast<std::size_t>(done) &&
           Store::open_read_only(directory_).rows().size() == static_cast<std::size_t>(done);
  });
  if (status == kSkipped) GTEST_SKIP() << "needs the right to mount";
  EXPECT_EQ(status, 0);
}

TEST_F(StoreTest, AKilledRunLosesNoFinishedBuild) {
  for (int round = 0; round < 5; ++round) {
    int counter[2];
    ASSERT_EQ(pipe(counter), 0);
    const pid_t child = fork();
    if (child == 0) {
      Store store = Store::open(directory_);
      for (int i = 0;; ++i) {
        store.record_success(image(fmt::format("{}-{}", round, i)), attempt("a"));
        if (::write(counter[1], "x", 1) != 1) _exit(1);
      }
    }
    close(counter[1]);
    char byte = 0;
    for (int i = 0; i < 3; ++i) ASSERT_EQ(read(counter[0], &byte, 1), 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(round));
    kill(child, SIGKILL);
    std::size_t told = 3;
    while (read(counter[0], &byte, 1) == 1) ++told;
    close(counter[0]);
    waitpid(child, nullptr, 0);
    const auto count = [&](Store store) {
      std::size_t rows = 0;
      for (const ImageRow& row : store.rows()) {
        if (row.name.rfind(std::to_string(round) + "-", 0) != 0) continue;
        ++rows;
        EXPECT_EQ(store.find(row.name).value_or(ImageRow()).inputs.size(), 3U);
      }
      return rows;
    };
    EXPECT_GE(count(Store::open_read_only(directory_)), told);
    EXPECT_GE(count(Store::open(directory_)), told);
  }
}

// --- The files beside it

TEST_F(StoreTest, WalAndShmStandWhileItIsOpen) {
  const Names open_files = {".builder.state.db", ".builder.state.db-shm", ".builder.state.db-wal"};
  for (int round = 0; round < 2; ++round) {
    Store store = Store::open(directory_);
    EXPECT_EQ(files(), open_files);
    Store::open_read_only(directory_);
    EXPECT_EQ(files(), open_files);
    store.record_success(image("a"), attempt("a"));
    store.find("a");
    EXPECT_EQ(files(), open_files);
    Store moved = std::move(store);
    EXPECT_EQ(moved.find("a"), image("a"));
    EXPECT_EQ(files(), open_files);
  }
  EXPECT_EQ(files(), Names{".builder.state.db"});
}

TEST_F(StoreTest, AnUnchangedRunWritesNothing) {
  Store::open(directory_).record_success(image("a"), attempt("a"));
  const std::string before = bytes_of(file_);
  {
    Store store = Store::open(directory_);
    store.find("a");
    store.rows();
    store.last_build("a");
    store.retire("/c.yml", {"a"});
    EXPECT_EQ(fs::file_size(file_.string() + "-wal"), 0U);
  }
  EXPECT_EQ(bytes_of(file_), before);
}

TEST_F(StoreTest, FileNamesCoverWhatIsThere) {
  EXPECT_THAT(Store::file_names(),
              ElementsAre(".builder.state.db", ".builder.state.db-wal", ".builder.state.db-shm",
                          ".builder.state.db-journal", ".builder.state.db.queue",
                          ".builder.state.db.queue-wal", ".builder.state.db.queue-shm",
                          ".builder.state.db.queue-journal", ".builder.state.db.lock"));
}

// --- Reading only

TEST_F(StoreTest, ReadingCreatesNothing) {
  Store empty = Store::open_read_only(directory_);
  EXPECT_THAT(empty.rows(), IsEmpty());
  EXPECT_THAT(files(), IsEmpty());
  Store::open(directory_).record_success(image("a"), attempt("a"));
  const std::string before = bytes_of(file_);
  Store store = Store::open_read_only(directory_);
  EXPECT_EQ(store.find("a"), image("a"));
  EXPECT_EQ(files(), Names{".builder.state.db"});
  EXPECT_EQ(bytes_of(file_), before);
}

TEST_F(StoreTest, ReadsTheOriginalsFileAsIfUpgraded) {
  write_original();
  const std::string before = bytes_of(file_);
  Store store = Store::open_read_only(directory_);
  EXPECT_EQ(store.find("test/busybox")->image_id, "769b9341d937");
  EXPECT_EQ(store.find("test/busybox")->format, 0);
  EXPECT_EQ(bytes_of(file_), before);
  EXPECT_EQ(files(), Names{".builder.state.db"});
}

TEST_F(StoreTest, ReadsBesideAWriter) {
  Store writer = Store::open(directory_);
  writer.record_success(image("a"), attempt("a"));
  Store reader = Store::open_read_only(directory_);
  writer.record_success(image("b"), attempt("b"));
  EXPECT_THAT(names(reader), ElementsAre("a"));
  Store later = Store::open_read_only(directory_);
  EXPECT_THAT(names(later), ElementsAre("a", "b"));
  // In the middle of a change, too.
  SQLite::Database other(file_.string(), SQLite::OPEN_READWRITE);
  SQLite::Transaction change(other, SQLite::TransactionBehavior::IMMEDIATE);
  other.exec("DELETE FROM image_state");
  Store during = Store::open_read_only(directory_);
  EXPECT_THAT(names(during), ElementsAre("a", "b"));
}

TEST_F(StoreTest, ReadsWhileAnotherProcessOpensAndCloses) {
  Store::open(directory_).record_success(image("a"), attempt("a"));
  const pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 50; ++i) {
      Store::open(directory_).record_success(image("b"), attempt("b"));
    }
    _exit(0);
  }
  while (waitpid(child, nullptr, WNOHANG) == 0) {
    Store store = Store::open_read_only(directory_);
    EXPECT_EQ(store.find("a"), image("a"));
  }
}

TEST_F(StoreTest, AReaderSeesWholeStatesWhileAnotherProcessOpensAndCloses) {
  // Of two images, which always are of one build: what a reader without locks sees is of one state.
  const auto write_both = [&](int build) {
    Store store = Store::open(directory_);
    for (const char* name : {"a", "b"}) {
      ImageRow row = image(name);
      row.image_id = std::to_string(build);
      // (Rows that move what is behind them.)
      row.reach = std::string(static_cast<std::size_t>(build % 7) * 3000, 'x');
      store.record_success(row, attempt(name));
    }
  };
  write_both(0);
  const pid_t child = fork();
  if (child == 0) {
    for (int i = 1; i <= 60; ++i) write_both(i);
    _exit(0);
  }
  int seen = 0;
  while (waitpid(child, nullptr, WNOHANG) == 0) {
    Store store = Store::open_late(directory_);
    for (int look = 0; look < 5; ++look) {
      const auto rows = store.rows_by_name();
      ASSERT_EQ(rows.size(), 2U);
      const int a = std::stoi(rows.at("a").image_id);
      const int b = std::stoi(rows.at("b").image_id);
      // (Two transactions: the one of `b` may be still to come.)
      ASSERT_TRUE(b == a || b == a - 1) << a << ' ' << b;
      ASSERT_GE(b, seen);
      seen = b;
    }
  }
  EXPECT_EQ(Store::open_late(directory_).find("b")->image_id, "60");
}

TEST_F(StoreTest, AReaderThatLivesOnKeepsNoWriterFromPuttingTheFileInOrder) {
  std::optional<Store> writer = Store::open(directory_);
  writer->record_success(image("a"), attempt("a"));
  Store reader = Store::open_read_only(directory_);
  Store late = Store::open_late(directory_);
  EXPECT_THAT(names(reader), ElementsAre("a"));
  EXPECT_THAT(names(late), ElementsAre("a"));
  writer.reset();
  EXPECT_EQ(files(), Names{".builder.state.db"});
  // The same of a file that they read where it stands.
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  Store bare = Store::open_read_only(directory_);
  EXPECT_THAT(names(bare), ElementsAre("a"));
  Store::open(directory_).record_success(image("b"), attempt("b"));
  EXPECT_EQ(files(), Names{".builder.state.db"});
  EXPECT_THAT(names(bare), ElementsAre("a", "b"));
}

TEST_F(StoreTest, WhatIsWrittenToAReadersCopyIsForgotten) {
  Store::open(directory_).record_success(image("a"), attempt("a"));
  const std::string before = bytes_of(file_);
  Store store = Store::open_read_only(directory_);
  store.record_success(image("b"), attempt("b"));
  EXPECT_THAT(names(store), ElementsAre("a", "b"));
  EXPECT_EQ(files(), Names{".builder.state.db"});
  EXPECT_EQ(bytes_of(file_), before);
}

// --- Opened to write when something is written

TEST_F(StoreTest, ALateStoreThatOnlyReadsLeavesNoTrace) {
  {
    Store none = Store::open_late(directory_);
    EXPECT_THAT(none.rows(), IsEmpty());
    EXPECT_THAT(files(), IsEmpty());
  }
  Store::open(directory_).record_success(image("a"), attempt("a"));
  const std::string before = bytes_of(file_);
  const auto written = fs::last_write_time(directory_);
  Store store = Store::open_late(directory_);
  EXPECT_EQ(store.find("a"), image("a"));
  EXPECT_EQ(store.builds("a").size(), 1U);
  EXPECT_EQ(files(), Names{".builder.state.db"});
  EXPECT_EQ(bytes_of(file_), before);
  EXPECT_EQ(fs::last_write_time(directory_), written);
}

TEST_F(StoreTest, ALateStoreWritesToTheFile) {
  const Names open_files = {".builder.state.db", ".builder.state.db-shm", ".builder.state.db-wal"};
  {
    Store store = Store::open_late(directory_);
    store.record_success(image("a"), attempt("a"));
    EXPECT_EQ(files(), open_files);
    EXPECT_THAT(names(store), ElementsAre("a"));
  }
  EXPECT_EQ(files(), Names{".builder.state.db"});
  {
    Store store = Store::open_late(directory_);
    EXPECT_THAT(names(store), ElementsAre("a"));
    store.ready_to_write();
    EXPECT_EQ(files(), open_files);
    EXPECT_THAT(names(store), ElementsAre("a"));
  }
  Store store = Store::open_late(directory_);
  EXPECT_THAT(names(store), ElementsAre("a"));
  Store::open(directory_).record_success(image("b"), attempt("b"));
  EXPECT_THAT(names(store), ElementsAre("a", "b")) << "as another one wrote it";
  store.record_success(image("c"), attempt("c"));
  EXPECT_THAT(names(store), ElementsAre("a", "b", "c"));
}

TEST_F(StoreTest, ALateStoreUpgradesWhenItWrites) {
  write_original();
  const std::string before = bytes_of(file_);
  Store store = Store::open_late(directory_);
  EXPECT_EQ(store.find("test/busybox")->image_id, "769b9341d937");
  EXPECT_EQ(bytes_of(file_), before);
  store.record_success(image("test/busybox"), attempt("test/busybox"));
  EXPECT_EQ(Store::open_read_only(directory_).find("test/busybox"), image("test/busybox"));
  EXPECT_THAT(names(store), ElementsAre("test/busybox", "test/tmp"));
}

TEST_F(StoreTest, ALateStoreSaysWhatIsWrongWhenItIsOpened) {
  sql("PRAGMA user_version = 99");
  EXPECT_NE(error_of(Store::open), "");
  EXPECT_EQ(error_of(Store::open_late), error_of(Store::open));
  std::ofstream(file_) << std::string(20'000, 'g');
  EXPECT_THAT(error_of(Store::open_late), HasSubstr("move it away"));
}

class ReadOnlyDirectory : public StoreTest {
 protected:
  /// Leaves the state of a run that was killed: the row in `-wal`, not in the file.
  void crash() const {
    ASSERT_EQ(in_child([&] {
                Store store = Store::open(directory_);
                store.record_success(image("a"), attempt("a"));
                raise(SIGKILL);
                return false;
              }),
              128 + SIGKILL);
  }

  /// The row is read and the directory stays as it is: here, on a read-only mount, and as a user
  /// who may only read.
  void expect_readable() const {
    const Names before = files();
    const std::string content = bytes_of(file_) + bytes_of(file_.string() + "-wal");
    const auto reads = [&] { return Store::open_read_only(directory_).find("a") == image("a"); };
    EXPECT_TRUE(reads());
    const int mounted = in_child([&] {
      const char* path = directory_.c_str();
      if (unshare(CLONE_NEWNS) != 0 ||
          mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mount(path, path, nullptr, MS_BIND, nullptr) != 0 ||
          mount(path, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
        _exit(kSkipped);
      }
      return reads();
    });
    EXPECT_THAT(mounted, testing::AnyOf(0, kSkipped)) << "on a read-only mount";
    const int other_user = in_child([&] {
      if (setgid(65534) != 0 || setuid(65534) != 0) _exit(kSkipped);
      return reads();
    });
    EXPECT_THAT(other_user, testing::AnyOf(0, kSkipped)) << "as another user";
    EXPECT_EQ(files(), before);
    EXPECT_EQ(bytes_of(file_) + bytes_of(file_.string() + "-wal"), content);
    if (mounted == kSkipped && other_user == kSkipped) {
      GTEST_SKIP() << "needs the right to mount or to change the user";
    }
  }
};

TEST_F(ReadOnlyDirectory, ReadsAClosedState) {
  Store::open(directory_).record_success(image("a"), attempt("a"));
  expect_readable();
}

TEST_F(ReadOnlyDirectory, ReadsAnOpenState) {
  // Elsewhere: a connection of SQLite must not be carried into the processes that expect_readable
  // forks.
  const pid_t writer = hold([&] {
    Store store = Store::open(directory_);
    store.record_success(image("a"), attempt("a"));
    return store;
  });
  expect_readable();
  end(writer);
}

TEST_F(ReadOnlyDirectory, ReadsTheStateOfAKilledRun) {
  crash();
  ASSERT_GT(fs::file_size(file_.string() + "-wal"), 0U);
  expect_readable();
}

TEST_F(ReadOnlyDirectory, ReadsTheStateOfAKilledRunWithoutShm) {
  crash();
  fs::remove(file_.string() + "-shm");
  expect_readable();
}

TEST_F(ReadOnlyDirectory, ReadsAStateWithAnEmptyWal) {
  Store::open(directory_).record_success(image("a"), attempt("a"));
  write(file_.string() + "-wal", "");
  expect_readable();
  write(file_.string() + "-shm", "");
  expect_readable();
}

TEST_F(ReadOnlyDirectory, ReadsBehindATornTransaction) {
  Store::open(directory_).record_success(image("a"), attempt("a"));
  ASSERT_EQ(in_child([&] {
              SQLite::Database database(file_.string(), SQLite::OPEN_READWRITE);
              database.exec(
                  "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN;"
                  "DELETE FROM image_input; DELETE FROM image_state;"
                  "CREATE TABLE filling (bytes);"
                  "INSERT INTO filling VALUES (randomblob(100000));"
                  "INSERT INTO filling SELECT bytes FROM filling;");
              raise(SIGKILL);
              return false;
            }),
            128 + SIGKILL);
  ASSERT_GT(fs::file_size(file_.string() + "-journal"), 0U);
  expect_readable();
  EXPECT_EQ(Store::open(directory_).find("a"), image("a"));
}

TEST_F(ReadOnlyDirectory, CannotBeOpenedToWrite) {
  Store::open(directory_).record_success(image("a"), attempt("a"));
  const int status = in_child([&] {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(kSkipped);
    const std::string said = error_of(Store::open);
    return said.find("cannot be written") != std::string::npos &&
           error_of(Store::open_late) == said && error_of(Store::open_read_only).empty();
  });
  if (status == kSkipped) GTEST_SKIP() << "needs the right to change the user";
  EXPECT_EQ(status, 0);
}

// --- The lock

pid_t hold_lock(const fs::path& directory) {
  return hold([&] { return StateLock::acquire(directory, {}).value(); });
}

TEST_F(StoreTest, TheLockIsFreeAgainWhenReleased) {
  const auto never = [](int) -> bool { throw std::runtime_error("nobody to wait for"); };
  for (int i = 0; i < 2; ++i) {
    auto lock = StateLock::acquire(directory_ / "new" / "directory", never);
    ASSERT_TRUE(lock);
    const fs::path file = directory_ / "new/directory/.builder.state.db.lock";
    EXPECT_EQ(bytes_of(file), fmt::format("{}\n", getpid()));
    StateLock moved = *std::move(lock);
    lock.reset();
    int told = 0;
    EXPECT_FALSE(StateLock::acquire(directory_ / "new" / "directory", [&](int process_id) {
      told = process_id;
      return false;
    }));
    EXPECT_EQ(told, getpid());
  }
}

TEST_F(StoreTest, TheLockTellsItsHolderAndCanBeGivenUp) {
  const pid_t child = hold_lock(directory_);
  int asked = 0;
  EXPECT_FALSE(StateLock::acquire(directory_, [&](int process_id) {
    ++asked;
    EXPECT_EQ(process_id, child);
    return false;
  }));
  EXPECT_EQ(asked, 1);
  end(child);
}

TEST_F(StoreTest, TheLockIsWaitedForUntilItsHolderEnds) {
  const pid_t child = hold_lock(directory_);
  int asked = 0;
  std::thread ending;
  const auto lock = StateLock::acquire(directory_, [&](int) {
    ++asked;
    ending = std::thread([child] {
      std::this_thread::sleep_for(std::chrono::milliseconds(120));
      end(child);
    });
    return true;
  });
  ending.join();
  EXPECT_TRUE(lock);
  EXPECT_EQ(asked, 1);
}

TEST_F(StoreTest, AnInterruptEndsTheWait) {
  const pid_t child = hold_lock(directory_);
  catch_interrupts();
  std::thread interrupting;
  EXPECT_FALSE(StateLock::acquire(directory_, [&](int) {
    interrupting = std::thread([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(120));
      kill(getpid(), SIGTERM);
    });
    return true;
  }));
  interrupting.join();
  forget_interrupts();
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  end(child);
}

TEST_F(StoreTest, SaysWhyThereIsNoLock) {
  write(directory_ / "file", "");
  try {
    StateLock::acquire(directory_ / "file" / "state", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::Missing);
    EXPECT_THAT(error.what(), HasSubstr("cannot lock the state directory"));
    EXPECT_THAT(error.what(), HasSubstr("Not a directory"));
  }
}

}  // namespace
}  // namespace imagewright
