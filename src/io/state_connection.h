// The state file as one of io/sql's connections. Knows nothing of what the rows mean (io/store
// does).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/sql.h"
#include "io/state_file.h"

namespace imagewright {

/// Reads the file where it stands if nobody has it open, else a copy; without a trace beside it,
/// until something is to be written. Each transaction sees one state of the file. What others write
/// meanwhile may be seen by the next one; where it is written to the file, it is. Statements come
/// in transactions only. Opens the file with the first transaction, or with `open_to_write`; throws
/// what io/state_file does as Error(Missing).
class StateConnection final : public SqlConnection {
 public:
  enum class Writes {
    ToTheFile,  ///< the first one opens it as open_state does. The caller holds the state's lock
    ToBeForgotten,  ///< it and all that follows is done to a copy in memory
  };
  StateConnection(std::filesystem::path file, Writes writes);
  ~StateConnection() override;

  /// Before the first transaction that writes: throws what that would.
  void open_to_write();

  Dialect dialect() const override { return Dialect::Sqlite; }
  void each(const std::string& sql, const std::vector<SqlValue>& parameters,
            const std::function<void(const SqlFields& row)>& take) override;
  void script(const std::string& sql) override;
  void lock() override {}
  void announce() override {}
  std::int64_t now_ms() override;
  void wait(std::chrono::milliseconds /*most*/) override {}
  void wake() noexcept override {}

 protected:
  void begin(Access access) override;
  void commit() override;
  void rollback() noexcept override;

 private:
  void open_to_read();
  bool is_as_read() const;
  void use(SQLite::Database database);

  const std::filesystem::path file_;
  const Writes writes_;
  bool writable_ = false;
  // What is read, where nothing was written yet; else there are no stamps and the way is of no
  // meaning.
  std::unique_ptr<SqlConnection> database_;
  StateStamps stamps_;
  ReadableState::Way way_ = ReadableState::Way::Copy;
  bool is_young_ = false;
  bool in_transaction_ = false;
};

}  // namespace imagewright
