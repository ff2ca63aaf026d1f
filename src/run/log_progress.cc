// Progress as the original's log. Knows nothing of terminals.
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <list>
#include <vector>

#include "run/progress.h"

namespace imagewright {

namespace {

// The level in capitals, right-aligned to six columns, as in the original's format.
class LevelFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& to) override {
    const char* word = message.level == spdlog::level::debug  ? " DEBUG"
                       : message.level == spdlog::level::warn ? "WARNING"
                       : message.level == spdlog::level::err  ? " ERROR"
                                                              : "  INFO";
    to.append(std::string_view(word));
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelFlag>();
  }
};

class LogProgress : public Progress {
 public:
  explicit LogProgress(bool debug)
      : logger_("__main__", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<LevelFlag>('*').set_pattern("%Y-%m-%d %H:%M:%S,%e %n %* %v");
    logger_.set_formatter(std::move(formatter));
    logger_.set_level(debug ? spdlog::level::debug : spdlog::level::info);
    logger_.flush_on(spdlog::level::debug);
  }

  bool shows_steps() const override { return true; }
  void step(const std::string& text) override { logger_.info(without_controls(text)); }
  void warning(const std::string& text) override { logger_.warn(without_controls(text)); }

  void image_step(const std::string& name, const std::string& text) override {
    tell(name, spdlog::level::info, without_controls(text));
  }
  void image_detail(const std::string& name, const std::string& text) override {
    tell(name, spdlog::level::debug, without_controls(text));
  }

  void waiting(const std::filesystem::path& state_directory, int process_id) override {
    const std::string who = process_id > 0 ? fmt::format(" (process {})", process_id) : "";
    logger_.info("Waiting for another run{} to finish with the state in {}", who,
                 state_directory.string());
  }

  void image_started(const std::string& name) override {
    tell(name, spdlog::level::info, "Working on " + name);
  }

  void image_decided(const std::string& name, const Verdict& verdict) override {
    tell(name, spdlog::level::info, verdict.build() ? "Build? True" : "Build? False");
    if (verdict.build()) tell(name, spdlog::level::info, "Because: " + describe(verdict.reasons));
  }

  void output(const std::string& name, std::string_view line) override {
    tell(name, spdlog::level::info, without_controls(line));
  }

  void image_finished(const ImageResult& result) override {
    const auto tell_end = [&](spdlog::level::level_enum level, const std::string& text) {
      tell(result.name, level, text);
    };
    if (result.state == ImageState::Failed) {
      tell_end(spdlog::level::err,
               fmt::format("Failed {}: {}", result.name, without_controls(result.message)));
    }
    if (result.state == ImageState::Skipped)
      tell_end(spdlog::level::info,
               fmt::format("Skipped {}: {}", result.name, why_skipped(result)));
    if (result.state == ImageState::Built) {
      tell_end(spdlog::level::info,
               fmt::format("{} {} in {}", result.dry_run ? "Would build" : "Built", result.name,
                           describe(result.duration)));
    }
    if (!result.in_registry.empty()) {
      tell_end(spdlog::level::info,
               fmt::format("Found {} in its registry: {}", result.name, result.in_registry));
    }
    if (!result.image_id.empty()) tell_end(spdlog::level::debug, "Image id " + result.image_id);
    if (!result.log.empty()) tell_end(spdlog::level::info, "Log in " + result.log.string());
    end_story(result.name);
  }

  void image_tagged(const std::string& name, const std::string& reference) override {
    logger_.info("Tagged {} as {}", name, reference);
  }

  void image_pushed(const std::string& /*name*/, const std::string& reference,
                    const std::string& digest) override {
    logger_.info("Pushed {}: {}", reference, digest);
  }

  void publishing_failed(const std::string& name, const std::string& reference,
                         const std::string& message) override {
    logger_.error("Not published {} as {}: {}", name, reference, without_controls(message));
  }

  void row_retired(const std::string& name) override {
    logger_.info("Cleaned up stale row {}", name);
  }

  void run_finished(const RunSummary& summary) override {
    logger_.info("Done: {} in {}", describe(summary), describe(summary.duration));
  }

 private:
  struct Line {
    spdlog::level::level_enum level;
    std::string text;
  };

  // An image's story is told whole: those of others that go on meanwhile wait for its end.
  struct Story {
    std::string name;
    std::vector<Line> lines;  // that wait
    bool has_ended = false;
  };

  void tell(const std::string& name, spdlog::level::level_enum level, std::string text) {
    auto story = find(name);
    if (story == stories_.end()) story = stories_.insert(stories_.end(), {name, {}, false});
    if (story == stories_.begin()) {
      logger_.log(level, text);
    } else {
      story->lines.push_back({level, std::move(text)});
    }
  }

  std::list<Story>::iterator find(const std::string& name) {
    return std::find_if(stories_.begin(), stories_.end(),
                        [&](const Story& story) { return story.name == name; });
  }

  // Then come those that ended meanwhile, and the first of the others goes on.
  void end_story(const std::string& name) {
    if (const auto story = find(name); story != stories_.end()) story->has_ended = true;
    if (stories_.empty() || !stories_.front().has_ended) return;
    stories_.pop_front();
    for (auto story = stories_.begin(); story != stories_.end();) {
      if (!story->has_ended) {
        ++story;
        continue;
      }
      tell_waiting(*story);
      story = stories_.erase(story);
    }
    if (!stories_.empty()) tell_waiting(stories_.front());
  }

  void tell_waiting(Story& story) {
    for (const Line& line : story.lines) logger_.log(line.level, line.text);
    story.lines.clear();
  }

  std::list<Story> stories_;  // the first one is being told
  spdlog::logger logger_;
};

}  // namespace

std::unique_ptr<Progress> make_log_progress(bool debug) {
  return std::make_unique<LogProgress>(debug);
}

}  // namespace imagewright
