// libcurl, loaded when it is first used (a run that asks nobody does not pay for it), and one of
// its transfers: a request set up, an answer taken. For io/http and io/http_many alone.
#pragma once

#include <curl/curl.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <tl/expected.hpp>

#include "io/http.h"

namespace imagewright {

/// What we use of it.
struct Curl {
  decltype(&curl_global_init) global_init = nullptr;
  decltype(&curl_easy_init) init = nullptr;
  decltype(&curl_easy_cleanup) cleanup = nullptr;
  decltype(&curl_easy_reset) reset = nullptr;
  decltype(&curl_easy_setopt) set = nullptr;
  decltype(&curl_easy_perform) perform = nullptr;
  decltype(&curl_easy_getinfo) info = nullptr;
  decltype(&curl_easy_strerror) words = nullptr;
  decltype(&curl_slist_append) append = nullptr;
  decltype(&curl_slist_free_all) free_list = nullptr;
  decltype(&curl_multi_init) multi_init = nullptr;
  decltype(&curl_multi_cleanup) multi_cleanup = nullptr;
  decltype(&curl_multi_setopt) multi_set = nullptr;
  decltype(&curl_multi_add_handle) multi_add = nullptr;
  decltype(&curl_multi_remove_handle) multi_remove = nullptr;
  decltype(&curl_multi_perform) multi_perform = nullptr;
  decltype(&curl_multi_poll) multi_poll = nullptr;
  decltype(&curl_multi_wakeup) multi_wakeup = nullptr;
  decltype(&curl_multi_info_read) multi_read = nullptr;
};

/// Loaded once, and never unloaded. Throws Error(Missing) where there is none, or one that is too
/// old.
const Curl& curl();

/// One easy handle and what comes by it. One thread at a time.
class CurlTransfer {
 public:
  /// Throws Error(Missing).
  CurlTransfer();
  ~CurlTransfer();
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;

  CURL* handle() const { return easy_; }

  /// For the next request. `stop`: what ends it, when it becomes true; borrowed, as long as it goes
  /// on.
  void prepare(const HttpRequest& request, const std::atomic<bool>& stop);

  /// What came of it, when curl has ended it so.
  tl::expected<HttpResponse, HttpError> result(CURLcode code);

 private:
  static std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* self);
  static std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* self);
  static int look_at_progress(void* self, curl_off_t, curl_off_t received, curl_off_t, curl_off_t);
  void clear();

  CURL* easy_ = nullptr;
  std::string host_;  // that was asked
  std::size_t largest_ = 0;
  std::function<bool(std::string_view part)> on_body_;
  bool is_ok_ = false;  // its status is 200
  bool even_interrupted_ = false;
  bool too_long_ = false;
  std::size_t header_bytes_ = 0;
  const std::atomic<bool>* stop_ = nullptr;
  std::chrono::seconds most_time_{0};
  std::chrono::steady_clock::time_point first_byte_;  // long ago: none came yet
  bool too_slow_ = false;
  HttpResponse response_;
  std::string authorities_;
  curl_slist* headers_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> message_{};
};

}  // namespace imagewright
