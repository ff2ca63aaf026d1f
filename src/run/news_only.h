// Many runs one after the other, of which only those are shown in which something happens. Knows
// nothing of how they are shown.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "run/progress.h"

namespace imagewright {

/// Holds back what it is told of a run until something happens in it: a build, a name set, a
/// failure or a warning that the run before did not have, the end of a failure. From then on the
/// run is shown.
class NewsOnly : public Progress {
 public:
  /// Borrows it.
  explicit NewsOnly(Progress& shown) : shown_(shown) {}

  /// A run begins. `all`: it is shown whatever happens.
  void begin(bool all);

  bool shows_steps() const override { return shown_.shows_steps(); }
  void step(const std::string& text) override;
  void image_step(const std::string& name, const std::string& text) override;
  void image_detail(const std::string& name, const std::string& text) override;
  void warning(const std::string& text) override;
  void waiting(const std::filesystem::path& state_directory, int process_id) override;
  void run_started(const std::filesystem::path& config, std::size_t images,
                   std::size_t jobs) override;
  void image_started(const std::string& name) override;
  void image_decided(const std::string& name, const Verdict& verdict) override;
  void build_started(const std::string& name) override;
  void output(const std::string& name, std::string_view line) override;
  void tick(std::optional<std::chrono::milliseconds> remaining) override;
  void image_finished(const ImageResult& result) override;
  void image_tagged(const std::string& name, const std::string& reference) override;
  void image_pushed(const std::string& name, const std::string& reference,
                    const std::string& digest) override;
  void publishing_failed(const std::string& name, const std::string& reference,
                         const std::string& message) override;
  void row_retired(const std::string& name) override;
  void run_finished(const RunSummary& summary) override;

 private:
  using Call = std::function<void(Progress& to)>;

  void tell(Call call);
  void tell_once(std::string what, Call call);
  void happens();

  Progress& shown_;
  bool is_open_ = false;
  std::vector<Call> held_back_;
  std::set<std::string> told_;         // what went wrong in this run
  std::set<std::string> told_before_;  // in the last one
};

}  // namespace imagewright
