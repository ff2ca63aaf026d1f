// What the state keeps, over both databases in which it can be. What only a file has
// (io/store_test) and only a server's database has is tested apart.
#include <signal.h>

#include <barrier>
#include <thread>

#include "io/error.h"
#include "io/sql.h"
#include "io/state_database.h"
#include "io/state_file.h"
#include "io/state_rows.h"
#include "io/store.h"
#include "queue_fixture.h"

namespace imagewright {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using Names = std::set<std::string>;

class StateTest : public QueueFixture {
 protected:
  Store open_store() { return url_.empty() ? Store::open(directory_) : Store::open_shared(url_); }
  Store read_store() {
    return url_.empty() ? Store::open_read_only(directory_) : Store::read_shared(url_);
  }
};

// --- Rows

TEST_P(StateTest, GivesBackWhatWasRecorded) {
  {
    Store store = open_store();
    EXPECT_EQ(store.find("a"), std::nullopt);
    store.record_success(image("a"), attempt("a"));
    ImageRow odd = image("x'y\n\"ä");
    odd.verified = false;
    odd.inputs.clear();
    store.record_success(odd, attempt(odd.name));
    EXPECT_EQ(store.find(odd.name), odd);
  }
  Store store = open_store();
  EXPECT_EQ(store.find("a"), image("a"));
  EXPECT_THAT(names(store), ElementsAre("a", "x'y\n\"ä"));
  BuildRow expected = attempt("a");
  expected.id = 1;
  EXPECT_EQ(store.last_build("a"), expected);
}

TEST_P(StateTest, ASuccessReplacesTheOneBeforeAndItsOwner) {
  Store store = open_store();
  store.record_success(image("a"), attempt("a"));
  ImageRow next = image("a", "/other.yml");
  next.digest = "new";
  next.inputs = {{"arg", "a", "9"}};
  store.record_success(next, attempt("a"));
  EXPECT_EQ(store.find("a"), next);
  EXPECT_EQ(store.rows().size(), 1U);
  EXPECT_TRUE(store.has_input("9"));
  EXPECT_FALSE(store.has_input("8"));
  EXPECT_EQ(store.builds("a").size(), 2U);
}

TEST_P(StateTest, AFailureKeepsTheLastSuccess) {
  Store store = open_store();
  store.record_success(image("a"), attempt("a"));
  store.record_attempt(attempt("a", BuildResult::Failed));
  store.record_attempt(attempt("a", BuildResult::Interrupted));
  EXPECT_EQ(store.find("a"), image("a"));
  const std::vector<BuildRow> builds = store.builds("a");
  ASSERT_EQ(builds.size(), 3U);
  EXPECT_EQ(builds[0].result, BuildResult::Interrupted);
  EXPECT_EQ(builds[1].result, BuildResult::Failed);
  EXPECT_EQ(builds[1].message, "it's broken");
  EXPECT_EQ(builds[1].exit_status, 7);
  EXPECT_EQ(builds[2].result, BuildResult::Success);
  EXPECT_EQ(store.last_build("a")->id, builds[0].id);
  EXPECT_EQ(store.last_build("b"), std::nullopt);
}

TEST_P(StateTest, KeepsTheLastHundredBuildsOfEachImage) {
  Store store = open_store();
  store.record_attempt(attempt("b"));
  for (int i = 0; i < 120; ++i) {
    BuildRow build = attempt("a", BuildResult::Failed);
    build.duration_ms = i;
    store.record_attempt(build);
  }
  const std::vector<BuildRow> builds = store.builds("a");
  ASSERT_EQ(builds.size(), 100U);
  EXPECT_EQ(builds.front().duration_ms, 119);
  EXPECT_EQ(builds.back().duration_ms, 20);
  EXPECT_EQ(store.builds("b").size(), 1U);
}

TEST_P(StateTest, RetiresOnlyItsOwnRowsAndAdoptsTheOthers) {
  Store store = open_store();
  for (const char* name : {"kept", "gone", "dropped"}) {
    store.record_success(image(name), attempt(name));
  }
  store.record_success(image("foreign", "/other.yml"), attempt("foreign"));
  store.record_success(image("free, kept", ""), attempt("free, kept"));
  store.record_success(image("free, gone", ""), attempt("free, gone"));
  EXPECT_THAT(store.retire("/c.yml", {"kept", "free, kept", "unknown"}),
              ElementsAre("dropped", "free, gone", "gone"));
  EXPECT_THAT(names(store), UnorderedElementsAre("foreign", "free, kept", "kept"));
  EXPECT_EQ(store.find("free, kept")->config, "/c.yml");
  EXPECT_EQ(store.builds("gone").size(), 1U) << "attempts are history";
  EXPECT_THAT(store.retire("/c.yml", {"kept", "free, kept"}), IsEmpty());
}

// Without it the old file's next run drops the row, and the new file builds the image once more.
TEST_P(StateTest, ARowThatWasTakenOverIsNotRetiredByItsFormerOwner) {
  Store store = open_store();
  store.record_success(image("moved", "/old.yml"), attempt("moved"));
  store.take_over("moved", "/new.yml");
  store.take_over("unknown", "/new.yml");
  EXPECT_THAT(store.retire("/old.yml", {}), IsEmpty());
  EXPECT_EQ(store.find("moved"), image("moved", "/new.yml"));
}

TEST_P(StateTest, ClearForgetsRowsOnly) {
  Store store = open_store();
  store.record_success(image("a"), attempt("a"));
  store.open_context_name("d");
  store.close_context_name("d", false);
  store.clear();
  EXPECT_THAT(store.rows(), IsEmpty());
  EXPECT_EQ(store.builds("a").size(), 1U);
  EXPECT_NE(store.open_context_name("d"), "d");
  store.record_success(image("a"), attempt("a"));
  EXPECT_EQ(store.find("a"), image("a"));
}

// --- Context names

TEST_P(StateTest, AVerifiedContextNameIsUsedAgain) {
  Store store = open_store();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(store.open_context_name("d"), "d");
    store.close_context_name("d", true);
  }
  EXPECT_EQ(store.open_context_name("e"), "e");
}

