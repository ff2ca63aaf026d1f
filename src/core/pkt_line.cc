#include "core/pkt_line.h"

#include <fmt/format.h>

#include <charconv>

namespace imagewright {

std::string packet(std::string_view text) {
  return fmt::format("{:04x}{}\n", text.size() + kPacketHeader + 1, text);
}

std::optional<Packet> take_packet(std::string_view& rest, bool& is_broken) {
  is_broken = false;
  if (rest.size() < kPacketHeader) return std::nullopt;
  std::size_t size = 0;
  const char* const begin = rest.data();
  const auto [end, error] = std::from_chars(begin, begin + kPacketHeader, size, 16);
  is_broken =
      error != std::errc() || end != begin + kPacketHeader || size == 3 || size > kLargestPacket;
  if (is_broken) return std::nullopt;
  if (size < kPacketHeader) {
    rest.remove_prefix(kPacketHeader);
    constexpr Packet::Kind kKinds[] = {Packet::Kind::Flush, Packet::Kind::Delimiter,
                                       Packet::Kind::ResponseEnd};
    return Packet{kKinds[size], {}};
  }
  if (size > rest.size()) return std::nullopt;
  const Packet packet{Packet::Kind::Text, rest.substr(kPacketHeader, size - kPacketHeader)};
  rest.remove_prefix(size);
  return packet;
}

}  // namespace imagewright
