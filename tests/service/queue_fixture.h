// Queues to be tested, each over an empty store of its own: the same tests run over both kinds.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "postgres_server.h"
#include "service/queue.h"

namespace imagewright {

enum class StoreKind { Sqlite, PostgreSql };

class QueueFixture : public testing::TestWithParam<StoreKind> {
 protected:
  static constexpr std::int64_t kStart = 1'700'000'000'000;
  static constexpr std::int64_t kSecond = 1000;
  static constexpr std::int64_t kHour = 3600 * kSecond;

  void SetUp() override {
    if (GetParam() == StoreKind::PostgreSql) {
      if (!PostgresServer::is_there()) GTEST_SKIP() << "no PostgreSQL 15 here";
      url_ = PostgresServer::of_this_program().fresh_schema();
    } else {
      // (In memory, where the disk's time does not count.)
      const std::filesystem::path memory = "/dev/shm";
      std::string name =
          ((access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path()) /
           "imagewright-XXXXXX")
              .string();
      ASSERT_NE(mkdtemp(name.data()), nullptr);
      directory_ = name;
    }
    times_.now = [this] { return now_.load(); };
    queue_ = open();
  }

  void TearDown() override {
    queue_.reset();
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
  }

  std::unique_ptr<Queue> open() {
    return GetParam() == StoreKind::PostgreSql ? open_postgresql_queue(url_, times_)
                                               : open_sqlite_queue(directory_, times_);
  }

  std::string url_;
  std::filesystem::path directory_;
  QueueTimes times_;
  std::atomic<std::int64_t> now_ = kStart;
  std::unique_ptr<Queue> queue_;
};

inline std::string kind_name(const testing::TestParamInfo<StoreKind>& info) {
  return info.param == StoreKind::PostgreSql ? "PostgreSql" : "Sqlite";
}

// CTest runs the second ones in one go, as they share a server (CMakeLists.txt).
#define OVER_BOTH_STORES(Suite)                                                           \
  INSTANTIATE_TEST_SUITE_P(Sqlite, Suite, testing::Values(StoreKind::Sqlite), kind_name); \
  INSTANTIATE_TEST_SUITE_P(PostgreSql, Suite, testing::Values(StoreKind::PostgreSql), kind_name)

inline NewJob job_for(const std::string& image, const std::string& inputs = "i1",
                      const std::set<std::string>& waits_for = {}) {
  NewJob job;
  job.image = image;
  job.inputs = inputs;
  job.waits_for = waits_for;
  return job;
}

}  // namespace imagewright