TEST_P(StateTest, StoresOfOneStateShareTheUsesOfAContextName) {
  Store one = open_store();
  Store other = open_store();
  EXPECT_EQ(one.open_context_name("d"), "d");
  EXPECT_EQ(other.open_context_name("d"), "d");
  one.close_context_name("d", true);
  EXPECT_EQ(one.open_context_name("d"), "d");  // the other's use goes on
  other.close_context_name("d", false);
  EXPECT_NE(other.open_context_name("d"), "d");
}

TEST_P(StateTest, AnUnverifiedContextNameIsNeverUsedAgain) {
  std::string second;
  {
    Store store = open_store();
    EXPECT_EQ(store.open_context_name("d"), "d");
    store.close_context_name("d", false);
    second = store.open_context_name("d");
    EXPECT_NE(second, "d");
    store.close_context_name("d", true);
  }
  Store store = open_store();
  EXPECT_EQ(store.open_context_name("d"), second);
  store.close_context_name("d", false);
  EXPECT_THAT((Names{"d", second}), testing::Not(testing::Contains(store.open_context_name("d"))));
}

TEST_P(StateTest, AContextNameThatWasOpenInACrashIsNeverUsedAgain) {
  ASSERT_EQ(in_child([&] {
              Store store = open_store();
              if (store.open_context_name("d") != "d") return false;
              raise(SIGKILL);
              return false;
            }),
            128 + SIGKILL);
  Store store = open_store();
  const std::string second = store.open_context_name("d");
  EXPECT_NE(second, "d");
  store.close_context_name("d", true);
  EXPECT_EQ(store.open_context_name("d"), second);
}

TEST_P(StateTest, UsesAtTheSameTimeShareAContextName) {
  Store store = open_store();
  EXPECT_EQ(store.open_context_name("d"), "d");
  EXPECT_EQ(store.open_context_name("d"), "d");
  store.close_context_name("d", true);
  EXPECT_EQ(store.open_context_name("d"), "d");
  store.close_context_name("d", false);
  const std::string second = store.open_context_name("d");
  EXPECT_NE(second, "d") << "spoiled, though one use is still open";
  store.close_context_name("d", true);
  store.close_context_name("d", true);
  EXPECT_EQ(store.open_context_name("d"), second);
  store.close_context_name("d", true);
  store.close_context_name("d", true);  // one too many does nothing
  store.close_context_name("unknown", false);
  EXPECT_EQ(store.open_context_name("unknown"), "unknown");
}

TEST_P(StateTest, AReferenceIsWhatWasPushedLast) {
  Store store = open_store();
  store.record_push("a", "r/a", {"sha256:1", "sha256:2", 1});
  store.record_push("a", "r/a:x", {"sha256:1", "sha256:2", 1});
  store.record_push("a:latest-linux-amd64", "r/a", {"sha256:3", "sha256:4", 2});
  EXPECT_EQ(store.published("a").size(), 2U);
  store.take_from_others("a:latest-linux-amd64", "r/a");
  EXPECT_EQ(store.published("a").size(), 1U);
  EXPECT_EQ(store.published("a").count("r/a:x"), 1U);
  EXPECT_EQ(store.published("a:latest-linux-amd64").at("r/a").digest, "sha256:4");
  store.forget_pushes("sha256:4");
  EXPECT_TRUE(store.published("a:latest-linux-amd64").empty());
  EXPECT_EQ(store.published("a").size(), 1U);
}

