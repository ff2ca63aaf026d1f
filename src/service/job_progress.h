// What a run tells of one job's images, as the job's log in the queue. Notices when the job was
// lost, or is to be cancelled.
#pragma once

#include <atomic>
#include <chrono>
#include <string>

#include "run/progress.h"
#include "service/looking.h"
#include "service/queue.h"
#include "service/service_log.h"
#include "service/units.h"

namespace imagewright {

/// One thread's, as a run's progress is.
class JobProgress : public Progress {
 public:
  /// Borrows all of them. `looking` has the unit until it is decided that it is to be built. `stop`
  /// becomes true when the job is not ours any more, or is to end.
  JobProgress(Queue& queue, const Job& job, const Unit& unit, const ServiceLog& log,
              Looking& looking, std::atomic<bool>& stop);

  void warning(const std::string& text) override;
  void waiting(const std::filesystem::path&, int) override {}
  void image_inputs(const std::string& name, const std::string& digest) override;
  void image_decided(const std::string& name, const Verdict& verdict) override;
  void output(const std::string& name, std::string_view line) override;
  void tick(std::optional<std::chrono::milliseconds> remaining) override;
  void image_finished(const ImageResult& result) override;
  void image_tagged(const std::string& name, const std::string& reference) override;
  void image_pushed(const std::string& name, const std::string& reference,
                    const std::string& digest) override;
  void publishing_failed(const std::string& name, const std::string& reference,
                         const std::string& message) override;

  /// A line of the job's log that no run tells.
  void add_line(const std::string& text);
  /// Writes what is not in the queue yet. Where that cannot be, it waits for the next time.
  void flush();

  /// Somebody else has the job, or it has ended.
  bool is_lost() const { return is_lost_; }
  /// Why something could not be published, the first of all; "": nothing went wrong.
  const std::string& publishing_failure() const { return publishing_failure_; }

 private:
  bool is_ours(const std::string& name) const;
  void tell(const std::string& name, std::string_view text);
  void take(const Held& held);

  Queue& queue_;
  const Job& job_;
  const Unit& unit_;
  const ServiceLog& log_;
  Looking& looking_;
  std::atomic<bool>& stop_;
  std::string waiting_;  // bytes of the log that are not in the queue yet
  std::int64_t written_ = 0;
  std::chrono::steady_clock::time_point flushed_;
  std::string inputs_;
  std::string publishing_failure_;
  bool is_lost_ = false;
  std::string told_;  // that the queue could not be written
};

}  // namespace imagewright
