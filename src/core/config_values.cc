#include "core/config_values.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "core/lower_case.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;

tl::unexpected<ParseError> must_be(std::string what) {
  return tl::unexpected(ParseError{"must be " + std::move(what)});
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The digits that `text` begins with, taken off it. -1: none, or a number beyond 64 bits.
std::int64_t take_number(std::string_view& text) {
  const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
  const auto length = static_cast<std::size_t>(end - text.begin());
  std::int64_t number = -1;
  const auto [last, error] = std::from_chars(text.data(), text.data() + length, number);
  text.remove_prefix(length);
  return error == std::errc() ? number : -1;
}

struct Unit {
  std::string_view name;
  std::int64_t size;
};

constexpr std::array<Unit, 5> kDurations = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
constexpr std::int64_t kMaxDuration = std::int64_t{10'000} * 3'600'000;

}  // namespace

tl::expected<bool, ParseError> parse_flag(std::string_view text) {
  const std::string word = lower_case(text);
  if (word == "true") return true;
  if (word == "false") return false;
  return must_be("true or false");
}

tl::expected<std::int64_t, ParseError> parse_number(std::string_view text, std::int64_t least,
                                                    std::int64_t most) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (whole && number >= least && number <= most) return number;
  return must_be(fmt::format("a whole number from {} to {}", least, most));
}

tl::expected<std::int64_t, ParseError> parse_size(std::string_view text) {
  static constexpr std::array<Unit, 8> kSizes = {{{"", 1},
                                                  {"b", 1},
                                                  {"k", 1 << 10},
                                                  {"kb", 1 << 10},
                                                  {"m", 1 << 20},
                                                  {"mb", 1 << 20},
                                                  {"g", 1 << 30},
                                                  {"gb", 1 << 30}}};
  std::string_view rest = text;
  const std::int64_t number = take_number(rest);
  const std::string name = lower_case(rest);
  const auto unit = std::find_if(kSizes.begin(), kSizes.end(),
                                 [&](const Unit& known) { return known.name == name; });
  if (number > 0 && unit != kSizes.end() &&
      number <= std::numeric_limits<std::int64_t>::max() / unit->size) {
    return number * unit->size;
  }
  return must_be("a size: bytes, or a number with b, k, m or g behind it, like 64m");
}

tl::expected<milliseconds, ParseError> parse_duration(std::string_view text) {
  constexpr std::string_view kWanted = "a duration like 90s, 10m or 1h30m";
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_digit)) {
    return must_be(fmt::format("{0}; is {1} seconds ({1}s) or minutes ({1}m) meant?", kWanted,
                               text.substr(0, 20)));
  }
  std::int64_t total = 0;
  auto next = kDurations.begin();
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::int64_t number = take_number(rest);
    const std::size_t end = std::min(rest.find_first_of("0123456789"), rest.size());
    const std::string_view name = rest.substr(0, end);
    rest.remove_prefix(end);
    const auto unit =
        std::find_if(next, kDurations.end(), [&](const Unit& known) { return known.name == name; });
    if (number < 0 || unit == kDurations.end())
      return must_be(fmt::format("{}; units are d, h, m, s and ms", kWanted));
    if (number > (kMaxDuration - total) / unit->size) return must_be("at most 10000h");
    total += number * unit->size;
    next = unit + 1;
  }
  if (text.empty()) return must_be(std::string(kWanted));
  return milliseconds(total);
}

std::string duration_text(milliseconds duration) {
  std::string text;
  std::int64_t rest = duration.count();
  for (const Unit& unit : kDurations) {
    if (rest >= unit.size) text += fmt::format("{}{}", rest / unit.size, unit.name);
    rest %= unit.size;
  }
  return text.empty() ? "0s" : text;
}

bool is_plain_word(std::string_view text) {
  return !text.empty() && text.find_first_not_of(
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "abcdefghijklmnopqrstuvwxyz"
                              "0123456789._-") == std::string_view::npos;
}

bool is_host_name(std::string_view text) {
  return is_plain_word(text) && text.front() != '-' && text.size() <= 253;
}

tl::expected<std::string, ParseError> parse_address(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']')
    text = text.substr(1, text.size() - 2);
  const std::string address(text);
  in6_addr ignored;
  if (address == "host-gateway" || inet_pton(AF_INET, address.c_str(), &ignored) == 1 ||
      inet_pton(AF_INET6, address.c_str(), &ignored) == 1) {
    return address;
  }
  return must_be("an IP address, or host-gateway");
}

tl::expected<std::pair<std::string, std::string>, ParseError> parse_host(std::string_view text) {
  const std::size_t border = std::min(text.find_first_of("=:"), text.size());
  const std::string_view host = text.substr(0, border);
  if (border == text.size() || !is_host_name(host)) return must_be("HOST=ADDRESS");
  auto address = parse_address(text.substr(border + 1));
  if (!address) return must_be("HOST=ADDRESS with an IP address, or host-gateway");
  return std::pair(std::string(host), *std::move(address));
}

bool is_platform(std::string_view text) {
  for (int parts = 1; parts <= 3; ++parts) {
    const std::size_t end = std::min(text.find('/'), text.size());
    if (!is_plain_word(text.substr(0, end)) || text.front() == '-') return false;
    if (end == text.size()) return true;
    text.remove_prefix(end + 1);
  }
  return false;
}

}  // namespace imagewright