TEST_P(StateTest, WhereAnImageIsKeptIsStoredWithItsSuccess) {
  Store store = open_store();
  EXPECT_EQ(store.last_engine(), "");
  ImageRow row;
  row.name = "a";
  row.image_id = "sha256:1";
  row.engine = "fleet";
  row.built_ms = 5;
  BuildRow build;
  build.name = "a";
  build.result = BuildResult::Success;
  store.record_success(row, build, {{kept_in("r/a"), {"sha256:1", "sha256:2", 7}}});
  row.name = "b";
  row.engine = "docker";
  row.built_ms = 4;
  build.name = "b";
  store.record_success(row, build);
  store.record_push("b", "r/b:1", {"sha256:3", "sha256:4", 8});
  const auto all = store.all_published();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all.at("a").at(kept_in("r/a")), (PublishedRow{"sha256:1", "sha256:2", 7}));
  EXPECT_EQ(all.at("b").at("r/b:1").digest, "sha256:4");
  EXPECT_EQ(store.last_engine(), "fleet");
  // It is where it was built for last, and the names that were pushed stay.
  row.name = build.name = "a";
  store.record_push("a", "r/a:1", {"sha256:1", "sha256:2", 9});
  store.record_success(row, build, {{kept_in("q/a"), {"sha256:1", "sha256:2", 10}}});
  EXPECT_EQ(store.published("a").size(), 2U);
  EXPECT_EQ(store.published("a").count(kept_in("r/a")), 0U);
  EXPECT_EQ(kept_repository(kept_in("r:5000/a")), "r:5000/a");
  EXPECT_EQ(kept_repository("r:5000/a"), "");
}

TEST_P(StateTest, WhatIsReadIsWhatWasWrittenLast) {
  EXPECT_THAT(read_store().rows(), IsEmpty()) << "nobody wrote yet";
  Store store = open_store();
  store.record_success(image("a"), attempt("a"));
  EXPECT_EQ(read_store().find("a"), image("a"));
  ImageRow next = image("a");
  next.digest = "next";
  store.record_found(next);
  EXPECT_EQ(read_store().find("a"), next);
  EXPECT_EQ(read_store().builds_of_all(1).size(), 1U);
  EXPECT_EQ(read_store().durations().at("a"), 4567);
}

TEST_P(StateTest, AnyBytesComeBack) {
  const std::string odd("\xff/a\0b\xed\xa0\x80 ü \xf4\x8f\xbf\xbf", 17);
  ImageRow row = image("a", odd);
  row.inputs = {{"context", odd, odd, odd}};
  row.source = odd;
  BuildRow build = attempt("a");
  build.log = odd;
  build.message = odd;
  Store store = open_store();
  store.record_success(row, build);
  EXPECT_EQ(store.find("a"), row);
  EXPECT_TRUE(store.has_input(odd));
  EXPECT_EQ(store.last_build("a")->log, odd);
  EXPECT_THAT(store.retire(odd, {}), ElementsAre("a"));
}

TEST_P(StateTest, NamesThatWereGivenAreKnownUntilTheyAreForgotten) {
  Store store = open_store();
  store.record_success(image("a"), attempt("a"));
  store.record_success(image("b", "/other.yml"), attempt("b"));
  store.record_name("a", "r/a:2");
  store.record_name("a", "r/a:1");
  store.record_name("b", "r/a:1");
  EXPECT_THAT(store.names_given(), ElementsAre("r/a:1", "r/a:2"));
  store.forget({"a", "b"}, "/c.yml");
  EXPECT_THAT(store.names_given(), IsEmpty());
  EXPECT_THAT(names(store), ElementsAre("b")) << "it is another configuration's";
  EXPECT_THAT(store.builds("a"), IsEmpty());
}

TEST_P(StateTest, OfLongReasonsOnlyTheLastOnesAreKept) {
  Store store = open_store();
  BuildRow build = attempt("a");
  build.details = "[1]";
  for (int i = 0; i < 15; ++i) store.record_attempt(build);
  const std::vector<BuildRow> builds = store.builds("a");
  ASSERT_EQ(builds.size(), 15U);
  EXPECT_EQ(builds[9].details, "[1]");
  EXPECT_EQ(builds[10].details, "");
}

