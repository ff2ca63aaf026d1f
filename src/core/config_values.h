// Values of the configuration that are more than text: numbers, sizes, durations, hosts. Each
// reader takes the text of one value and says, where it is not one, what it must be ("must be …":
// the key's name is the caller's to put before it; no place). Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

#include "core/error.h"

namespace imagewright {

tl::expected<bool, ParseError> parse_flag(std::string_view text);

/// A whole number within bounds, in decimal digits, with `-` where `least` is below 0.
tl::expected<std::int64_t, ParseError> parse_number(std::string_view text, std::int64_t least,
                                                    std::int64_t most);

/// Bytes, or a number with `b`, `k`, `kb`, `m`, `mb`, `g`, `gb` behind it, each 1024 times the one
/// before. More than 0.
tl::expected<std::int64_t, ParseError> parse_size(std::string_view text);

/// `1h30m`, `90s`, `250ms`: whole numbers with their units, the larger ones first; at most 10,000
/// hours.
tl::expected<std::chrono::milliseconds, ParseError> parse_duration(std::string_view text);
/// As parse_duration takes it. Not negative.
std::string duration_text(std::chrono::milliseconds duration);

/// Of `HOST=ADDRESS` or `HOST:ADDRESS` both; of an IPv6 address without its brackets.
tl::expected<std::pair<std::string, std::string>, ParseError> parse_host(std::string_view text);
/// The address, without brackets: IPv4, IPv6 or `host-gateway`.
tl::expected<std::string, ParseError> parse_address(std::string_view text);
bool is_host_name(std::string_view text);

/// `OS`, `OS/ARCH` or `OS/ARCH/VARIANT`.
bool is_platform(std::string_view text);

/// Letters, digits, `.`, `_` and `-`, at least one.
bool is_plain_word(std::string_view text);

}  // namespace imagewright
