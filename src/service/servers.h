// The servers that a worker may speak to: those of one fleet, of which each knows what the others
// know. One at a time is spoken to, about everything.
#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "service/server_client.h"

namespace imagewright {

/// Any number of threads.
class Servers {
 public:
  /// At least one; the first is spoken to first.
  explicit Servers(std::vector<ServerAddress> all) : all_(std::move(all)) { assert(!all_.empty()); }

  ServerAddress current() const {
    const std::lock_guard lock(mutex_);
    return all_[current_];
  }

  /// That one did not answer: the next one is spoken to from now on. False: there is no other one.
  bool leave(const ServerAddress& address) {
    const std::lock_guard lock(mutex_);
    if (all_[current_].url == address.url) current_ = (current_ + 1) % all_.size();
    return all_.size() > 1;
  }

  /// For people.
  std::string text() const {
    std::string text;
    for (const ServerAddress& address : all_) text += (text.empty() ? "" : ", ") + address.url;
    return text;
  }

 private:
  const std::vector<ServerAddress> all_;
  mutable std::mutex mutex_;
  std::size_t current_ = 0;
};

/// A client of the one that is spoken to now. One thread at a time.
class CurrentClient {
 public:
  /// Borrows both. `stop`: as ServerClient's.
  explicit CurrentClient(const Servers& servers, const std::atomic<bool>* stop = nullptr)
      : servers_(servers), stop_(stop) {}

  ServerClient& get() {
    ServerAddress now = servers_.current();
    if (!client_ || now.url != address_.url) {
      address_ = std::move(now);
      client_.emplace(address_, stop_);
    }
    return *client_;
  }
  ServerClient* operator->() { return &get(); }
  /// Whose client was got last.
  const ServerAddress& address() const { return address_; }

 private:
  const Servers& servers_;
  const std::atomic<bool>* stop_;
  ServerAddress address_;
  std::optional<ServerClient> client_;
};

}  // namespace imagewright
