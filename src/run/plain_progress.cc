#include <fmt/format.h>

#include <algorithm>

#include "run/progress.h"

namespace imagewright {

namespace {

class PlainProgress : public Progress {
 public:
  PlainProgress(std::FILE* out, std::FILE* err, bool quiet, bool summary)
      : out_(out), err_(err), quiet_(quiet), summary_(summary) {}

  void warning(const std::string& text) override {
    fmt::print(err_, "imagewright: warning: {}\n", without_controls(text));
  }

  void waiting(const std::filesystem::path& state_directory, int process_id) override {
    const std::string who = process_id > 0 ? fmt::format(" (process {})", process_id) : "";
    fmt::print(err_, "imagewright: waiting for another run{} to finish with the state in {}\n", who,
               state_directory.string());
  }

  void image_finished(const ImageResult& result) override {
    if (result.state == ImageState::Failed) return print_failure(result);
    if (quiet_ || result.state != ImageState::Built) return;
    if (result.dry_run) {
      fmt::print(out_, "would build {} ({})\n", result.name, describe(result.reasons));
    } else {
      fmt::print(out_, "built {} in {} ({})\n", result.name, describe(result.duration),
                 describe(result.reasons));
    }
    std::fflush(out_);
  }

  void row_retired(const std::string& name) override {
    if (!quiet_) fmt::print(out_, "forgot {} (no longer in the configuration)\n", name);
  }

  void run_finished(const RunSummary& summary) override {
    if (summary.signal != 0)
      fmt::print(err_, "imagewright: interrupted; finished builds are kept\n");
    if (summary_ && !quiet_)
      fmt::print(out_, "{} in {}\n", describe(summary), describe(summary.duration));
    std::fflush(out_);
  }

 private:
  void print_failure(const ImageResult& result) {
    fmt::print(err_, "failed {}: {}\n", result.name, without_controls(result.message));
    for (const std::string& line : result.last_lines)
      fmt::print(err_, "  | {}\n", without_controls(line));
    if (!result.log.empty()) fmt::print(err_, "  the whole log: {}\n", result.log.string());
  }

  std::FILE* out_;
  std::FILE* err_;
  bool quiet_;
  bool summary_;
};

}  // namespace

std::unique_ptr<Progress> make_plain_progress(std::FILE* out, std::FILE* err, bool quiet,
                                              bool summary) {
  return std::make_unique<PlainProgress>(out, err, quiet, summary);
}

std::size_t RunSummary::count(ImageState state) const {
  return static_cast<std::size_t>(
      std::count_if(images.begin(), images.end(),
                    [&](const ImageResult& image) { return image.state == state; }));
}

std::string describe(std::chrono::milliseconds duration) {
  const auto ms = duration.count();
  if (ms < 100) return fmt::format("{} ms", ms);
  if (ms < 60'000) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000);
  return fmt::format("{} min {} s", ms / 60'000, ms % 60'000 / 1000);
}

std::string describe(const RunSummary& summary) {
  const bool dry_run = std::any_of(summary.images.begin(), summary.images.end(),
                                   [](const ImageResult& image) { return image.dry_run; });
  std::string text;
  const auto add = [&](ImageState state, const char* word) {
    const std::size_t count = summary.count(state);
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, word);
  };
  add(ImageState::Built, dry_run ? "to build" : "built");
  add(ImageState::Failed, "failed");
  add(ImageState::Skipped, "skipped");
  add(ImageState::UpToDate, "up to date");
  return text.empty() ? "nothing to do" : text;
}

std::string without_controls(std::string_view line) {
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte == 0x1b && i + 1 < line.size() && line[i + 1] == '[') {
      // A control sequence: up to its final byte.
      i += 2;
      while (i < line.size() && (line[i] < 0x40 || line[i] > 0x7e)) ++i;
    } else if (byte == '\t') {
      text += ' ';
    } else if (byte >= 0x20 && byte != 0x7f) {
      text += line[i];
    }
  }
  return text;
}

}  // namespace imagewright
