#include <endian.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "core/replace_all.h"
#include "core/source.h"
#include "io/fd.h"
#include "io/pq.h"
#include "io/sql.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr const char* kConnectSeconds = "10";
constexpr milliseconds kListenerConnects{10'000};

// Types, as PostgreSQL numbers them for ever.
constexpr Oid kBool = 16, kBytes = 17, kInt8 = 20, kInt2 = 21, kInt4 = 23, kText = 25;

// A holder of locks that hangs is ended by the server, so that it stops nobody but itself. And what
// looks at whole tables is never right for long, though it was when they were small.
constexpr const char* kSession =
    "SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '30s'; "
    "SET default_transaction_isolation = 'read committed'; SET enable_seqscan = off; "
    "SET enable_bitmapscan = off; "
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; "
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'";

struct ResultDeleter {
  void operator()(PGresult* result) const { pq().clear(result); }
};
using Result = std::unique_ptr<PGresult, ResultDeleter>;

struct ConnectionDeleter {
  void operator()(PGconn* connection) const { pq().finish(connection); }
};
using Connection = std::unique_ptr<PGconn, ConnectionDeleter>;

void ignore_notice(void*, const char*) {}

/// Lines as one, without what may be secret.
std::string one_line(std::string_view text, const std::string& password) {
  std::string line;
  for (const char c : text) {
    if (c == '\n' || c == '\t') {
      if (!line.empty() && line.back() != ' ') line += ' ';
    } else {
      line += c;
    }
  }
  while (line.ends_with(' ')) line.pop_back();
  if (!password.empty()) replace_all(line, password, "xxxxx");
  return redacted(line);
}

/// What a URL says, as far as messages need it.
struct Target {
  std::string named;     ///< "the database 'd' of PostgreSQL at 'host:1'"
  std::string password;  ///< never to be shown
};

Target target_of(const std::string& url) {
  // (What libpq says of a URL that it cannot read repeats it, the password, too.)
  PQconninfoOption* const options =
      url.starts_with("postgresql://") || url.starts_with("postgres://")
          ? pq().parse(url.c_str(), nullptr)
          : nullptr;
  if (options == nullptr) {
    throw Error(Error::Kind::Missing,
                "the URL of the PostgreSQL database is not one: "
                "postgresql://USER@HOST:PORT/DATABASE is");
  }
  std::map<std::string, std::string> values;
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) values[option->keyword] = option->val;
  }
  pq().free_parsed(options);
  const std::string& host = values["host"].empty() ? values["hostaddr"] : values["host"];
  std::string place = host.empty() ? "localhost" : host;
  if (!values["port"].empty()) place += ':' + values["port"];
  return {fmt::format("the database '{}' of PostgreSQL at '{}'", values["dbname"], place),
          values["password"]};
}

std::string number_bytes(std::int64_t number) {
  const std::uint64_t swapped = htobe64(static_cast<std::uint64_t>(number));
  std::string bytes(sizeof swapped, '\0');
  std::memcpy(bytes.data(), &swapped, sizeof swapped);
  return bytes;
}

/// A number of any width, the most significant byte first.
std::int64_t number_of(std::string_view bytes) {
  assert(!bytes.empty());
  std::int64_t number = static_cast<signed char>(bytes.front());
  for (const char byte : bytes.substr(1)) number = number * 256 + static_cast<unsigned char>(byte);
  return number;
}

SqlValue value_of(Oid type, std::string_view bytes) {
  switch (type) {
    case kBool:
    case kInt2:
    case kInt4:
    case kInt8:
      return number_of(bytes);
    case kBytes:
      return SqlBytes{std::string(bytes)};
    default:
      return std::string(bytes);
  }
}

class ResultRow final : public SqlFields {
 public:
  ResultRow(const PGresult* result, int row) : result_(result), row_(row) {}

  std::size_t count() const override { return static_cast<std::size_t>(pq().columns(result_)); }
  SqlValue value(std::size_t at) const override {
    const int column = static_cast<int>(at);
    if (pq().is_null(result_, row_, column) != 0) return std::monostate();
    return value_of(pq().type(result_, column),
                    {pq().value(result_, row_, column),
                     static_cast<std::size_t>(pq().length(result_, row_, column))});
  }
  std::int64_t number(std::size_t at) const override {
    const SqlValue its = value(at);
    const auto* number = std::get_if<std::int64_t>(&its);
    return number == nullptr ? 0 : *number;
  }
  std::string text(std::size_t at) const override {
    SqlValue its = value(at);
    if (auto* text = std::get_if<std::string>(&its)) return std::move(*text);
    if (auto* bytes = std::get_if<SqlBytes>(&its)) return std::move(bytes->bytes);
    return "";
  }

