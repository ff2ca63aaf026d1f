#include "service/job_progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/error.h"
#include "run/json.h"

namespace imagewright {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBetweenWrites = std::chrono::milliseconds(250);
constexpr std::size_t kMostWaiting = std::size_t{64} << 10;

}  // namespace

JobProgress::JobProgress(Queue& queue, const Job& job, const Unit& unit, const ServiceLog& log,
                         Looking& looking, std::atomic<bool>& stop)
    : queue_(queue),
      job_(job),
      unit_(unit),
      log_(log),
      looking_(looking),
      stop_(stop),
      flushed_(Clock::now()) {}

bool JobProgress::is_ours(const std::string& name) const {
  return std::find(unit_.images.begin(), unit_.images.end(), name) != unit_.images.end();
}

void JobProgress::add_line(const std::string& text) {
  waiting_ += text + '\n';
  if (waiting_.size() >= kMostWaiting) flush();
}

// Where a job has several images, each line says of which one it is.
void JobProgress::tell(const std::string& name, std::string_view text) {
  add_line(unit_.images.size() > 1 ? fmt::format("{}: {}", name, text) : std::string(text));
}

void JobProgress::warning(const std::string& text) {
  add_line("warning: " + text);
  log_.warning(text, {job_.id, job_.attempts, job_.image});
}

void JobProgress::image_inputs(const std::string& name, const std::string& digest) {
  if (is_ours(name)) inputs_ = digest;
}

void JobProgress::image_decided(const std::string& name, const Verdict& verdict) {
  if (!verdict.build() || !is_ours(name)) return;
  const std::string reasons = describe(verdict.reasons);
  tell(name, "building: " + reasons);
  log_.info("building: " + reasons, {job_.id, job_.attempts, name});
  if (unit_.images.size() > 1) return flush();
  try {
    take(queue_.set_inputs(job_.id, job_.fence, inputs_, reasons,
                           dump(to_json(verdict.reasons), false)));
  } catch (const Error& error) {
    log_.error(error.what(), {job_.id, job_.attempts, job_.image});
  }
  looking_.end(unit_.name, job_.fence);
  flush();
}

void JobProgress::output(const std::string& name, std::string_view line) {
  tell(name, line);
}

void JobProgress::tick(std::optional<std::chrono::milliseconds> /*remaining*/) {
  if (Clock::now() - flushed_ >= kBetweenWrites) flush();
}

void JobProgress::image_finished(const ImageResult& result) {
  if (!is_ours(result.name)) return;
  switch (result.state) {
    case ImageState::Built:
      return tell(result.name,
                  fmt::format("built in {}: {}", describe(result.duration), result.image_id));
    case ImageState::UpToDate:
      return tell(result.name, "up to date: " + result.image_id);
    case ImageState::Failed:
      return tell(result.name, "failed: " + result.message);
    default:
      return tell(result.name, "not built: " + why_skipped(result));
  }
}

void JobProgress::image_tagged(const std::string& name, const std::string& reference) {
  tell(name, "tagged as " + reference);
}

void JobProgress::image_pushed(const std::string& name, const std::string& reference,
                               const std::string& digest) {
  tell(name, fmt::format("pushed as {}: {}", reference, digest));
  log_.info(fmt::format("pushed as {}: {}", reference, digest), {job_.id, job_.attempts, name});
}

void JobProgress::publishing_failed(const std::string& name, const std::string& reference,
                                    const std::string& message) {
  const std::string text = fmt::format("not published as {}: {}", reference, message);
  tell(name, text);
  if (publishing_failure_.empty()) publishing_failure_ = text;
}

void JobProgress::flush() {
  flushed_ = Clock::now();
  if (waiting_.empty() || is_lost_) return;
  try {
    if (!queue_.append_log(job_.id, job_.fence, written_, waiting_)) return take({});
    written_ += static_cast<std::int64_t>(waiting_.size());
    waiting_.clear();
    told_.clear();
  } catch (const Error& error) {
    // The build goes on, and its log waits.
    if (told_ != error.what()) log_.error(error.what(), {job_.id, job_.attempts, job_.image});
    told_ = error.what();
  }
}

void JobProgress::take(const Held& held) {
  if (!held.held) is_lost_ = true;
  if (!held.held || held.cancel_asked) stop_ = true;
}

}  // namespace imagewright
