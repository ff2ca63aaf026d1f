// One job that a worker holds: the builds that its run wants from the worker, and what the worker
// says of them. Knows nothing of HTTP, nor of the queue.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/process.h"
#include "service/build_order.h"

namespace imagewright {

/// An order and the name under which server and worker speak of it.
struct NamedOrder {
  /// Its digest and how many of this digest there were before, in the same job: who orders all
  /// again, from the beginning on, gives the same names.
  std::string name;
  BuildOrder order;
};

/// Where an order's log ends, as far as it was taken; nullopt: there is no such order.
using LogEnd = std::optional<std::uint64_t>;

/// Any number of threads.
class RemoteJob {
 public:
  /// `changed`: there is an order for the worker; called by who orders.
  explicit RemoteJob(std::function<void()> changed) : changed_(std::move(changed)) {}

  /// Orders a build, and waits for what comes of it. `on_line`: what the worker says of it, by this
  /// thread. nullopt: `is_stopped` was true first.
  std::optional<OrderOutcome> build(const BuildOrder& order, const OnLine& on_line,
                                    const std::function<bool()>& is_stopped);

  /// Those that the worker does not know yet.
  std::vector<NamedOrder> orders_besides(const std::set<std::string>& known) const;
  /// The names of those that have no outcome.
  std::set<std::string> open_orders() const;
  bool has_open_order() const { return !open_orders().empty(); }
  /// Did any come to its end?
  bool has_ended_order() const;

  /// Part of an order's log. What was taken before is not taken again; neither is what lies behind
  /// a gap, nor more than fits: who sends it goes on from where the log ends then.
  LogEnd take_log(const std::string& name, std::uint64_t offset, std::string_view bytes);
  /// The end of an order. Not taken where its log, which has so many bytes, is not all there.
  LogEnd take_outcome(const std::string& name, const OrderOutcome& outcome,
                      std::uint64_t log_bytes);

 private:
  struct Open {
    BuildOrder order;
    std::string log;  // what was not told yet
    std::uint64_t log_end = 0;
    std::optional<OrderOutcome> outcome;
  };

  std::function<void()> changed_;
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable news_;
  std::map<std::string, Open> open_;   // by name
  std::map<std::string, int> counts_;  // by digest
  bool has_ended_ = false;
};

}  // namespace imagewright
