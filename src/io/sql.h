// A connection to an SQL database, SQLite's or PostgreSQL's, as far as both can be spoken to in the
// same words. Knows nothing of what is stored there.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "io/error.h"

namespace imagewright {

/// What is no text.
struct SqlBytes {
  std::string bytes;
};

/// A parameter or a field: null, a number, a text, bytes. Of texts, what is not UTF-8 is stored as
/// U+FFFD, and so is a NUL: PostgreSQL takes neither. (Not so by adopt_sqlite.)
using SqlValue = std::variant<std::monostate, std::int64_t, std::string, SqlBytes>;

class SqlRow {
 public:
  explicit SqlRow(std::vector<SqlValue> fields) : fields_(std::move(fields)) {}

  bool is_null(std::size_t column) const {
    return std::holds_alternative<std::monostate>(fields_.at(column));
  }
  /// Of a number (a truth value is 0 or 1); null: 0.
  std::int64_t number(std::size_t column) const;
  /// Of a text or bytes; null: "".
  const std::string& text(std::size_t column) const;

 private:
  std::vector<SqlValue> fields_;
};

using SqlRows = std::vector<SqlRow>;

/// A row while it is read.
class SqlFields {
 public:
  virtual ~SqlFields() = default;
  virtual std::size_t count() const = 0;
  virtual SqlValue value(std::size_t column) const = 0;
  /// As of SqlRow.
  virtual std::int64_t number(std::size_t column) const = 0;
  virtual std::string text(std::size_t column) const = 0;
};

/// Nothing came of a transaction, through no fault of its own: it may be run again.
struct SqlAgain : Error {
  explicit SqlAgain(const std::string& message) : Error(Kind::Missing, message) {}
};

/// The database cannot be reached now; nothing was done.
struct SqlAway : Error {
  explicit SqlAway(const std::string& message) : Error(Kind::Missing, message) {}
};

/// All throws Error(Missing), with the database's name and never with a password. One thread at a
/// time, but for `wait` and `wake`.
class SqlConnection {
 public:
  enum class Dialect { Sqlite, Postgresql };
  enum class Access {
    Read,   ///< all of it sees one state of the database
    Write,  ///< SQLite: alone with the database from its beginning on
  };

  virtual ~SqlConnection() = default;

  virtual Dialect dialect() const = 0;

  /// One statement, with parameters as ?1, ?2, …; prepared when it first comes, and kept: its texts
  /// must not be without number. On its own it is a transaction of its own.
  SqlRows run(const std::string& sql, const std::vector<SqlValue>& parameters = {});
  /// The same, row by row, without keeping them. `take` must not use the connection.
  virtual void each(const std::string& sql, const std::vector<SqlValue>& parameters,
                    const std::function<void(const SqlFields& row)>& take) = 0;

  /// Statements without parameters and answers, each ended by a semicolon.
  virtual void script(const std::string& sql) = 0;

  /// All of what `work` does, on disk when this returns, or nothing. `work` is run again where that
  /// helps (a lost connection, two transactions in each other's way), so it must begin anew each
  /// time. Where it is not known whether it was done: Error(Missing).
  void transaction(Access access, const std::function<void()>& work);

  /// In a transaction that writes: whoever else comes to this waits until it ends.
  virtual void lock() = 0;

  /// In a transaction that writes: wakes all who wait, in any process, when it is done.
  virtual void announce() = 0;

  /// The database's time of day, in milliseconds since 1970, UTC.
  virtual std::int64_t now_ms() = 0;

  /// Until something was announced since the last wait, or `wake`, or for `most`; may come back for
  /// nothing. For one thread, while another uses the connection. Where the database cannot be
  /// reached, it waits all the same.
  virtual void wait(std::chrono::milliseconds most) = 0;
  /// Ends the wait, or else the next one. From any thread or a signal's handler.
  virtual void wake() noexcept = 0;

 protected:
  virtual void begin(Access access) = 0;
  /// Throws SqlAgain only if it did nothing.
  virtual void commit() = 0;
  /// As far as there is something to be undone.
  virtual void rollback() noexcept = 0;
};

/// A file in WAL mode, made if need be. `what` and `advice` are for messages: "the queue '…' is
/// damaged (…); ADVICE".
std::unique_ptr<SqlConnection> open_sqlite(const std::filesystem::path& file,
                                           const std::string& what, const std::string& advice);

/// By libpq, which is loaded when it is first used. `url`: postgresql://…; `channel`: an
/// identifier, under which it is announced (NOTIFY). What it does is done over connections that
/// all of the process over one URL have in common, each lent for one transaction: who has many
/// of these costs the server few.
std::unique_ptr<SqlConnection> open_postgresql(const std::string& url, const std::string& channel);

/// As texts are stored.
std::string sql_text(const std::string& text);

}  // namespace imagewright