TEST_P(StateTest, SeveralThreadsWriteAtOnce) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 25;
  { open_store(); }
  std::barrier begin(kThreads);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      Store store = open_store();
      begin.arrive_and_wait();
      for (int round = 0; round < kRounds; ++round) {
        ImageRow row = image("shared");
        row.digest = std::to_string(thread);
        row.inputs = {{"arg", "a", std::to_string(thread)}};
        store.record_success(row, attempt("shared"));
        store.record_push("shared", "r/shared", {"sha256:1", std::to_string(thread), 1});
        const auto found = store.find("shared").value();
        ASSERT_EQ(found.inputs.size(), 1U);
        EXPECT_EQ(found.inputs.front().digest, found.digest) << "a row and another one's inputs";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Store store = open_store();
  EXPECT_EQ(store.rows().size(), 1U);
  EXPECT_EQ(store.builds("shared").size(), 100U);
}

OVER_BOTH_STORES(StateTest);

// --- A server's database

class SharedStateTest : public StateTest {};

TEST_P(SharedStateTest, SeveralMakeItsTablesAtOnce) {
  constexpr int kThreads = 6;
  std::barrier begin(kThreads);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      begin.arrive_and_wait();
      const std::string name = std::to_string(thread);
      Store::open_shared(url_).record_success(image(name), attempt(name));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Store::open_shared(url_).rows().size(), std::size_t{kThreads});
}

TEST_P(SharedStateTest, ReadingMakesNothing) {
  EXPECT_THAT(Store::read_shared(url_).rows(), IsEmpty());
  const auto sql = open_postgresql(url_, "c");
  EXPECT_TRUE(sql->run("SELECT 1 WHERE to_regclass('image_state') IS NOT NULL").empty());
}

TEST_P(SharedStateTest, ANewerOneIsLeftAlone) {
  { Store::open_shared(url_); }
  const auto sql = open_postgresql(url_, "c");
  sql->run("INSERT INTO state_version VALUES (?1, 0)", {std::int64_t{kStateVersion + 1}});
  for (const auto& open : {&Store::open_shared, &Store::read_shared}) {
    try {
      open(url_);
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::Missing);
      EXPECT_THAT(error.what(), HasSubstr("newer"));
    }
  }
}

// Each open one once was a connection to the server, of which there are few.
TEST_P(SharedStateTest, ManyOpenOnesAreFewConnections) {
  std::vector<Store> stores;
  for (int i = 0; i < 200; ++i) stores.push_back(Store::open_shared(url_));
  for (Store& store : stores) store.rows();
  const auto count = PostgresServer::of_this_program().administrator().run(
      "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'");
  EXPECT_LT(count.front().number(0), 20);
}

TEST_P(SharedStateTest, ALostConnectionIsMadeAgain) {
  Store store = Store::open_shared(url_);
  store.record_success(image("a"), attempt("a"));
  PostgresServer::of_this_program().administrator().run(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
      "backend_type = 'client backend'");
  EXPECT_EQ(store.find("a"), image("a"));
  store.record_success(image("b"), attempt("b"));
  EXPECT_EQ(names(store).size(), 2U);
}

TEST_P(SharedStateTest, WhoLostItsJobWritesNothing) {
  const std::int64_t id = queue_->enqueue(job_for("a")).job;
  const Job job = queue_->claim({"w", {}}).value();
  Store store = Store::open_shared(url_);
  store.write_only_while(while_held(id, job.fence));
  store.record_success(image("a"), attempt("a"));
  const Job again = queue_->claim_again(id, job.fence).value();
  ImageRow late = image("a");
  late.digest = "late";
  EXPECT_THROW(store.record_success(late, attempt("a")), Error);
  EXPECT_THROW(store.record_push("a", "r/a", {"sha256:1", "sha256:2", 1}), Error);
  EXPECT_EQ(store.find("a"), image("a"));
  EXPECT_TRUE(store.published("a").empty());
  Store next = Store::open_shared(url_);
  next.write_only_while(while_held(id, again.fence));
  next.record_success(late, attempt("a"));
  EXPECT_EQ(store.find("a"), late);
}

TEST_P(SharedStateTest, OneKeyOfSecretsIsForAll) {
  const std::string key = shared_secret_key(url_);
  EXPECT_EQ(key.size(), 32U);
  EXPECT_EQ(shared_secret_key(url_), key);
  EXPECT_NE(shared_secret_key(PostgresServer::of_this_program().fresh_schema()), key);
}

INSTANTIATE_TEST_SUITE_P(PostgreSql, SharedStateTest, testing::Values(StoreKind::PostgreSql),
                         kind_name);

}  // namespace
}  // namespace imagewright
