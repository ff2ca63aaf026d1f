#include "service/handed_over.h"

#include <fmt/format.h>

#include <chrono>
#include <deque>
#include <map>
#include <thread>

#include "io/error.h"
#include "io/interrupt.h"
#include "service/queue.h"

namespace imagewright {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kBetweenLooks{200};
constexpr std::size_t kLastLines = 20;

std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

ImageState image_state(JobState state) {
  switch (state) {
    case JobState::Succeeded:
      return ImageState::Built;
    case JobState::UpToDate:
      return ImageState::UpToDate;
    // What was asked for is not there.
    default:
      return ImageState::Failed;
  }
}

// One job, as far as it was told.
struct Followed {
  std::int64_t id = 0;
  std::string image;
  bool has_started = false;
  std::int64_t offset = 0;
  std::int64_t claim = 0;
  std::string line;  // that has not ended
  std::deque<std::string> last_lines;
};

class Follower {
 public:
  Follower(const ServerAddress& server, Progress& progress)
      : client_(server), progress_(progress) {}

  RunSummary go(const Project& project, const RunOptions& options) {
    const auto began = Clock::now();
    const Json triggered =
        client_.post("/api/v1/trigger", {{"images", options.images}, {"force", options.force}});
    std::vector<Followed> jobs;
    for (const Json& job : triggered.at("jobs")) {
      Followed one;
      one.id = job.at("id").get<std::int64_t>();
      one.image = text_of(job, "image");
      jobs.push_back(std::move(one));
    }
    progress_.run_started(project.config_path, triggered.at("images").size(), 0);
    for (const Json& image : triggered.at("images")) tell_without_job(image);
    while (!jobs.empty() && interrupted() == 0) {
      std::erase_if(jobs, [this](Followed& job) { return follow(job); });
      if (jobs.empty()) break;
      progress_.tick(std::nullopt);
      std::this_thread::sleep_for(kBetweenLooks);
    }
    summary_.signal = interrupted();
    if (summary_.signal != 0) progress_.warning("the server goes on with what it builds");
    summary_.duration = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
    progress_.run_finished(summary_);
    return std::move(summary_);
  }

 private:
  void end(ImageResult result) {
    progress_.image_finished(result);
    summary_.images.push_back(std::move(result));
  }

  void tell_without_job(const Json& image) {
    ImageResult result;
    result.name = text_of(image, "name");
    if (!image.at("jobs").empty()) return;
    const std::string state = text_of(image, "state");
    if (state == word(Standing::UpToDate)) {
      result.state = ImageState::UpToDate;
      result.image_id = text_of(image, "image_id");
    } else if (state == word(Standing::Unknown)) {
      result.state = ImageState::Failed;
      result.message = text_of(image, "message");
    } else {
      result.state = ImageState::Failed;
      result.message = "it is not queued: its last job, or that of what it stands on, says why";
    }
    progress_.image_started(result.name);
    end(std::move(result));
  }

  // True: it has ended.
  bool follow(Followed& job) {
    const Json now = client_.get(fmt::format("/api/v1/jobs/{}", job.id));
    const auto state = parse_job_state(text_of(now, "state")).value_or(JobState::Cancelled);
    if (state == JobState::Blocked || state == JobState::Queued) return false;
    if (!job.has_started) {
      job.has_started = true;
      progress_.image_started(job.image);
      progress_.build_started(job.image);
    }
    read_log(job);
    if (!is_final(state)) return false;
    if (!job.line.empty()) tell_line(job);
    ImageResult result;
    result.name = job.image;
    result.state = image_state(state);
    result.message = text_of(now, "message");
    if (result.message.empty()) result.message = word(state);
    result.image_id = text_of(now, "image_id");
    if (now.at("seconds").is_number())
      result.duration =
          milliseconds(static_cast<std::int64_t>(now.at("seconds").get<double>() * 1000));
    if (result.state == ImageState::Failed)
      result.last_lines.assign(job.last_lines.begin(), job.last_lines.end());
    end(std::move(result));
    return true;
  }

  void read_log(Followed& job) {
    while (true) {
      const LogPart part = client_.log(job.id, job.offset);
      if (job.claim != part.claim) {
        const bool is_anew = job.claim != 0 && job.offset != 0;
        job.claim = part.claim;
        if (is_anew) {
          job.offset = 0;
          job.line.clear();
          continue;
        }
      }
      if (part.bytes.empty()) return;
      job.offset = part.next;
      for (const char letter : part.bytes) {
        if (letter == '\n') {
          tell_line(job);
        } else {
          job.line += letter;
        }
      }
    }
  }

  void tell_line(Followed& job) {
    progress_.output(job.image, job.line);
    job.last_lines.push_back(job.line);
    if (job.last_lines.size() > kLastLines) job.last_lines.pop_front();
    job.line.clear();
  }

  ServerClient client_;
  Progress& progress_;
  RunSummary summary_;
};

}  // namespace

RunSummary build_by_server(const ServerAddress& server, const Project& project,
                           const RunOptions& options, Progress& progress) {
  if (options.clean)
    throw Error(Error::Kind::Usage,
                "a server has the state in " + project.state_directory.string() +
                    ", which is not emptied under it; end it first, or use --force");
  return Follower(server, progress).go(project, options);
}

}  // namespace imagewright
