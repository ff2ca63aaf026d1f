// Progress as plain lines: what was built or failed. Also the words that all ways of showing share.
#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"
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
    if (result.state == ImageState::Skipped && !result.because.empty()) {
      fmt::print(err_, "skipped {}: {}\n", result.name, why_skipped(result));
      return;
    }
    if (quiet_) return;
    if (!result.in_registry.empty()) {
      fmt::print(out_, "found {} in its registry ({})\n", result.name, result.in_registry);
      std::fflush(out_);
    }
    if (result.state != ImageState::Built) return;
    if (result.dry_run) {
      fmt::print(out_, "would build {} ({})\n", result.name, describe(result.reasons));
    } else {
      fmt::print(out_, "built {} in {} ({})\n", result.name, describe(result.duration),
                 describe(result.reasons));
    }
    std::fflush(out_);
  }

  void image_tagged(const std::string& name, const std::string& reference) override {
    if (!quiet_) fmt::print(out_, "tagged {} as {}\n", name, reference);
    std::fflush(out_);
  }

  void image_pushed(const std::string& /*name*/, const std::string& reference,
                    const std::string& digest) override {
    if (!quiet_) fmt::print(out_, "pushed {} ({})\n", reference, digest);
    std::fflush(out_);
  }

  void publishing_failed(const std::string& name, const std::string& reference,
                         const std::string& message) override {
    fmt::print(err_, "not published {} as {}: {}\n", name, reference, without_controls(message));
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

// (U+0080 to U+009F: terminals know the escape sequences' short forms among them.)
bool is_control(char32_t character) {
  return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

// The bytes of the escape sequence at the beginning.
std::size_t escape_length(std::string_view text) {
  const auto skip = [&](std::size_t at, char low, char high) {
    while (at < text.size() && text[at] >= low && text[at] <= high) ++at;
    return at;
  };
  const char kind = text.size() > 1 ? text[1] : '\0';
  std::size_t end = 0;
  if (kind == '[') {
    end = skip(skip(2, '0', '?'), ' ', '/');
  } else if (kind != '\0' && std::string_view("]PX^_").find(kind) != std::string_view::npos) {
    // A string, up to a bell or ESC \. One without an end is shown: it may be the whole line.
    const std::size_t bell = text.find('\a');
    const std::size_t terminator = text.find("\x1b\\", 1);
    if (bell == std::string_view::npos && terminator == std::string_view::npos) return 2;
    return bell < terminator ? bell + 1 : terminator + 2;
  } else {
    end = skip(1, ' ', '/');
  }
  const bool has_final = end < text.size() && text[end] >= '0' && text[end] <= '~';
  return has_final ? end + 1 : end;
}

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

std::string why_skipped(const ImageResult& result) {
  return result.because.empty() ? result.message : result.because + " failed";
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
  if (summary.publishing_failures > 0)
    text += fmt::format(", {} not published", summary.publishing_failures);
  return text.empty() ? "nothing to do" : text;
}

std::string without_controls(std::string_view line) {
  std::string text;
  while (!line.empty()) {
    const auto point = first_code_point(line);
    std::size_t length = point ? point->size : 1;
    if (!point) {
      text += "\uFFFD";
    } else if (point->value == 0x1b) {
      length = escape_length(line);
    } else if (point->value == '\t') {
      text += ' ';
    } else if (!is_control(point->value)) {
      text += line.substr(0, length);
    }
    line.remove_prefix(length);
  }
  return text;
}

}  // namespace imagewright
