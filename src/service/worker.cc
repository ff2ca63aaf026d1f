#include "service/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "io/backoff.h"
#include "io/engine.h"
#include "io/error.h"
#include "io/fd.h"
#include "io/host_name.h"
#include "io/host_platform.h"
#include "io/interrupt.h"
#include "io/scratch.h"
#include "run/secrets.h"
#include "service/build_order.h"
#include "service/order_builder.h"
#include "service/servers.h"
#include "service/service_log.h"
#include "service/worker_call.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kCall{10'000};     // how long one waits for news
constexpr milliseconds kFirstPause{250};  // after a call that failed
constexpr int kMostDoublings = 5;
constexpr milliseconds kPatience{20'000};  // with a server that answers, but not to the point
constexpr milliseconds kBetweenReports{200};
constexpr std::size_t kLogPart = std::size_t{256} << 10;
constexpr milliseconds kBroken{10'000};  // without taking more, where something is missing here

std::string random_word() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

// One order, from when it was given until its end was told.
struct Order {
  std::string name;
  BuildOrder order;
  std::atomic<bool> stop{false};
  std::atomic<bool> is_fetching{false};  // its contexts
  std::atomic<bool> is_broken{false};    // it cannot be built here
  Redaction without_secrets{{}};         // its thread's
  bool is_older = false;                 // ordered before its job had this fence
  std::thread thread;

  std::mutex mutex;  // of what follows
  Fd log;
  std::uint64_t log_end = 0;
  std::optional<OrderOutcome> outcome;

  std::uint64_t sent = 0;  // to who listens now
  bool is_told = false;
  int listener = 0;  // another number for each who began to listen
};

struct Held {
  std::int64_t fence = 0;
  std::string image;
  std::map<std::string, std::shared_ptr<Order>> orders;  // by name
};

class Worker {
 public:
  explicit Worker(const WorkerOptions& options)
      : options_(options),
        log_(stderr, options.json_log ? ServiceLog::Style::Json : ServiceLog::Style::Text),
        engine_(find_engine(options.engine, options.places.cache)),
        ready_(engine_->prepare()),
        scratch_(options.places.cache / "worker"),
        servers_(options.servers),
        builder_(*engine_, servers_, scratch_.path(), options.cut_off, log_),
        client_(servers_, &stop_calls_) {
    call_.worker = options.name.empty() ? host_name() : options.name;
    call_.instance = random_word();
    call_.labels = options.labels;
    call_.labels.insert("engine=" + engine_->name());
    call_.labels.insert("platform=" + host_platform());
    call_.engine = ready_.description;
    call_.version = options.version;
    call_.takes_directories = ready_.takes_directories;
    call_.jobs = options.jobs;
  }

  ~Worker() {
    is_ended_ = true;
    if (reporter_.joinable()) reporter_.join();
    if (signals_.joinable()) signals_.join();
    {
      const std::lock_guard lock(mutex_);
      for (auto& [job, held] : held_) stop(held);
    }
    for (const auto& order : ending_) {
      if (order->thread.joinable()) order->thread.join();
    }
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  int go() {
    if (!ready_.warning.empty()) log_.warning(ready_.warning);
    log_.info(fmt::format("{} works for {}, building with {}, {} at once", call_.worker,
                          servers_.text(), ready_.description, call_.jobs));
    reporter_ = std::thread([this] { report(); });
    signals_ = std::thread([this] { hear_signals(); });
    int failures = 0;
    bool was_heard = false;
    std::string told;
    auto heard = Clock::now();
    auto answered = Clock::now();  // by the server that is asked now
    while (interrupted() == 0) {
      try {
        hand_back_broken();
        const WorkerCall call = next_call();
        take(client_->post("/api/v1/work", to_json(call)));
        if (!told.empty()) log_.info(client_.address().url + " answers");
        heard = answered = Clock::now();
        was_heard = true;
        failures = 0;
        told.clear();
        // (Not before the server has heard so: it may have claimed something meanwhile.)
        if (call.draining && holds_nothing()) break;
      } catch (const Error& error) {
        if (is_final(error, was_heard)) throw;
        if (stop_calls_.exchange(false)) continue;  // there is something to say
        if (end_asked() != 0 && holds_nothing()) break;
        if (told != error.what()) log_.warning(error.what());
        told = error.what();
        if (is_to_be_left(error, failures, Clock::now() - answered) &&
            servers_.leave(client_.address())) {
          log_.info("asking " + servers_.current().url);
          answered = Clock::now();
          failures = 0;
        }
        if (Clock::now() - heard > options_.cut_off) let_go_of_all();
        wait_patiently(backoff(kFirstPause, std::min(failures++, kMostDoublings)),
                       [this] { return stop_calls_.load(); });
      }
      join_ended();
    }
    if (interrupted() != 0) hand_back_all();
    log_.info("ended");
    return interrupted() == 0 ? 0 : 128 + interrupted();
  }

 private:
  // Is there no use in calling again? (What a proxy says for a while, or a token that is being
  // changed for another, is no reason to let go of what is built.)
  static bool is_final(const Error& error, bool was_heard) {
    constexpr int kConflict = 409;
    if (error.kind() != Error::Kind::Usage) return false;
    const auto* said = dynamic_cast<const ServerError*>(&error);
    return said == nullptr || !was_heard || said->status == kConflict;
  }

  // One failure may be the line's, and who says that he cannot now has what we hold.
  static bool is_to_be_left(const Error& error, int failures_before, Clock::duration for_how_long) {
    const bool it_answers = dynamic_cast<const ServerError*>(&error) != nullptr;
    return (!it_answers && failures_before > 0) || for_how_long > kPatience;
  }

  // Of what is said of a job that it holds.
  static std::string path_of(std::int64_t job, std::int64_t fence) {
    return fmt::format("/api/v1/work/{}/{}", job, fence);
  }

  // --- Calls

  WorkerCall next_call() {
    WorkerCall call = call_;
    const std::lock_guard lock(mutex_);
    for (const auto& [job, held] : held_) {
      WorkerCall::Hold hold{job, held.fence, {}};
      for (const auto& [name, order] : held.orders) hold.orders.insert(name);
      call.holds.push_back(std::move(hold));
    }
    call.draining = end_asked() != 0;
    call.room = call.draining || Clock::now() < broken_until_
                    ? 0
                    : std::max(0, call.jobs - static_cast<int>(held_.size()));
    call.wait = kCall;
    return call;
  }

  void take(const Json& news) {
    const auto list = [&](const char* name) {
      const auto found = news.find(name);
      return found == news.end() ? Json::array() : *found;
    };
    try {
      const std::lock_guard lock(mutex_);
      for (const Json& one : list("lost")) lose(one.at("job"), one.at("fence"));
      for (const Json& one : list("again")) hold_again(one);
      for (const Json& one : list("claimed")) {
        Held& held = held_[one.at("job")];
        one.at("fence").get_to(held.fence);
        one.at("image").get_to(held.image);
        log_.info("taken", {one.at("job"), 0, held.image});
      }
      for (const Json& one : list("orders")) begin(one);
    } catch (const nlohmann::json::exception& exception) {
      throw Error(Error::Kind::Missing,
                  std::string("what the server answers makes no sense: ") + exception.what());
    }
  }

  // (What follows, with the lock.)

  void lose(std::int64_t job, std::int64_t fence) {
    const auto found = held_.find(job);
    if (found == held_.end() || found->second.fence != fence) return;
    const bool was_building =
        std::any_of(found->second.orders.begin(), found->second.orders.end(),
                    [](const auto& order) { return !has_ended(*order.second); });
    if (was_building)
      log_.warning("not ours any more, so it is stopped", {job, 0, found->second.image});
    stop(found->second);
    held_.erase(found);
  }

  // Another server has it under a new fence: what it wants to hear, it wants from the beginning on.
  void hold_again(const Json& one) {
    const auto found = held_.find(one.at("job").get<std::int64_t>());
    if (found == held_.end() || found->second.fence != one.at("fence").get<std::int64_t>()) return;
    one.at("new_fence").get_to(found->second.fence);
    auto& orders = found->second.orders;
    for (auto order = orders.begin(); order != orders.end();) {
      // (What it waits for may be called otherwise there: it is ordered again.)
      if (order->second->is_fetching) {
        drop(order->second);
        order = orders.erase(order);
        continue;
      }
      const std::lock_guard order_lock(order->second->mutex);
      order->second->sent = 0;
      order->second->is_told = false;
      ++order->second->listener;
      order->second->is_older = true;
      ++order;
    }
  }

  void drop(const std::shared_ptr<Order>& order) {
    order->stop = true;
    ending_.push_back(order);
    slots_free_.notify_all();
  }

  static bool has_ended(Order& order) {
    const std::lock_guard lock(order.mutex);
    return order.outcome.has_value();
  }

  void stop(Held& held) {
    for (auto& [name, order] : held.orders) drop(order);
    held.orders.clear();
  }

  void begin(const Json& one) {
    const std::int64_t job = one.at("job");
    const auto held = held_.find(job);
    if (held == held_.end() || held->second.fence != one.at("fence").get<std::int64_t>()) return;
    const auto name = one.at("name").get<std::string>();
    auto& orders = held->second.orders;
    if (orders.contains(name)) return;
    const auto order = std::make_shared<Order>();
    order->name = name;
    const fs::path file = scratch_.path() / fmt::format("{}.log", ++count_);
    order->log = Fd(open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    unlink(file.c_str());
    orders[name] = order;
    try {
      if (!order->log)
        throw Error(Error::Kind::Missing, with_errno("cannot write '" + file.string() + "'"));
      order->order = build_order_of(one.at("order"));
    } catch (const Error& error) {
      // (Such as of another version: it has to be told, or it would be waited for.)
      order->outcome.emplace();
      order->outcome->exit.status = 1;
      order->outcome->message = error.what();
      return;
    }
    if (used_ >= options_.jobs) drop_unwanted(orders, one.at("open"));
    log_.info("building", {job, 0, order->order.image});
    order->thread = std::thread([this, job, order] { carry_out(job, *order); });
  }

  // Who carries the job out now does not want what another one had ordered: it is in the way.
  void drop_unwanted(std::map<std::string, std::shared_ptr<Order>>& orders, const Json& open) {
    const auto names = open.get<std::set<std::string>>();
    for (auto order = orders.begin(); order != orders.end();) {
      if (order->second->is_older && !names.contains(order->first) && !has_ended(*order->second)) {
        drop(order->second);
        order = orders.erase(order);
      } else {
        ++order;
      }
    }
  }

  void let_go_of_all() {
    const std::lock_guard lock(mutex_);
    if (!held_.empty()) log_.error("no server answers, so what is being built is stopped");
    for (auto& [job, held] : held_) stop(held);
    held_.clear();
  }

  bool holds_nothing() {
    const std::lock_guard lock(mutex_);
    return held_.empty();
  }

  // What cannot be built here through no fault of its own: somebody else may, or we when the cause
  // is gone.
  void hand_back_broken() {
    std::vector<std::tuple<std::int64_t, std::int64_t, std::string>> all;
    {
      const std::lock_guard lock(mutex_);
      for (auto held = held_.begin(); held != held_.end();) {
        auto& orders = held->second.orders;
        if (std::none_of(orders.begin(), orders.end(),
                         [](const auto& order) { return order.second->is_broken.load(); })) {
          ++held;
          continue;
        }
        all.emplace_back(held->first, held->second.fence, held->second.image);
        stop(held->second);
        held = held_.erase(held);
      }
      if (!all.empty()) broken_until_ = Clock::now() + kBroken;
    }
    for (const auto& [job, fence, image] : all) {
      client_->post(path_of(job, fence) + "/hand-back", Json::object());
      log_.warning("handed back", {job, 0, image});
    }
  }

  void hand_back_all() {
    const std::lock_guard lock(mutex_);
    for (auto& [job, held] : held_) {
      stop(held);
      try {
        ServerClient(servers_.current())
            .say_last(path_of(job, held.fence) + "/hand-back", Json::object());
        log_.info("handed back", {job, 0, held.image});
      } catch (const Error& error) {
        log_.warning(error.what(), {job, 0, held.image});
      }
    }
    held_.clear();
  }

  void join_ended() {
    std::vector<std::shared_ptr<Order>> ended;
    {
      const std::lock_guard lock(mutex_);
      for (auto order = ending_.begin(); order != ending_.end();) {
        if (!has_ended(**order)) {
          ++order;
          continue;
        }
        ended.push_back(std::move(*order));
        order = ending_.erase(order);
      }
    }
    for (const auto& order : ended) {
      if (order->thread.joinable()) order->thread.join();
      builder_.forget_made(order->order, *order->outcome);
    }
  }

  // A call that waits for news is not to keep a signal waiting.
  void hear_signals() {
    while (!is_ended_) {
      std::array<pollfd, 2> descriptors = {pollfd{request_fd(), POLLIN, 0},
                                           pollfd{interrupt_fd(), POLLIN, 0}};
      if (poll(descriptors.data(), descriptors.size(), 200) <= 0) continue;
      clear_request_fd();
      take_reload_request();
      if (end_asked() != 0) stop_calls_ = true;
      if (interrupted() != 0) return;
    }
  }

  // --- Reports: what builds say, and what came of them

  void report() {
    CurrentClient client(servers_);
    std::string told;
    while (!is_ended_) {
      std::vector<std::tuple<std::int64_t, std::int64_t, std::shared_ptr<Order>>> all;
      {
        const std::lock_guard lock(mutex_);
        for (const auto& [job, held] : held_) {
          for (const auto& [name, order] : held.orders) all.emplace_back(job, held.fence, order);
        }
      }
      bool any = false;
      for (const auto& [job, fence, order] : all) {
        try {
          const std::string path = path_of(job, fence) + "/orders/" + percent_encoded(order->name);
          any = report(client.get(), path, *order) || any;
          told.clear();
        } catch (const Error& error) {
          // (The calls tell of a server that is away.)
          if (error.kind() == Error::Kind::Usage && told != error.what())
            log_.warning(error.what(), {job, 0, order->order.image});
          told = error.what();
        }
      }
      if (!any) std::this_thread::sleep_for(kBetweenReports);
    }
  }

  // False: there was nothing to say, or nobody who would hear it.
  static bool report(ServerClient& client, const std::string& path, Order& order) {
    int listener = 0;
    std::uint64_t sent = 0;
    std::uint64_t end = 0;
    std::optional<OrderOutcome> outcome;
    std::string part;
    {
      const std::lock_guard lock(order.mutex);
      if (order.is_told) return false;
      listener = order.listener;
      sent = order.sent;
      end = order.log_end;
      outcome = order.outcome;
      if (sent < end)
        part = read_at(order.log.get(), sent, std::min<std::uint64_t>(kLogPart, end - sent));
    }
    Json answer;
    if (!part.empty()) {
      answer = client.post_bytes(fmt::format("{}/log?offset={}", path, sent), part);
    } else if (outcome) {
      answer = client.post(path + "/outcome", to_json(*outcome, end));
    } else {
      return false;
    }
    const Json taken = answer.value("log_bytes", Json());
    if (!taken.is_number_unsigned()) return false;
    const std::lock_guard lock(order.mutex);
    if (order.listener != listener) return true;  // to be told anew
    order.sent = std::min(taken.get<std::uint64_t>(), order.log_end);
    order.is_told = part.empty() && order.sent == end;
    return order.sent != sent || order.is_told;
  }

  // --- Building, in a thread for each order

  void carry_out(std::int64_t job, Order& order) {
    OrderOutcome outcome;
    try {
      if (take_slot(order)) {
        const Slot slot{*this};
        order.without_secrets = Redaction(contents_of(order.order.options.secrets, "/"));
        outcome = builder_.build(order.order, order.stop, order.is_fetching,
                                 [&](std::string_view line) { add_line(order, line); });
      } else {
        outcome.exit = {128 + 15, true, false};
      }
    } catch (const Error& error) {
      outcome = {};
      outcome.exit.status = 1;
      outcome.message = error.what();
      if (error.kind() == Error::Kind::Missing && !order.stop) {
        log_.error(error.what(), {job, 0, order.order.image});
        const std::lock_guard lock(order.mutex);
        order.outcome = outcome;
        order.is_told = true;
        order.is_broken = true;
        stop_calls_ = true;  // to say so at once
        return;
      }
    } catch (const std::exception& error) {
      outcome = {};
      outcome.exit.status = 1;
      outcome.message = error.what();
    }
    outcome.message = order.without_secrets(outcome.message);
    if (order.stop) outcome.exit.interrupted = true;
    const std::string line = !outcome.message.empty() ? outcome.message
                             : outcome.exit.ok()      ? "built"
                             : outcome.exit.interrupted
                                 ? "stopped"
                                 : fmt::format("ended with status {}", outcome.exit.status);
    log_.info(line, {job, 0, order.order.image});
    const std::lock_guard lock(order.mutex);
    order.outcome = outcome;
  }

  // No more is built at once than was said. False: it is to stop before it began.
  bool take_slot(const Order& order) {
    std::unique_lock lock(mutex_);
    slots_free_.wait(lock, [&] { return used_ < options_.jobs || order.stop; });
    if (order.stop) return false;
    ++used_;
    return true;
  }
  struct Slot {
    Worker& worker;
    ~Slot() {
      const std::lock_guard lock(worker.mutex_);
      --worker.used_;
      worker.slots_free_.notify_one();
    }
  };

  static void add_line(Order& order, std::string_view line) {
    const std::lock_guard lock(order.mutex);
    const std::string text = order.without_secrets(std::string(line)) + '\n';
    if (write_at(order.log.get(), order.log_end, text)) order.log_end += text.size();
  }

  const WorkerOptions& options_;
  ServiceLog log_;
  std::unique_ptr<Engine> engine_;
  Readiness ready_;
  ScratchDirectory scratch_;
  Servers servers_;
  OrderBuilder builder_;
  std::atomic<bool> stop_calls_{false};
  std::atomic<bool> is_ended_{false};
  CurrentClient client_;
  WorkerCall call_;   // what stays the same of it
  std::mutex mutex_;  // of what follows
  std::condition_variable slots_free_;
  int used_ = 0;
  Clock::time_point broken_until_;
  std::uint64_t count_ = 0;
  std::map<std::int64_t, Held> held_;  // by job
  std::vector<std::shared_ptr<Order>> ending_;
  std::thread reporter_;
  std::thread signals_;
};

}  // namespace

int work(const WorkerOptions& options) {
  for (const ServerAddress& address : options.servers) (void)ServerClient(address);  // is it one?
  take_requests();
  return Worker(options).go();
}

}  // namespace imagewright
