// The connections of io/sql.h, both kinds, as far as the queue's tests do not see to it: here, as a
// PostgreSQL is needed.
#include "io/sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <limits>
#include <thread>

#include "queue_fixture.h"

namespace imagewright {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Access = SqlConnection::Access;

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::Missing);
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  return "nothing was thrown";
}

class SqlTest : public QueueFixture {
 protected:
  void SetUp() override {
    QueueFixture::SetUp();
    if (!queue_) return;
    sql_ = connect();
    sql_->script("CREATE TABLE pair (key BIGINT PRIMARY KEY, value BIGINT NOT NULL);");
    sql_->run("INSERT INTO pair VALUES (1, 0), (2, 0)");
  }
  void TearDown() override {
    sql_.reset();
    QueueFixture::TearDown();
  }

  std::unique_ptr<SqlConnection> connect() {
    return GetParam() == StoreKind::PostgreSql ? open_postgresql(url_, "c")
                                               : open_sqlite(directory_ / "db", "the file", "");
  }

  std::int64_t value(std::int64_t key) {
    return sql_->run("SELECT value FROM pair WHERE key = ?1", {key}).at(0).number(0);
  }

  std::unique_ptr<SqlConnection> sql_;
};

TEST_P(SqlTest, ValuesComeBack) {
  sql_->script(GetParam() == StoreKind::PostgreSql ? "CREATE TABLE v (n BIGINT, t TEXT, b BYTEA);"
                                                   : "CREATE TABLE v (n INTEGER, t TEXT, b BLOB);");
  const std::string bytes("\0\xff\\x\n", 5);
  for (const std::int64_t number :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{255}, std::int64_t{-256},
        std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    sql_->run("DELETE FROM v");
    sql_->run("INSERT INTO v VALUES (?1, ?2, ?3)", {number, "a'ü\n", SqlBytes{bytes}});
    const SqlRow row = sql_->run("SELECT n, t, b, n IS NULL, NULL FROM v").at(0);
    EXPECT_EQ(row.number(0), number);
    EXPECT_EQ(row.text(1), "a'ü\n");
    EXPECT_EQ(row.text(2), bytes);
    EXPECT_EQ(row.number(3), 0);
    EXPECT_TRUE(row.is_null(4));
    EXPECT_FALSE(row.is_null(0));
  }
  sql_->run("DELETE FROM v");
  sql_->run("INSERT INTO v VALUES (?1, ?2, ?3)", {SqlValue(), "", SqlBytes{}});
  const SqlRow row = sql_->run("SELECT n, t, b FROM v WHERE n IS NULL").at(0);
  EXPECT_TRUE(row.is_null(0));
  EXPECT_FALSE(row.is_null(1));
  EXPECT_EQ(row.number(0), 0);
  EXPECT_EQ(row.text(1), "");
  EXPECT_EQ(row.text(2), "");
}

TEST_P(SqlTest, AllOfATransactionOrNothing) {
  EXPECT_THROW(sql_->transaction(Access::Write,
                                 [&] {
                                   sql_->run("UPDATE pair SET value = 1");
                                   throw std::runtime_error("no");
                                 }),
               std::runtime_error);
  EXPECT_EQ(value(1), 0);
  EXPECT_THROW(sql_->transaction(Access::Write,
                                 [&] {
                                   sql_->run("UPDATE pair SET value = 1");
                                   sql_->run("INSERT INTO pair VALUES (1, 1)");
                                 }),
               Error);
  EXPECT_EQ(value(1), 0);
  sql_->transaction(Access::Write, [&] { sql_->run("UPDATE pair SET value = 1"); });
  EXPECT_EQ(value(1), 1);
}

TEST_P(SqlTest, WhatCameOfNothingIsRunAgain) {
  int times = 0;
  sql_->transaction(Access::Write, [&] {
    sql_->run("UPDATE pair SET value = value + 1");
    if (++times < 3) throw SqlAgain("once more");
  });
  EXPECT_EQ(times, 3);
  EXPECT_EQ(value(1), 1);
  times = 0;
  EXPECT_THROW(sql_->transaction(Access::Write,
                                 [&] {
                                   ++times;
                                   throw SqlAgain("never");
                                 }),
               Error);
  EXPECT_EQ(times, 10);
}

