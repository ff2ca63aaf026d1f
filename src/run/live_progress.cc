// Progress on a terminal: what is finished as lasting lines, what goes on below them. Says when
// there is something to draw; live_view says what, live_region draws it.
#include <algorithm>
#include <cstdlib>
#include <new>

#include "io/terminal.h"
#include "run/live_region.h"
#include "run/live_view.h"
#include "run/progress.h"

namespace imagewright {

namespace {

using Clock = LiveRun::Clock;
using std::chrono::milliseconds;

constexpr milliseconds kBetweenFrames{85};

// A stream into memory.
class Collected {
 public:
  Collected() : stream_(open_memstream(&text_, &size_)) {
    if (stream_ == nullptr) throw std::bad_alloc();
  }
  ~Collected() {
    std::fclose(stream_);
    std::free(text_);
  }
  Collected(const Collected&) = delete;
  Collected& operator=(const Collected&) = delete;

  std::FILE* stream() { return stream_; }

  /// The lines since the last time.
  std::vector<std::string> take() {
    std::fflush(stream_);
    std::string_view rest(text_, size_);
    std::vector<std::string> lines;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      lines.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    std::rewind(stream_);
    return lines;
  }

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* stream_;
};

class LiveProgress : public Progress {
 public:
  LiveProgress(std::FILE* terminal, bool color)
      : terminal_(terminal),
        region_(terminal_, color),
        plain_(make_plain_progress(words_.stream(), words_.stream(), false, true)) {}

  void warning(const std::string& text) override {
    plain_->warning(text);
    show_words();
  }

  void waiting(const std::filesystem::path& state_directory, int process_id) override {
    plain_->waiting(state_directory, process_id);
    show_words();
  }

  void run_started(const std::filesystem::path&, std::size_t images, std::size_t) override {
    run_ = {};
    run_.images = images;
    run_.started = Clock::now();
    has_built_ = false;
  }

  void build_started(const std::string& name) override {
    run_.building.push_back({name, "", Clock::now()});
    has_built_ = true;
    draw();
  }

  void output(const std::string& name, std::string_view line) override {
    const auto image = find(name);
    if (image == run_.building.end()) return;
    if (std::string shown = without_controls(line); !shown.empty()) image->line = std::move(shown);
  }

  void tick(std::optional<milliseconds> remaining) override {
    run_.remaining = remaining;
    draw();
  }

  void image_finished(const ImageResult& result) override {
    if (const auto image = find(result.name); image != run_.building.end())
      run_.building.erase(image);
    ++run_.finished;
    if (result.state == ImageState::Built) ++run_.built;
    if (result.state == ImageState::Failed) ++run_.failed;
    plain_->image_finished(result);
    show_words(result.state == ImageState::Failed ? "31" : "");
  }

  void image_tagged(const std::string& name, const std::string& reference) override {
    plain_->image_tagged(name, reference);
    show_words();
  }

  void image_pushed(const std::string& name, const std::string& reference,
                    const std::string& digest) override {
    plain_->image_pushed(name, reference, digest);
    show_words();
  }

  void publishing_failed(const std::string& name, const std::string& reference,
                         const std::string& message) override {
    plain_->publishing_failed(name, reference, message);
    show_words("31");
  }

  void row_retired(const std::string& name) override {
    plain_->row_retired(name);
    show_words();
  }

  void run_finished(const RunSummary& summary) override {
    has_built_ = false;
    plain_->run_finished(summary);
    show_words();
    region_.close();
    terminal_.flush();
  }

 private:
  std::vector<LiveRun::Building>::iterator find(const std::string& name) {
    return std::find_if(run_.building.begin(), run_.building.end(),
                        [&](const LiveRun::Building& image) { return image.name == name; });
  }

  // What the plain way of showing has said, at once; if it said nothing, the region in its time.
  void show_words(const char* paint = "") {
    std::vector<PaintedLine> lines;
    for (const std::string& line : words_.take())
      lines.emplace_back().add(without_controls(line), paint);
    if (lines.empty()) return draw();
    // Lines that stay are never left out; the region is, while the terminal does not keep up.
    region_.show(lines, terminal_.keeps_up() ? view() : std::vector<PaintedLine>());
  }

  void draw() {
    const auto now = Clock::now();
    if (!has_built_ || now - drawn_ < kBetweenFrames || !terminal_.keeps_up()) return;
    region_.show({}, view());
  }

  std::vector<PaintedLine> view() {
    // (With the last image there is nothing more to wait for.)
    if (!has_built_ || (run_.building.empty() && run_.finished == run_.images)) return {};
    drawn_ = Clock::now();
    return live_view(run_, drawn_, turn_++, terminal_.size());
  }

  Terminal terminal_;
  LiveRegion region_;
  Collected words_;
  std::unique_ptr<Progress> plain_;  // writes words_
  LiveRun run_;
  Clock::time_point drawn_;
  std::size_t turn_ = 0;
  bool has_built_ = false;  // until then nothing is drawn
};

}  // namespace

std::unique_ptr<Progress> make_live_progress(std::FILE* terminal, bool color) {
  return std::make_unique<LiveProgress>(terminal, color);
}

}  // namespace imagewright
