// Connections to the one queue, for many threads.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "service/local_builder.h"
#include "service/queue.h"

namespace imagewright {

/// Lends connections, and opens more where all are lent.
class QueuePool {
 public:
  explicit QueuePool(OpenQueue open) : open_(std::move(open)) {}

  /// One of them, until this goes.
  class Lent {
   public:
    Lent(QueuePool& pool, std::unique_ptr<Queue> queue) : pool_(&pool), queue_(std::move(queue)) {}
    ~Lent() {
      if (queue_) pool_->take_back(std::move(queue_));
    }
    Lent(Lent&&) noexcept = default;
    Lent& operator=(Lent&&) = delete;
    Queue& operator*() const { return *queue_; }
    Queue* operator->() const { return queue_.get(); }

   private:
    QueuePool* pool_;
    std::unique_ptr<Queue> queue_;
  };

  /// Throws as opening one does.
  Lent lend() {
    std::unique_ptr<Queue> queue;
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        queue = std::move(free_.back());
        free_.pop_back();
      }
    }
    if (!queue) queue = open_();
    return {*this, std::move(queue)};
  }

 private:
  void take_back(std::unique_ptr<Queue> queue) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(queue));
  }

  OpenQueue open_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Queue>> free_;
};

}  // namespace imagewright