TEST_P(SqlTest, AReadSeesOneState) {
  const auto other = connect();
  sql_->transaction(Access::Read, [&] {
    EXPECT_EQ(value(1), 0);
    other->run("UPDATE pair SET value = 5");
    EXPECT_EQ(value(2), 0);
  });
  EXPECT_EQ(value(2), 5);
}

TEST_P(SqlTest, WhoeverComesToALockWaits) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto mine = connect();
      for (int round = 0; round < 25; ++round) {
        mine->transaction(Access::Write, [&] {
          mine->lock();
          const std::int64_t before =
              mine->run("SELECT value FROM pair WHERE key = 1").at(0).number(0);
          mine->run("UPDATE pair SET value = ?1 WHERE key = 1", {before + 1});
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(value(1), 100);
}

TEST_P(SqlTest, TwoInEachOthersWayAreBothDone) {
  std::barrier both(2);
  std::atomic<int> times = 0;
  const auto change = [&](std::int64_t first, std::int64_t second) {
    const auto mine = connect();
    bool meet = GetParam() == StoreKind::PostgreSql;  // (in SQLite one waits for the other)
    mine->transaction(Access::Write, [&] {
      ++times;
      mine->run("UPDATE pair SET value = value + 1 WHERE key = ?1", {first});
      if (std::exchange(meet, false)) both.arrive_and_wait();
      mine->run("UPDATE pair SET value = value + 1 WHERE key = ?1", {second});
    });
  };
  std::thread thread([&] { change(1, 2); });
  change(2, 1);
  thread.join();
  EXPECT_EQ(value(1), 2);
  EXPECT_EQ(value(2), 2);
  EXPECT_EQ(times, GetParam() == StoreKind::PostgreSql ? 3 : 2);
}

TEST_P(SqlTest, OnlyWhatIsDoneIsAnnounced) {
  sql_->wait(std::chrono::milliseconds(2000));
  sql_->wait(std::chrono::milliseconds(0));
  try {
    sql_->transaction(Access::Write, [&] {
      sql_->announce();
      throw std::runtime_error("no");
    });
  } catch (const std::runtime_error&) {
  }
  const auto begin = std::chrono::steady_clock::now();
  sql_->wait(std::chrono::milliseconds(300));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(290));
}

// --- PostgreSQL alone

class PostgresqlTest : public SqlTest {
 protected:
  static SqlConnection& administrator() {
    return PostgresServer::of_this_program().administrator();
  }
  /// All connections but the administrator's are cut off.
  static void cut_off() {
    administrator().run(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE "
        "backend_type = 'client backend' AND pid <> pg_backend_pid()");
  }
};

TEST_P(PostgresqlTest, ALostConnectionIsMadeAgain) {
  cut_off();
  sql_->transaction(Access::Write, [&] { sql_->run("UPDATE pair SET value = 1"); });
  EXPECT_EQ(value(1), 1);
}

TEST_P(PostgresqlTest, WhatWasLostInTheMiddleIsRunAgain) {
  int times = 0;
  sql_->transaction(Access::Write, [&] {
    sql_->run("UPDATE pair SET value = value + 1");
    if (++times == 1) cut_off();
    sql_->run("UPDATE pair SET value = value + 1");
  });
  EXPECT_EQ(times, 2);
  EXPECT_EQ(value(1), 2);
}

TEST_P(PostgresqlTest, WhatWasLostAtItsEndIsSaidToBeUnknown) {
  int times = 0;
  const std::string message = message_of([&] {
    sql_->transaction(Access::Write, [&] {
      ++times;
      sql_->run("UPDATE pair SET value = 1");
      cut_off();
    });
  });
  EXPECT_EQ(times, 1);
  EXPECT_THAT(message, HasSubstr("it is not known whether the last change was stored"));
  EXPECT_EQ(value(1), 0);
}

TEST_P(PostgresqlTest, AStatementOnItsOwnThatIsLostIsAnError) {
  EXPECT_THAT(message_of([&] { sql_->run("SELECT pg_terminate_backend(pg_backend_pid())"); }),
              AllOf(HasSubstr("cannot use the database 'postgres' of PostgreSQL at '/tmp/"),
                    HasSubstr("terminating connection")));
  EXPECT_EQ(value(1), 0);
}

TEST_P(PostgresqlTest, AWaitOutlivesItsConnection) {
  sql_->wait(std::chrono::milliseconds(2000));
  cut_off();
  const auto wait_long = [&] {
    const auto begin = std::chrono::steady_clock::now();
    sql_->wait(std::chrono::milliseconds(20'000));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(10'000));
  };
  wait_long();  // it was cut off
  wait_long();  // it begins to listen
  sql_->transaction(Access::Write, [&] { sql_->announce(); });
  wait_long();
}

TEST_P(PostgresqlTest, AWaitGoesOnWithoutAServer) {
  const auto sql = connect();
  administrator().run("ALTER ROLE imagewright CONNECTION LIMIT 0");
  administrator().run("CREATE ROLE nobody_else LOGIN");
  const auto other =
      open_postgresql(PostgresServer::of_this_program().url("postgres", "nobody_else"), "c");
  administrator().run("ALTER ROLE nobody_else NOLOGIN");
  const auto begin = std::chrono::steady_clock::now();
  other->wait(std::chrono::milliseconds(300));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(290));
  administrator().run("DROP ROLE nobody_else");
  administrator().run("ALTER ROLE imagewright CONNECTION LIMIT -1");
}

