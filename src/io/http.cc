#include "io/http.h"

#include <fmt/format.h>

#include <cctype>

#include "io/curl.h"

namespace imagewright {

std::string HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

struct Http::Handle {
  const std::atomic<bool>& stop;
  CurlTransfer transfer;
};

Http::Http(const std::atomic<bool>& stop) : handle_(new Handle{stop, {}}) {}
Http::~Http() = default;

HttpResponse Http::send(const HttpRequest& request) {
  CurlTransfer& transfer = handle_->transfer;
  transfer.prepare(request, handle_->stop);
  auto result = transfer.result(curl().perform(transfer.handle()));
  if (!result) throw HttpError(std::move(result.error()));
  return *std::move(result);
}

std::string authority_of(const std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return "";
  return url.substr(scheme + 3, url.find('/', scheme + 3) - scheme - 3);
}

std::string host_without_port(const std::string& authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "[::1]") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

std::string percent_encoded(const std::string& text) {
  std::string encoded;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 ||
        std::string_view("-._~").find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace imagewright
