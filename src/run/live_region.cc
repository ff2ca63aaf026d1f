#include "run/live_region.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/text_width.h"

namespace imagewright {

namespace {

constexpr std::string_view kEraseRestOfLine = "\x1b[K";
constexpr std::string_view kEraseBelow = "\x1b[J";  // and the rest of the line
constexpr std::string_view kBeginUpdate = "\x1b[?2026h";
constexpr std::string_view kEndUpdate = "\x1b[?2026l";
constexpr std::string_view kHideCursor = "\x1b[?25l";
constexpr std::string_view kShowCursor = "\x1b[?25h";
constexpr std::string_view kNoWrapping = "\x1b[?7l";
constexpr std::string_view kWrapping = "\x1b[?7h";
// Between two frames this removes the region, however high it is.
constexpr const char* kLeave = "\r\x1b[?2026h\x1b[J\x1b[?25h\x1b[?2026l";

}  // namespace

void PaintedLine::add(std::string_view more, const char* paint) {
  const char* now = spans.empty() ? "" : spans.back().paint;
  if (std::string_view(now) != paint) spans.push_back({text.size(), paint});
  text += more;
}

void LiveRegion::show(const std::vector<PaintedLine>& lasting_lines,
                      const std::vector<PaintedLine>& region) {
  if (region.empty() && !is_open_) {
    std::string plain;
    for (const PaintedLine& line : lasting_lines)
      plain += painted(line, 0, line.text.size()) + "\n";
    if (!plain.empty()) terminal_.write(plain);
    return;
  }
  const TerminalSize size = terminal_.size();
  std::string frame(kBeginUpdate);
  frame += kHideCursor;
  frame += '\r';
  // What a terminal broke into rows at another width, it may hold for one line as long as the rows
  // are only written over.
  if (is_open_ && size != drawn_at_) frame += kEraseBelow;
  drawn_at_ = size;
  for (const PaintedLine& line : lasting_lines) frame += lasting(line, size.columns);
  frame += kNoWrapping;
  // The first line must not leave the screen, so there is always one row for what stays.
  const std::size_t count = std::min(region.size(), std::max<std::size_t>(size.rows, 2) - 1);
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) frame.append(kEraseRestOfLine).append("\n");
    // (A column stays free: erasing in the last one takes what was just written there.)
    frame += painted(region[i], 0, cut_to_width(region[i].text, size.columns - 1).size());
  }
  frame += kEraseBelow;
  if (count > 1) frame += fmt::format("\x1b[{}A", count - 1);
  if (count > 0) frame += '\r';
  frame += kWrapping;
  if (is_open_ != (count > 0)) terminal_.when_stopped(count > 0 ? kLeave : nullptr);
  is_open_ = count > 0;
  if (!is_open_) frame += kShowCursor;
  frame += kEndUpdate;
  terminal_.write(frame);
}

void LiveRegion::close() {
  if (is_open_) show({}, {});
}

// The bytes from `begin` to `end`.
std::string LiveRegion::painted(const PaintedLine& line, std::size_t begin, std::size_t end) const {
  const std::string_view text = line.text;
  if (!color_ || line.spans.empty()) return std::string(text.substr(begin, end - begin));
  std::string painted;
  const auto add = [&](std::size_t from, std::size_t to, std::string_view paint) {
    from = std::max(from, begin);
    to = std::min(to, end);
    if (from >= to) return;
    const std::string_view part = text.substr(from, to - from);
    painted += paint.empty() ? std::string(part) : fmt::format("\x1b[{}m{}\x1b[0m", paint, part);
  };
  add(0, line.spans[0].begin, "");
  for (std::size_t i = 0; i < line.spans.size(); ++i) {
    const bool is_last = i + 1 == line.spans.size();
    add(line.spans[i].begin, is_last ? text.size() : line.spans[i + 1].begin, line.spans[i].paint);
  }
  return painted;
}

// In as many rows as it takes, each of them without a rest of what was there: there is nothing to
// erase in a row that is full, and erasing at its end would take its last character.
std::string LiveRegion::lasting(const PaintedLine& line, std::size_t columns) const {
  std::string bytes;
  std::size_t begin = 0;
  do {
    const std::string_view rest = std::string_view(line.text).substr(begin);
    std::string_view row = cut_to_width(rest, columns);
    if (row.empty() && !rest.empty()) row = rest.substr(0, first_glyph(rest).size);
    bytes += painted(line, begin, begin + row.size());
    if (text_width(row) < columns) bytes += kEraseRestOfLine;
    begin += row.size();
  } while (begin < line.text.size());
  return bytes + "\n";
}

}  // namespace imagewright
