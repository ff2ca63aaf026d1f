// The logs of jobs, to all who follow them, as server-sent events: each part is read from the queue
// once, however many listen.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "service/http_server.h"
#include "service/queue.h"
#include "service/queue_pool.h"
#include "service/service_log.h"

namespace imagewright {

class LogStreams {
 public:
  /// Borrows both.
  LogStreams(QueuePool& queues, const ServiceLog& log);
  ~LogStreams();
  LogStreams(const LogStreams&) = delete;
  LogStreams& operator=(const LogStreams&) = delete;

  /// Sends the log of a job from an offset on, in bytes, until the job has ended or the listener is
  /// gone. `claim`: by whose fence the offset is meant; 0: the present one's. Events: `log` (id:
  /// the fence, ":", the offset behind it; data: JSON {"text"}), `restart` (the job was claimed
  /// anew, so its log begins anew), `end` (data: JSON {"state"}), and a comment now and then.
  void follow(std::int64_t job, std::int64_t claim, std::int64_t offset,
              std::shared_ptr<HttpStream> stream);
  std::size_t listeners() const;

 private:
  struct Listener {
    std::shared_ptr<HttpStream> stream;
    std::int64_t offset = 0;
    std::int64_t fence = 0;  // of the claim whose log it is sent; 0: of none yet
    bool is_complete = false;
  };

  void go();
  void send_all(Queue& queue);
  void send(Queue& queue, std::int64_t job, std::vector<Listener>& listeners);
  void send_pings();

  QueuePool& queues_;
  const ServiceLog& log_;
  mutable std::mutex mutex_;
  std::map<std::int64_t, std::vector<Listener>> new_;  // by job
  std::map<std::int64_t, std::vector<Listener>> all_;  // the thread's own
  std::atomic<std::size_t> count_{0};
  bool is_behind_ = false;  // somebody did not get all there is
  std::atomic<bool> is_stopped_{false};
  std::atomic<Queue*> waiting_{nullptr};
  std::thread thread_;
};

}  // namespace imagewright
