// The lines of git's protocol: each with its length in four hexadecimal digits before it. Pure.
// Rules: git's Documentation/gitprotocol-common.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace imagewright {

inline constexpr std::string_view kFlushPacket = "0000";
inline constexpr std::string_view kDelimiterPacket = "0001";
inline constexpr std::size_t kPacketHeader = 4;
inline constexpr std::size_t kLargestPacket = 65520;  ///< bytes, with its header

/// A line as it is sent, with a line end.
std::string packet(std::string_view text);

struct Packet {
  enum class Kind { Text, Flush, Delimiter, ResponseEnd };
  Kind kind = Kind::Text;
  std::string_view text;  ///< as it was sent, with a line end if it has one
};

/// What of `rest` is the next packet, which is taken off it. nullopt: it is not all there yet
/// (`is_broken`: and never will be).
std::optional<Packet> take_packet(std::string_view& rest, bool& is_broken);

/// Without the line end that most have.
inline std::string_view line_of(const Packet& packet) {
  std::string_view line = packet.text;
  if (line.ends_with('\n')) line.remove_suffix(1);
  return line;
}

}  // namespace imagewright
