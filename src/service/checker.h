// Looks at all images whenever something may have changed, and puts what is to be built into the
// queue. Builds nothing, and decides as a run does (run/review).
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "io/watch.h"
#include "run/review.h"
#include "run/run.h"
#include "run/watch.h"
#include "service/current.h"
#include "service/local_builder.h"
#include "service/looking.h"
#include "service/queue.h"
#include "service/service_log.h"
#include "service/shared_answers.h"

namespace imagewright {

/// What the last look saw.
struct Looked {
  std::int64_t at_ms = 0;  ///< since 1970, UTC: when it was done; 0: there was none yet
  /// Of each unit, those that its images stand on.
  std::map<std::string, std::set<std::string>> parents;
  std::vector<ImageStatus> images;  ///< in the file's order
  std::string problem;              ///< why the look failed; "": it did not
  std::string config_problem;       ///< why the configuration is an older one; "": it is not
};

class Checker {
 public:
  /// Borrows `looking`, `current`, which it sets when the configuration was read
  /// anew, `shared` (nullptr: there is nobody to share with), and `log`.
  Checker(LoadProject load, RunOptions options, WatchTimes times, OpenQueue open, Current& current,
          const Looking& looking, SharedAnswers* shared, const ServiceLog& log);
  ~Checker();
  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;

  /// From now on it looks.
  void begin();
  /// Look soon: something has ended, or somebody says that something has changed. From any thread.
  void look();
  /// Read the configuration anew, and look.
  void reload();
  /// No further look.
  void stop();

  /// The last one. From any thread.
  std::shared_ptr<const Looked> looked() const;
  /// Waits until a look that began after this call has ended, or for so long.
  bool wait_for_look(std::chrono::milliseconds most);

 private:
  void go();
  void read_configuration(bool tell);
  void look_once(Queue& queue);
  void retire(const Served& served);
  void enqueue(Queue& queue, const Served& served, const std::vector<Reviewed>& images,
               std::int64_t look_began_ms);
  bool put_one(Queue& queue, const NewJob& job);
  std::chrono::milliseconds interval() const;
  std::vector<Reviewed> look_and_share(Review& review);
  void try_to_share(const std::function<void()>& step);

  LoadProject load_;
  RunOptions options_;
  WatchTimes times_;
  OpenQueue open_;
  Current& current_;
  const Looking& looking_;
  SharedAnswers* shared_;
  const ServiceLog& log_;
  Watch watch_;
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  std::shared_ptr<const Looked> looked_;
  std::string config_problem_;
  std::uint64_t begun_ = 0;  // looks
  std::uint64_t done_ = 0;
  std::atomic<bool> must_reload_{false};
  std::atomic<bool> is_stopped_{false};
  bool any_left_ = false;                  // to others, who are to say soon
  std::set<std::string> told_;             // what was wrong in the last look
  std::shared_ptr<const Served> retired_;  // for which images that left went
  std::thread thread_;
};

}  // namespace imagewright
