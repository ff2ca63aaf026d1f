#include "io/http_many.h"

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "io/curl.h"
#include "io/error.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLongestWait = 100;  // ms, for interrupts and pauses

HttpError interruption() {
  return {HttpError::Kind::Interrupted, "interrupted"};
}

}  // namespace

class HttpMany::Loop {
 public:
  explicit Loop(Limits limits) : lib_(curl()), multi_(lib_.multi_init()) {
    if (multi_ == nullptr) throw Error(Error::Kind::Missing, "libcurl cannot be used");
    lib_.multi_set(multi_, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    lib_.multi_set(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(limits.connections));
    lib_.multi_set(multi_, CURLMOPT_MAX_HOST_CONNECTIONS,
                   static_cast<long>(limits.connections_per_host));
    thread_ = std::thread([this] { run(); });
  }

  void stop() {
    stop_ = true;
    lib_.multi_wakeup(multi_);
    if (thread_.joinable()) thread_.join();
  }

  ~Loop() {
    stop();
    for (auto& [easy, going] : going_) lib_.multi_remove(multi_, easy);
    lib_.multi_cleanup(multi_);
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void send(HttpRequest request, Done done, std::chrono::milliseconds pause) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back({std::move(request), std::move(done), Clock::now() + pause});
    }
    lib_.multi_wakeup(multi_);
  }

  void give_up_host(const std::string& url, const HttpError& error) {
    const std::string host = authority_of(url);
    const auto is_there = [&](const Request& request) {
      return authority_of(request.request.url) == host;
    };
    std::vector<Done> given_up;
    for (auto place = going_.begin(); place != going_.end();) {
      if (!is_there(place->second.request)) {
        ++place;
        continue;
      }
      lib_.multi_remove(multi_, place->first);
      given_up.push_back(std::move(place->second.request.done));
      idle_.push_back(std::move(place->second.transfer));
      place = going_.erase(place);
    }
    {
      const std::lock_guard lock(mutex_);
      for (Request& request : waiting_) {
        if (is_there(request)) given_up.push_back(std::move(request.done));
      }
      waiting_.remove_if(is_there);
    }
    for (const Done& done : given_up) done(tl::unexpected(error));
  }

 private:
  struct Request {
    HttpRequest request;
    Done done;
    Clock::time_point since;  // when to begin
  };
  struct Going {
    Request request;
    std::unique_ptr<CurlTransfer> transfer;
  };

  void run() {
    while (!stop_) {
      if (interrupted() != 0) end_all();
      begin_what_waits();
      int running = 0;
      lib_.multi_perform(multi_, &running);
      if (end_what_is_done()) continue;
      lib_.multi_poll(multi_, nullptr, 0, kLongestWait, nullptr);
    }
  }

  void begin_what_waits() {
    std::list<Request> ready;
    {
      const std::lock_guard lock(mutex_);
      const auto now = Clock::now();
      for (auto place = waiting_.begin(); place != waiting_.end();) {
        const auto next = std::next(place);
        if (place->since <= now) ready.splice(ready.end(), waiting_, place);
        place = next;
      }
    }
    for (Request& request : ready) {
      std::unique_ptr<CurlTransfer> transfer;
      if (idle_.empty()) {
        transfer = std::make_unique<CurlTransfer>();
      } else {
        transfer = std::move(idle_.back());
        idle_.pop_back();
      }
      transfer->prepare(request.request, stop_);
      CURL* const easy = transfer->handle();
      lib_.multi_add(multi_, easy);
      going_.emplace(easy, Going{std::move(request), std::move(transfer)});
    }
  }

  // False: none was.
  bool end_what_is_done() {
    bool any = false;
    int left = 0;
    while (CURLMsg* message = lib_.multi_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      any = true;
      const auto place = going_.find(message->easy_handle);
      if (place == going_.end()) continue;
      const CURLcode code = message->data.result;
      lib_.multi_remove(multi_, message->easy_handle);
      Going going = std::move(place->second);
      going_.erase(place);
      HttpResult result = going.transfer->result(code);
      idle_.push_back(std::move(going.transfer));
      going.request.done(std::move(result));
    }
    return any;
  }

  void end_all() {
    std::list<Request> all;
    {
      const std::lock_guard lock(mutex_);
      all.swap(waiting_);
    }
    for (auto& [easy, going] : going_) {
      lib_.multi_remove(multi_, easy);
      all.push_back(std::move(going.request));
    }
    going_.clear();
    for (const Request& request : all) request.done(tl::unexpected(interruption()));
  }

  const Curl& lib_;
  CURLM* multi_;
  std::atomic<bool> stop_{false};
  std::map<CURL*, Going> going_;
  std::vector<std::unique_ptr<CurlTransfer>> idle_;
  std::mutex mutex_;  // of what follows
  std::list<Request> waiting_;
  std::thread thread_;
};

HttpMany::HttpMany(Limits limits) : loop_(std::make_unique<Loop>(limits)) {}
HttpMany::~HttpMany() = default;

void HttpMany::stop() {
  loop_->stop();
}

void HttpMany::send(HttpRequest request, Done done, std::chrono::milliseconds pause) {
  loop_->send(std::move(request), std::move(done), pause);
}

void HttpMany::give_up_host(const std::string& url, const HttpError& error) {
  loop_->give_up_host(url, error);
}

}  // namespace imagewright
