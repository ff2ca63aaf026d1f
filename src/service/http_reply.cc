#include "service/http_reply.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/beast/http/status.hpp>
#include <ctime>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "core/lower_case.h"

namespace imagewright {

namespace {

// What every reply says unless its handler says otherwise: no page of anybody else may use ours,
// nothing but our own files is run in one, and nobody keeps what tokens were needed for.
constexpr std::array<std::pair<const char*, const char*>, 4> kAlways = {{
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' "
     "data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cache-Control", "no-store"},
}};

std::string date() {
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                     kDays.at(static_cast<std::size_t>(utc.tm_wday)), utc.tm_mday,
                     kMonths.at(static_cast<std::size_t>(utc.tm_mon)), utc.tm_year + 1900,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

void add(std::string& head, std::string_view name, std::string_view value) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {name, value}) {
    if (text.find_first_of("\r\n\0"sv) != std::string_view::npos)
      throw std::invalid_argument("a reply's header would end its line: " + std::string(name));
  }
  head.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

HttpReply error_reply(int status, std::string_view sentence) {
  HttpReply reply;
  reply.status = status;
  reply.body = nlohmann::json{{"error", std::string(sentence)}}.dump(
                   -1, ' ', false, nlohmann::json::error_handler_t::replace) +
               "\n";
  return reply;
}

bool has_body(int status) {
  return status >= 200 && status != 204 && status != 304;
}

std::string reply_head(const HttpReply& reply, HttpFraming framing, bool keep_alive,
                       bool is_http_1_0) {
  if (reply.status < 200 || reply.status > 599)
    throw std::invalid_argument("a reply with the status " + std::to_string(reply.status));
  const auto reason = boost::beast::http::obsolete_reason(
      boost::beast::http::int_to_status(static_cast<unsigned>(reply.status)));
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", reply.status,
                                 std::string_view(reason.data(), reason.size()));
  std::vector<std::string> given;
  for (const auto& [name, value] : reply.headers) {
    add(head, name, value);
    given.push_back(lower_case(name));
    if (given.back() == "content-length" || given.back() == "transfer-encoding" ||
        given.back() == "connection")
      throw std::invalid_argument("only the server itself says " + name);
  }
  const auto is_given = [&](const std::string& name) {
    return std::find(given.begin(), given.end(), name) != given.end();
  };
  if (!is_given("date")) add(head, "Date", date());
  for (const auto& [name, value] : kAlways) {
    if (!is_given(lower_case(name))) add(head, name, value);
  }
  if (has_body(reply.status)) {
    if (!reply.type.empty() && !is_given("content-type")) add(head, "Content-Type", reply.type);
    if (framing == HttpFraming::Length)
      add(head, "Content-Length", std::to_string(reply.body.size()));
    if (framing == HttpFraming::Chunked) add(head, "Transfer-Encoding", "chunked");
  }
  if (!keep_alive) add(head, "Connection", "close");
  if (keep_alive && is_http_1_0) add(head, "Connection", "keep-alive");
  return head + "\r\n";
}

std::string as_chunk(std::string_view bytes) {
  std::string chunk = fmt::format("{:x}\r\n", bytes.size());
  chunk.append(bytes).append("\r\n");
  return chunk;
}

}  // namespace imagewright