TEST_P(PostgresqlTest, ItsSessionsAreItsOwn) {
  EXPECT_EQ(sql_->run("SELECT current_setting('application_name')").at(0).text(0), "imagewright");
  administrator().run("ALTER ROLE imagewright SET synchronous_commit = off");
  EXPECT_EQ(connect()->run("SELECT current_setting('synchronous_commit')").at(0).text(0), "on");
  administrator().run("ALTER ROLE imagewright RESET synchronous_commit");
}

TEST_P(PostgresqlTest, WhatIsWrongIsSaidInOneLine) {
  EXPECT_THAT(message_of([] { open_postgresql("postgresql://u:secret@/d?host=/nowhere", "c"); }),
              AllOf(HasSubstr("cannot use the database 'd' of PostgreSQL at '/nowhere': "),
                    HasSubstr("No such file or directory"), Not(HasSubstr("secret"))));
  EXPECT_THAT(message_of([] { open_postgresql("postgresql://u:secret@127.0.0.1:1/d", "c"); }),
              AllOf(HasSubstr("PostgreSQL at '127.0.0.1:1'"), HasSubstr("Connection refused"),
                    Not(HasSubstr("secret"))));
  EXPECT_THAT(
      message_of([] { open_postgresql(PostgresServer::of_this_program().url("no_such"), "c"); }),
      HasSubstr("database \"no_such\" does not exist"));
  for (const char* url : {"postgresql://u:secret@[::1/d", "mysql://u:secret@h/d", "secret",
                          "postgresql://u:secret@h/d?no=thing", "host=h password=secret", ""}) {
    EXPECT_THAT(
        message_of([&] { open_postgresql(url, "c"); }),
        AllOf(HasSubstr("postgresql://USER@HOST:PORT/DATABASE is"), Not(HasSubstr("secret"))));
  }
}

TEST_P(PostgresqlTest, AWrongPasswordIsNotRepeated) {
  administrator().run("CREATE ROLE locked LOGIN PASSWORD 'right-one'");
  const std::string url = PostgresServer::of_this_program().url("postgres", "locked:wrong-one");
  EXPECT_THAT(message_of([&] { open_postgresql(url, "c"); }),
              AllOf(HasSubstr("password authentication failed for user \"locked\""),
                    Not(HasSubstr("wrong-one"))));
  open_postgresql(PostgresServer::of_this_program().url("postgres", "locked:right-one"), "c");
  administrator().run("DROP ROLE locked");
}

TEST_P(PostgresqlTest, AnotherEncodingIsRefused) {
  administrator().run("CREATE DATABASE other_encoding TEMPLATE template0 ENCODING 'LATIN1'");
  EXPECT_THAT(message_of([] {
                open_postgresql(PostgresServer::of_this_program().url("other_encoding"), "c");
              }),
              HasSubstr("its encoding is not UTF8"));
}

OVER_BOTH_STORES(SqlTest);
INSTANTIATE_TEST_SUITE_P(PostgreSql, PostgresqlTest, testing::Values(StoreKind::PostgreSql),
                         kind_name);

}  // namespace
}  // namespace imagewright
