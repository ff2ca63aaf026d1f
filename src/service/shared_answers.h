// What repositories and registries said, shared by servers over one database: a source that is due
// is asked about by one of them, and what one was told all know. Knows nothing of what the answers
// mean (run/remembered does).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "io/sql.h"
#include "run/remembered.h"

namespace imagewright {

/// One server's. Any number of threads. All throws Error(Missing) where the database cannot be
/// used.
class SharedAnswers {
 public:
  /// Who asks about a source has so long until somebody else may.
  static constexpr std::chrono::seconds kClaim{60};

  /// `server` is its name, as no other one's. Borrows what is remembered. The database is that of
  /// the queue.
  SharedAnswers(std::unique_ptr<SqlConnection> sql, std::string server, Remembered& remembered);

  /// Has the memory know what others were told since the last call.
  void learn();
  /// Before a look, after `learn`: of what is due only that is to be asked about which nobody else
  /// has in hand. Of the rest what was known last counts still, for at most kClaim; true: there is
  /// some.
  bool claim_due();
  /// After anybody has asked: others are to know.
  void tell();
  /// After a look, whatever became of it: what it did not find out is anybody's.
  void end_claims();

 private:
  std::mutex mutex_;
  std::unique_ptr<SqlConnection> sql_;
  std::string server_;
  Remembered& remembered_;
  std::int64_t learned_ms_ = 0;
};

/// Over that database (postgresql://…), with tables of their own.
std::unique_ptr<SharedAnswers> share_answers(const std::string& database, const std::string& server,
                                             Remembered& remembered);

}  // namespace imagewright
