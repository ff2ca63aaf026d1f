// Setting names and pushing, by a few threads beside the builds. What they have to tell is handed
// to the run's thread (run/inbox). Knows nothing of what is to be published.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "io/engine.h"
#include "io/store.h"
#include "run/inbox.h"
#include "run/publish.h"

namespace imagewright {

/// For the thread that serves the inbox. It goes on to serve it until this is idle.
class Publishing {
 public:
  /// What happened, told by that thread. `name`: of the image in the configuration.
  struct Told {
    std::function<void(const std::string& name, const std::string& reference)> tagged;
    std::function<void(const std::string& name, const std::string& reference,
                       const PublishedRow& row)>
        pushed;
    /// It is there already; or it is kept under the reference that says what it was built from.
    std::function<void(const std::string& name, const std::string& reference,
                       const PublishedRow& row)>
        there;
    std::function<void(const std::string& name, const std::string& reference,
                       const std::string& message)>
        failed;
    /// What was pushed with this manifest is in a registry no more.
    std::function<void(const std::string& manifest)> lost;
    /// The engine cannot be used at all.
    std::function<void(std::exception_ptr error)> broken;
  };

  /// Borrows all of them.
  Publishing(Engine& engine, const Publisher& publisher, Inbox& inbox, Told told);
  ~Publishing();
  Publishing(const Publishing&) = delete;
  Publishing& operator=(const Publishing&) = delete;

  /// Names, then pushes; nothing is pushed of an image that could not be named.
  void start(Publication publication);
  /// Puts an index under its references.
  void start(IndexPublication index);
  /// The names of all of them, and only if all could be set, the pushes.
  /// `all_named` is told by that thread, then.
  void start_together(std::vector<Publication> publications, std::function<void()> all_named);

  bool idle() const { return open_ == 0; }

 private:
  void put(std::function<void()> work);
  void work();
  bool tag(const Publication& publication);
  void push(Publication publication);
  void keep(const Publication& publication, std::string manifest);
  PushOutcome push(const Publication& publication, const std::string& reference);

  Engine& engine_;
  const Publisher& publisher_;
  Inbox& inbox_;
  Told told_;
  std::size_t open_ = 0;  // what was started and has not ended
  std::mutex mutex_;      // of what follows
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace imagewright
