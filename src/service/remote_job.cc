#include "service/remote_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace imagewright {

namespace {

constexpr std::size_t kMostWaiting = std::size_t{1} << 20;
constexpr std::size_t kLongestLine = std::size_t{64} << 10;  // as of a program's output
constexpr auto kLook = std::chrono::milliseconds(100);

/// Whole lines, from parts.
class Lines {
 public:
  explicit Lines(const OnLine& on_line) : on_line_(on_line) {}

  void add(std::string_view bytes) {
    for (std::size_t end = bytes.find('\n'); end != std::string_view::npos;
         end = bytes.find('\n')) {
      begun_.append(bytes.substr(0, end));
      on_line_(begun_);
      begun_.clear();
      bytes.remove_prefix(end + 1);
    }
    begun_.append(bytes);
    if (begun_.size() >= kLongestLine) finish();
  }
  void finish() {
    if (!begun_.empty()) on_line_(begun_);
    begun_.clear();
  }

 private:
  const OnLine& on_line_;
  std::string begun_;
};

}  // namespace

std::optional<OrderOutcome> RemoteJob::build(const BuildOrder& order, const OnLine& on_line,
                                             const std::function<bool()>& is_stopped) {
  std::string name = order.digest();
  {
    const std::lock_guard lock(mutex_);
    name += fmt::format(":{}", counts_[name]++);
    open_[name].order = order;
  }
  changed_();
  Lines lines(on_line);
  std::unique_lock lock(mutex_);
  Open& its = open_[name];
  while (true) {
    // (Whoever has ever more to say is to be stopped all the same.)
    const bool is_over = its.outcome ? its.log.empty() : is_stopped();
    if (is_over) {
      const auto outcome = its.outcome;
      open_.erase(name);
      lock.unlock();
      lines.finish();
      return outcome;
    }
    if (its.log.empty()) {
      news_.wait_for(lock, kLook);
      continue;
    }
    const std::string log = std::exchange(its.log, "");
    lock.unlock();
    lines.add(log);
    lock.lock();
  }
}

std::vector<NamedOrder> RemoteJob::orders_besides(const std::set<std::string>& known) const {
  const std::lock_guard lock(mutex_);
  std::vector<NamedOrder> orders;
  for (const auto& [name, open] : open_) {
    if (!open.outcome && !known.contains(name)) orders.push_back({name, open.order});
  }
  return orders;
}

std::set<std::string> RemoteJob::open_orders() const {
  const std::lock_guard lock(mutex_);
  std::set<std::string> names;
  for (const auto& [name, open] : open_) {
    if (!open.outcome) names.insert(name);
  }
  return names;
}

bool RemoteJob::has_ended_order() const {
  const std::lock_guard lock(mutex_);
  return has_ended_;
}

LogEnd RemoteJob::take_log(const std::string& name, std::uint64_t offset, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(name);
  if (found == open_.end()) return std::nullopt;
  Open& its = found->second;
  if (offset > its.log_end || offset + bytes.size() <= its.log_end) return its.log_end;
  bytes.remove_prefix(its.log_end - offset);
  bytes = bytes.substr(0, kMostWaiting - std::min(kMostWaiting, its.log.size()));
  its.log += bytes;
  its.log_end += bytes.size();
  news_.notify_all();
  return its.log_end;
}

LogEnd RemoteJob::take_outcome(const std::string& name, const OrderOutcome& outcome,
                               std::uint64_t log_bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(name);
  if (found == open_.end()) return std::nullopt;
  Open& its = found->second;
  if (its.log_end >= log_bytes && !its.outcome) {
    its.outcome = outcome;
    has_ended_ = true;
    news_.notify_all();
  }
  return its.log_end;
}

}  // namespace imagewright
