// Many HTTP requests at once, over few connections, which are kept: HTTP/2 carries many on one
// where the server has it. Knows nothing of what is asked.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "io/http.h"

namespace imagewright {

using HttpResult = tl::expected<HttpResponse, HttpError>;

/// Has a thread of its own.
class HttpMany {
 public:
  struct Limits {
    std::size_t connections = 16;
    std::size_t connections_per_host = 4;
  };
  /// Told in that thread; may send more. Must not throw.
  using Done = std::function<void(HttpResult result)>;

  explicit HttpMany(Limits limits);
  ~HttpMany();  ///< stops
  HttpMany(const HttpMany&) = delete;
  HttpMany& operator=(const HttpMany&) = delete;

  /// Ends what has not ended: nobody is told of it any more, and of what is sent later neither.
  void stop();

  /// From any thread. `pause`: how long to wait first. An interrupt (io/interrupt.h) ends all
  /// requests, with HttpError::Kind::Interrupted. Throws Error(Missing) where there is no libcurl.
  void send(HttpRequest request, Done done, std::chrono::milliseconds pause = {});

  /// From `Done`: ends all requests to the host of this URL with that error.
  void give_up_host(const std::string& url, const HttpError& error);

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace imagewright
