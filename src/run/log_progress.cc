// Progress as the original's log. Knows nothing of terminals.
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <set>

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
  void detail(const std::string& text) override { logger_.debug(without_controls(text)); }
  void warning(const std::string& text) override { logger_.warn(without_controls(text)); }

  void waiting(const std::filesystem::path& state_directory, int process_id) override {
    const std::string who = process_id > 0 ? fmt::format(" (process {})", process_id) : "";
    logger_.info("Waiting for another run{} to finish with the state in {}", who,
                 state_directory.string());
  }

  void image_started(const std::string& name) override { logger_.info("Working on {}", name); }

  void image_decided(const std::string&, const Verdict& verdict) override {
    logger_.info("Build? {}", verdict.build() ? "True" : "False");
    if (verdict.build()) logger_.info("Because: {}", describe(verdict.reasons));
  }

  void build_started(const std::string& name) override { building_.insert(name); }

  void output(const std::string& name, std::string_view line) override {
    // Whose it is goes without saying where one is built at a time.
    const std::string whose = building_.size() > 1 ? name + ": " : "";
    logger_.info(whose + without_controls(line));
  }

  void image_finished(const ImageResult& result) override {
    building_.erase(result.name);
    if (result.state == ImageState::Failed)
      logger_.error("Failed {}: {}", result.name, without_controls(result.message));
    if (result.state == ImageState::Skipped)
      logger_.info("Skipped {}: {}", result.name, why_skipped(result));
    if (result.state == ImageState::Built) {
      logger_.info("{} {} in {}", result.dry_run ? "Would build" : "Built", result.name,
                   describe(result.duration));
    }
    if (!result.image_id.empty()) logger_.debug("Image id {}", result.image_id);
    if (!result.log.empty()) logger_.info("Log in {}", result.log.string());
  }

  void row_retired(const std::string& name) override {
    logger_.info("Cleaned up stale row {}", name);
  }

  void run_finished(const RunSummary& summary) override {
    logger_.info("Done: {} in {}", describe(summary), describe(summary.duration));
  }

 private:
  spdlog::logger logger_;
  std::set<std::string> building_;
};

}  // namespace

std::unique_ptr<Progress> make_log_progress(bool debug) {
  return std::make_unique<LogProgress>(debug);
}

}  // namespace imagewright