 private:
  const PGresult* result_;
  int row_;
};

// --- What many use in turn

/// One connection to the server, and what was prepared there: names by statement and its
/// parameters' types.
struct Session {
  Connection connection;
  std::map<std::pair<std::string, std::vector<Oid>>, std::string> prepared;
};

/// Those of this process over one URL that nobody uses now.
class Sessions {
 public:
  Sessions() = default;
  ~Sessions() { look_whose_they_are(); }
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  /// Of all who speak to that URL, for as long as one of them does.
  static std::shared_ptr<Sessions> over(const std::string& url) {
    static std::mutex mutex;
    static std::map<std::string, std::weak_ptr<Sessions>> all;
    const std::lock_guard lock(mutex);
    std::erase_if(all, [](const auto& its) { return its.second.expired(); });
    auto sessions = all[url].lock();
    if (!sessions) all[url] = sessions = std::make_shared<Sessions>();
    return sessions;
  }

  /// Null: there is none.
  std::unique_ptr<Session> take() {
    const std::lock_guard lock(mutex_);
    look_whose_they_are();
    if (idle_.empty()) return nullptr;
    auto session = std::move(idle_.back());
    idle_.pop_back();
    return session;
  }

  void give(std::unique_ptr<Session> session) {
    constexpr std::size_t kKept = 20;  // as many as a server has threads that answer, and some
    const std::lock_guard lock(mutex_);
    look_whose_they_are();
    if (idle_.size() < kKept) idle_.push_back(std::move(session));
  }

  /// Where one was lost, the others are likely to be, too.
  void drop() {
    const std::lock_guard lock(mutex_);
    look_whose_they_are();
    idle_.clear();
  }

 private:
  /// After a fork they are the other process's, whose conversations they are; to end them here
  /// would end them there.
  void look_whose_they_are() {
    if (owner_ == getpid()) return;
    for (auto& session : idle_) (void)session.release();
    idle_.clear();
    owner_ = getpid();
  }

  std::mutex mutex_;
  pid_t owner_ = getpid();
  std::vector<std::unique_ptr<Session>> idle_;
};

