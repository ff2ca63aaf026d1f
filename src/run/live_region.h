// The lower end of what is on a terminal: lines that are drawn over, and above them lines that
// stay. Knows nothing of what they say.
//
// Between frames the cursor rests, unseen, at the beginning of the first line that is drawn over.
// Whatever a terminal makes of the region when its size changes, the region is then what is from
// there on, and lasting lines are what is before.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/terminal.h"

namespace imagewright {

/// A line without control characters, in colours or not.
struct PaintedLine {
  /// `text` from byte `begin` on is shown by the parameters `paint` of SGR ("2": faint).
  struct Span {
    std::size_t begin = 0;
    const char* paint = "";  ///< "": as the terminal does
  };
  std::string text;
  std::vector<Span> spans;

  void add(std::string_view more, const char* paint = "");
};

class LiveRegion {
 public:
  /// The terminal must outlive it. Without `color` nothing is painted.
  LiveRegion(Terminal& terminal, bool color) : terminal_(terminal), color_(color) {}
  /// As close.
  ~LiveRegion() { close(); }
  LiveRegion(const LiveRegion&) = delete;
  LiveRegion& operator=(const LiveRegion&) = delete;

  /// Writes lines that stay above the region, and draws it anew: all of it in one write. `region`
  /// without lines: there is none from now on, the cursor is seen again, at a new line's beginning.
  /// Lines of the region are cut to the width, and those beyond the height left out.
  void show(const std::vector<PaintedLine>& lasting_lines, const std::vector<PaintedLine>& region);

  /// Removes the region, if there is one.
  void close();

 private:
  std::string painted(const PaintedLine& line, std::size_t begin, std::size_t end) const;
  std::string lasting(const PaintedLine& line, std::size_t columns) const;

  Terminal& terminal_;
  bool color_;
  bool is_open_ = false;
  TerminalSize drawn_at_;
};

}  // namespace imagewright
