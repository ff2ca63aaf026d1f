#include "service/service_log.h"

#include <fmt/format.h>

#include "io/wall_clock.h"
#include "run/json.h"
#include "run/progress.h"
#include "service/times.h"

namespace imagewright {

void ServiceLog::write(const char* level, const std::string& text,
                       const LogSubject& subject) const {
  const std::string time = utc_time(now_ms());
  std::string line;
  if (style_ == Style::Json) {
    Json json = {{"time", time}, {"level", level}};
    if (subject.job != 0) json["job"] = subject.job;
    if (subject.attempt != 0) json["attempt"] = subject.attempt;
    if (!subject.image.empty()) json["image"] = subject.image;
    json["message"] = text;
    line = dump(json, false);
  } else {
    line = fmt::format("{} {:<7} ", time, level);
    if (subject.job != 0) line += fmt::format("job {} ", subject.job);
    if (subject.attempt > 1) line += fmt::format("(attempt {}) ", subject.attempt);
    if (!subject.image.empty()) line += without_controls(subject.image) + ": ";
    line += without_controls(text);
  }
  const std::lock_guard lock(mutex_);
  line += '\n';
  // (A log that cannot be written ends nobody.)
  std::fwrite(line.data(), 1, line.size(), to_);
  std::fflush(to_);
}

}  // namespace imagewright
