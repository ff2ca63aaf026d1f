// Progress on a terminal: lasting lines, and below them one live line that is drawn over. Knows its
// width, not its height.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>

#include "run/progress.h"

namespace imagewright {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array kSpinner = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
constexpr std::size_t kUnknownWidth = 80;

std::size_t columns(std::FILE* terminal) {
  winsize size = {};
  if (ioctl(fileno(terminal), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUnknownWidth;
  return size.ws_col;
}

// The first `width` code points. (A wide character takes two columns; then the line is shorter than
// it could be said to be, and the terminal wraps nothing, because wrapping is off while we draw.)
std::string cut(const std::string& text, std::size_t width) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (begins && seen++ == width) return text.substr(0, i);
  }
  return text;
}

class LiveProgress : public Progress {
 public:
  LiveProgress(std::FILE* terminal, bool color)
      : terminal_(terminal),
        color_(color),
        plain_(make_plain_progress(terminal, terminal, false, true)) {}

  ~LiveProgress() override { clear(); }

  void warning(const std::string& text) override {
    clear();
    plain_->warning(text);
  }

  void waiting(const std::filesystem::path& state_directory, int process_id) override {
    clear();
    plain_->waiting(state_directory, process_id);
    std::fflush(terminal_);
  }

  void run_started(const std::filesystem::path&, std::size_t images, std::size_t) override {
    images_ = images;
  }

  void image_started(const std::string& name) override {
    ++position_;
    name_ = name;
    line_ = "looking at its inputs";
    started_ = Clock::now();
  }

  void image_decided(const std::string&, const Verdict& verdict) override {
    line_ = describe(verdict.reasons);
  }

  void build_started(const std::string&) override { draw(); }

  void output(const std::string&, std::string_view line) override {
    if (std::string shown = without_controls(line); !shown.empty()) line_ = std::move(shown);
  }

  void tick(std::optional<std::chrono::milliseconds>) override { draw(); }

  void image_finished(const ImageResult& result) override {
    clear();
    if (color_ && result.state == ImageState::Failed) fmt::print(terminal_, "\x1b[31m");
    plain_->image_finished(result);
    if (color_ && result.state == ImageState::Failed) fmt::print(terminal_, "\x1b[0m");
    std::fflush(terminal_);
  }

  void row_retired(const std::string& name) override { plain_->row_retired(name); }

  void run_finished(const RunSummary& summary) override {
    clear();
    plain_->run_finished(summary);
  }

 private:
  void draw() {
    const auto now = Clock::now();
    if (now - drawn_ < std::chrono::milliseconds(80)) return;
    drawn_ = now;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - started_).count();
    spin_ = (spin_ + 1) % kSpinner.size();
    const std::string head =
        fmt::format("{} [{}/{}] {} {} s ", kSpinner[spin_], position_, images_, name_, seconds);
    const std::string text = cut(head + line_, columns(terminal_) - 1);
    // One write: back to the line's start, no wrapping, the text, the rest cleared, wrapping on
    // again.
    std::string frame = "\r\x1b[?7l";
    if (color_) frame += "\x1b[2m";
    frame += text;
    if (color_) frame += "\x1b[0m";
    frame += "\x1b[K\x1b[?7h";
    std::fwrite(frame.data(), 1, frame.size(), terminal_);
    std::fflush(terminal_);
    drawn_once_ = true;
  }

  void clear() {
    if (drawn_once_) fmt::print(terminal_, "\r\x1b[K");
    drawn_once_ = false;
    std::fflush(terminal_);
  }

  std::FILE* terminal_;
  bool color_;
  std::unique_ptr<Progress> plain_;  // what stays when the live line is gone
  std::size_t images_ = 0;
  std::size_t position_ = 0;
  std::string name_;
  std::string line_;
  Clock::time_point started_;
  Clock::time_point drawn_;
  std::size_t spin_ = 0;
  bool drawn_once_ = false;
};

}  // namespace

std::unique_ptr<Progress> make_live_progress(std::FILE* terminal, bool color) {
  return std::make_unique<LiveProgress>(terminal, color);
}

}  // namespace imagewright