class PostgresqlConnection final : public SqlConnection {
 public:
  PostgresqlConnection(const std::string& url, const std::string& channel)
      : url_(url),
        channel_(channel),
        target_(target_of(url)),
        sessions_(Sessions::over(url)),
        event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) throw Error(Error::Kind::Missing, with_errno("cannot wait for a database"));
    const OneUse use(*this);
  }

  ~PostgresqlConnection() override { give_back(); }
  PostgresqlConnection(const PostgresqlConnection&) = delete;
  PostgresqlConnection& operator=(const PostgresqlConnection&) = delete;

  Dialect dialect() const override { return Dialect::Postgresql; }

  void each(const std::string& sql, const std::vector<SqlValue>& parameters,
            const std::function<void(const SqlFields& row)>& take) override {
    const OneUse use(*this);
    const Result result = executed(sql, parameters);
    for (int row = 0; row < pq().rows(result.get()); ++row) take(ResultRow(result.get(), row));
  }

  void script(const std::string& sql) override {
    const OneUse use(*this);
    exec(sql);
  }

  void lock() override {
    // FNV-1a of the channel: an application's number among those that share the database.
    std::uint64_t key = 0xcbf29ce484222325;
    for (const char byte : channel_) key = (key ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    run("SELECT pg_advisory_xact_lock(?1)", {static_cast<std::int64_t>(key)});
  }

  void announce() override {
    if (std::exchange(announced_, true)) return;
    run("SELECT pg_notify(?1, '')", {channel_});
  }

  std::int64_t now_ms() override {
    return run("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", {})
        .front()
        .number(0);
  }

  void wait(milliseconds most) override {
    const auto end = steady_clock::now() + most;
    // Of what happened before it listened nobody will tell.
    if (!listener_ && listen(std::min(end, steady_clock::now() + kListenerConnects))) return;
    for (;;) {
      if (listener_) {
        if (pq().consume_input(listener_.get()) == 0) {
          listener_.reset();
          return;
        }
        bool told = false;
        while (PGnotify* const notice = pq().notifies(listener_.get())) {
          pq().free_memory(notice);
          told = true;
        }
        if (told) return;
      }
      if (poll_until(listener_ ? pq().socket(listener_.get()) : -1, POLLIN, end) != Polled::Socket)
        return;
    }
  }

  void wake() noexcept override { eventfd_write(event_.get(), 1); }

 protected:
  void begin(Access access) override {
    connect();
    announced_ = false;
    in_transaction_ = true;
    exec(access == Access::Write ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  }

  void commit() override {
    const Result result(pq().exec(connection(), "COMMIT"));
    in_transaction_ = false;
    if (pq().status(connection()) != CONNECTION_OK) {
      throw error_of(fmt::format("{}; it is not known whether the last change was stored",
                                 said(result.get())));
    }
    check(result.get());
    if (std::string_view(pq().command_status(result.get())) != "COMMIT")
      throw SqlAgain(error_of("the transaction was undone").what());
    give_back();
  }

  void rollback() noexcept override {
    in_transaction_ = false;
    if (!session_) return;
    if (pq().transaction_status(connection()) != PQTRANS_IDLE) {
      const Result result(pq().exec(connection(), "ROLLBACK"));
    }
    give_back();
  }

 private:
  enum class Polled { Socket, Woken, TimeUp };

  Error error_of(const std::string& message) const {
    return Error(Error::Kind::Missing, fmt::format("cannot use {}: {}", target_.named, message));
  }

  std::string said(const PGresult* result) const {
    const char* const primary =
        result == nullptr ? nullptr : pq().result_error_field(result, PG_DIAG_MESSAGE_PRIMARY);
    const std::string text =
        one_line(primary == nullptr ? pq().error_message(connection()) : primary, target_.password);
    return text.empty() ? "the connection was lost" : text;
  }

  // --- Connecting

  /// The URL's parameters, over what we would have where it says nothing.
  struct Parameters {
    std::vector<const char*> keywords, values;
    void add(const char* keyword, const char* value) {
      keywords.push_back(keyword);
      values.push_back(value);
    }
  };

  Parameters parameters() const {
    Parameters all;
    all.add("connect_timeout", kConnectSeconds);
    all.add("keepalives_idle", "15");
    all.add("keepalives_interval", "5");
    all.add("keepalives_count", "3");
    all.add("tcp_user_timeout", "30000");
    all.add("target_session_attrs", "read-write");
    all.add("dbname", url_.c_str());
    all.add("fallback_application_name", "imagewright");
    all.add("client_encoding", "UTF8");
    all.add(nullptr, nullptr);
    return all;
  }

  /// Where there is no transaction, what is done is one by itself.
  class OneUse {
   public:
    explicit OneUse(PostgresqlConnection& ours) : ours_(ours) {
      if (!ours.in_transaction_) ours.connect();
    }
    ~OneUse() {
      if (!ours_.in_transaction_) ours_.give_back();
    }
    OneUse(const OneUse&) = delete;
    OneUse& operator=(const OneUse&) = delete;

   private:
    PostgresqlConnection& ours_;
  };

  PGconn* connection() const { return session_->connection.get(); }

  void give_back() {
    if (!session_) return;
    if (pq().status(connection()) != CONNECTION_OK) {
      session_.reset();
      sessions_->drop();
    } else if (pq().transaction_status(connection()) == PQTRANS_IDLE) {
      sessions_->give(std::move(session_));
    }
    session_.reset();
  }

  /// One that is not known to be lost.
  void connect() {
    session_ = sessions_->take();
    if (session_ && pq().status(connection()) == CONNECTION_OK) return;
    session_ = std::make_unique<Session>();
    const Parameters all = parameters();
    session_->connection.reset(pq().connect(all.keywords.data(), all.values.data(), 1));
    try {
      if (connection() == nullptr) throw error_of("no memory is left");
      if (pq().status(connection()) != CONNECTION_OK) throw SqlAway(error_of(said(nullptr)).what());
      pq().set_notice_processor(connection(), ignore_notice, nullptr);
      const char* const encoding = pq().parameter_status(connection(), "server_encoding");
      if (encoding == nullptr || std::string_view(encoding) != "UTF8")
        throw error_of("its encoding is not UTF8");
      exec(kSession);
    } catch (const Error&) {
      session_.reset();
      throw;
    }
  }

  // --- Statements

  void exec(const std::string& sql) {
    const Result result(pq().exec(connection(), sql.c_str()));
    check(result.get());
  }

  Result executed(const std::string& sql, const std::vector<SqlValue>& parameters) {
    std::vector<Oid> types;
    std::vector<std::string> bytes;
    std::vector<int> formats;
    for (const SqlValue& parameter : parameters) {
      types.push_back(0);
      formats.push_back(1);
      if (const auto* number = std::get_if<std::int64_t>(&parameter)) {
        types.back() = kInt8;
        bytes.push_back(number_bytes(*number));
      } else if (const auto* text = std::get_if<std::string>(&parameter)) {
        types.back() = kText;
        bytes.push_back(sql_text(*text));
      } else if (const auto* raw = std::get_if<SqlBytes>(&parameter)) {
        types.back() = kBytes;
        bytes.push_back(raw->bytes);
      } else {
        bytes.emplace_back();
      }
    }
    std::vector<const char*> values;
    std::vector<int> lengths;
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      const bool null = std::holds_alternative<std::monostate>(parameters[at]);
      values.push_back(null ? nullptr : bytes[at].data());
      lengths.push_back(static_cast<int>(bytes[at].size()));
    }
    const std::string& name = prepared(sql, types);
    Result result(pq().exec_prepared(connection(), name.c_str(), static_cast<int>(values.size()),
                                     values.data(), lengths.data(), formats.data(), 1));
    check(result.get());
    return result;
  }

  void check(const PGresult* result) {
    if (result != nullptr) {
      const ExecStatusType status = pq().result_status(result);
      if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return;
    }
    const Error error = error_of(said(result));
    // What was not committed is undone.
    if (pq().status(connection()) != CONNECTION_OK) {
      if (in_transaction_) throw SqlAgain(error.what());
      throw error;
    }
    const char* const state =
        result == nullptr ? nullptr : pq().result_error_field(result, PG_DIAG_SQLSTATE);
    const std::string_view code = state == nullptr ? "" : state;
    if (code == "40001" || code == "40P01") throw SqlAgain(error.what());
    throw error;
  }

  /// The name of a statement, which was prepared with its parameters' types.
  const std::string& prepared(const std::string& sql, const std::vector<Oid>& types) {
    auto& all = session_->prepared;
    const auto known = all.find({sql, types});
    if (known != all.end()) return known->second;
    std::string text = sql;
    std::replace(text.begin(), text.end(), '?', '$');
    std::string name = fmt::format("s{}", all.size());
    const Result result(pq().prepare(connection(), name.c_str(), text.c_str(),
                                     static_cast<int>(types.size()), types.data()));
    check(result.get());
    return all.emplace(std::pair(sql, types), std::move(name)).first->second;
  }

  // --- Waiting, by a connection of its own

  /// Until the socket (-1: none) is ready, or somebody wakes us.
  Polled poll_until(int socket, short events, steady_clock::time_point end) {
    const auto left =
        std::max(std::chrono::ceil<milliseconds>(end - steady_clock::now()), milliseconds(0));
    std::array<pollfd, 2> polled = {{{event_.get(), POLLIN, 0}, {socket, events, 0}}};
    const int ready = poll(polled.data(), polled.size(), static_cast<int>(left.count()));
    if (ready <= 0) return ready == 0 ? Polled::TimeUp : Polled::Woken;
    if (polled[0].revents == 0) return Polled::Socket;
    eventfd_t ignored = 0;
    eventfd_read(event_.get(), &ignored);
    return Polled::Woken;
  }

  /// True: the wait is over, as it begins to listen, or somebody woke us.
  bool listen(steady_clock::time_point end) {
    const Parameters all = parameters();
    Connection connection(pq().connect_start(all.keywords.data(), all.values.data(), 1));
    if (!connection || pq().status(connection.get()) == CONNECTION_BAD) return false;
    pq().set_notice_processor(connection.get(), ignore_notice, nullptr);
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (status != PGRES_POLLING_OK) {
      if (status == PGRES_POLLING_FAILED) return false;
      const short events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
      switch (poll_until(pq().socket(connection.get()), events, end)) {
        case Polled::Woken:
          return true;
        case Polled::TimeUp:
          return false;
        case Polled::Socket:
          status = pq().connect_poll(connection.get());
      }
    }
    const Result result(pq().exec(connection.get(), fmt::format("LISTEN {}", channel_).c_str()));
    if (pq().result_status(result.get()) != PGRES_COMMAND_OK) return false;
    listener_ = std::move(connection);
    return true;
  }

  std::string url_;
  std::string channel_;
  Target target_;
  std::shared_ptr<Sessions> sessions_;
  Fd event_;
  std::unique_ptr<Session> session_;  // while it is used
  bool in_transaction_ = false;
  bool announced_ = false;
  Connection listener_;
};

}  // namespace

std::unique_ptr<SqlConnection> open_postgresql(const std::string& url, const std::string& channel) {
  return std::make_unique<PostgresqlConnection>(url, channel);
}

}  // namespace imagewright
