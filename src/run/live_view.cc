#include "run/live_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/text_width.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;

constexpr std::array kSpinner = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
constexpr const char* kFaint = "2";
constexpr const char* kRed = "31";

constexpr std::size_t kWidestBar = 30;
constexpr std::size_t kNarrowestBar = 6;

// "59 s", "1 min 05 s", "1 h 02 min".
std::string elapsed(LiveRun::Clock::duration duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  return fmt::format("{} h {:02} min", seconds / 3600, seconds % 3600 / 60);
}

std::string repeated(std::string_view what, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += what;
  return text;
}

std::string filled(std::string text, std::size_t width) {
  const std::size_t taken = text_width(text);
  return taken < width ? std::move(text) + std::string(width - taken, ' ') : text;
}

// Of the same widths for names and times in all lines.
std::vector<PaintedLine> image_lines(const std::vector<LiveRun::Building>& images,
                                     LiveRun::Clock::time_point now, const char* spinner,
                                     std::size_t width) {
  std::size_t name_width = 0;
  std::size_t time_width = 0;
  std::vector<std::string> times;
  for (const LiveRun::Building& image : images) {
    times.push_back(elapsed(now - image.started));
    name_width = std::max(name_width, text_width(image.name));
    time_width = std::max(time_width, times.back().size());
  }
  // A name may take what the spinner and the time leave; where there is room for more, half of it.
  const std::size_t around = 2 + 1 + time_width;
  const std::size_t room = width > around ? width - around : 0;
  name_width = std::min(name_width, std::min(room, std::max<std::size_t>(width / 2, 40)));

  std::vector<PaintedLine> lines;
  for (std::size_t i = 0; i < images.size(); ++i) {
    PaintedLine& line = lines.emplace_back();
    line.add(fmt::format("{} {} {:>{}}", spinner,
                         filled(end_of(images[i].name, name_width), name_width), times[i],
                         time_width));
    const std::size_t taken = around + name_width + 1;
    if (taken < width && !images[i].line.empty()) {
      line.add(" ");
      line.add(cut_to_width(images[i].line, width - taken), kFaint);
    }
  }
  return lines;
}

struct Part {
  std::string text;
  const char* paint = "";
  int rank = 0;  // what goes first where there is no room for all has the highest
};

PaintedLine run_line(const LiveRun& run, LiveRun::Clock::time_point now, std::size_t width) {
  std::vector<Part> parts;
  parts.push_back({fmt::format("{}/{}", run.finished, run.images), "", 0});
  if (run.built > 0) parts.push_back({fmt::format("{} built", run.built), "", 3});
  if (run.failed > 0) parts.push_back({fmt::format("{} failed", run.failed), kRed, 1});
  parts.push_back({elapsed(now - run.started), kFaint, 4});
  if (run.remaining && *run.remaining > milliseconds(0))
    parts.push_back({"ETA " + about(*run.remaining), "", 2});

  const auto wanted = [&] {
    std::size_t columns = parts.size();  // a blank before each
    for (const Part& part : parts) columns += part.text.size();
    return columns;
  };
  while (wanted() + kNarrowestBar > width && parts.size() > 1) {
    parts.erase(std::max_element(parts.begin(), parts.end(),
                                 [](const Part& a, const Part& b) { return a.rank < b.rank; }));
  }

  PaintedLine line;
  if (wanted() + kNarrowestBar <= width) {
    const std::size_t bar = std::min(width - wanted(), kWidestBar);
    const std::size_t full =
        run.images == 0 ? 0 : bar * std::min(run.finished, run.images) / run.images;
    line.add(repeated("━", full));
    line.add(repeated("─", bar - full), kFaint);
  }
  for (const Part& part : parts) {
    if (!line.text.empty()) line.add(" ");
    line.add(part.text, part.paint);
  }
  return line;
}

}  // namespace

std::vector<PaintedLine> live_view(const LiveRun& run, LiveRun::Clock::time_point now,
                                   std::size_t turn, TerminalSize size) {
  const std::size_t width = size.columns - 1;
  const std::size_t rows = std::max<std::size_t>(size.rows, 2) - 1;
  std::size_t shown = run.building.size();
  if (shown + 1 > rows) shown = rows > 2 ? rows - 2 : 0;  // and a line that counts the others
  const std::vector<LiveRun::Building> images(
      run.building.begin(), run.building.begin() + static_cast<std::ptrdiff_t>(shown));
  std::vector<PaintedLine> lines =
      image_lines(images, now, kSpinner[turn % kSpinner.size()], width);
  const std::size_t others = run.building.size() - shown;
  if (others > 0 && rows > 1) {
    const std::string text = fmt::format("… and {} more", others);
    lines.emplace_back().add(text, kFaint);
  }
  lines.push_back(run_line(run, now, width));
  for (PaintedLine& line : lines) line.text = cut_to_width(line.text, width);
  return lines;
}

std::string about(milliseconds duration) {
  const auto seconds = (duration.count() + 999) / 1000;
  if (seconds < 60) return fmt::format("{} s", seconds);
  const auto minutes = (seconds + 30) / 60;
  if (minutes < 60) return fmt::format("{} min", minutes);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

}  // namespace imagewright
