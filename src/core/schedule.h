// Which image is looked at and which is built next, and where each one stands. The only holder of
// an image's state in a run, and `move` the only way to change it. Knows nothing of engines,
// threads or clocks. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace imagewright {

enum class ImageState {
  Waiting,   ///< for its parents to end
  Looking,   ///< its inputs are read and compared
  Ready,     ///< is to be built, and waits for room
  Building,  ///< the engine works on it
  UpToDate,  ///< ended: nothing to do
  Built,     ///< ended: built now
  Failed,    ///< ended: by its source or its build
  Skipped,   ///< ended: the run was interrupted, or ends after a failure, or a parent failed
};

/// Has it ended?
bool is_final(ImageState state);

/// What the schedule is told of an image.
struct Task {
  std::vector<std::size_t> parents;  ///< numbers of images that must end well before; no cycle
  int weight = 1;                    ///< how much of the limit its build takes
};

/// How much is built at once, and what a failure means for the rest.
struct Limits {
  int jobs = 1;  ///< the weights of what is built at once add up to no more; a heavier image is
                 ///< built alone
  bool fail_fast = false;  ///< a failure cancels what is not building
};

/// Images are taken by the longest way that begins at them (expected durations, their own
/// included), then by number. One at a time they are taken by number, parents first: then the order
/// costs nothing.
class Schedule {
 public:
  Schedule(std::vector<Task> tasks, Limits limits);

  /// How long each build is likely to take; before this is known, all are alike.
  void expect(std::vector<std::chrono::milliseconds> durations);

  /// Takes the next image whose parents have all ended well, and of which `can` is true: it is
  /// Looking from now on. nullopt: none is to be looked at now.
  std::optional<std::size_t> next_to_look_at(
      const std::function<bool(std::size_t image)>& can = {});

  /// Takes the first of those that are Ready: it is Building from now on. nullopt: none is, or
  /// there is no room for it. (No lighter one goes before a heavy one, or that would wait for
  /// ever.)
  std::optional<std::size_t> next_to_build();

  /// Moves an image on: Looking → Ready, UpToDate, Failed, Skipped; Building → Built, UpToDate,
  /// Failed, Skipped. Any other move is a broken invariant. What stands on one that Failed or was
  /// Skipped is Skipped.
  void move(std::size_t image, ImageState to);

  /// Nothing further is started: all that wait become Skipped.
  void cancel();

  /// Nothing is or will be worked on any more.
  bool done() const { return left_ == 0; }

  ImageState state(std::size_t image) const { return states_[image]; }
  /// The failed image because of which this one is Skipped; nullopt: it is not, or everything was
  /// cancelled.
  std::optional<std::size_t> because(std::size_t image) const { return because_[image]; }
  std::size_t count(ImageState state) const;

  /// How long the rest will take, if everything that waits is built, and what is built began so
  /// long ago. `running` has all that are Building.
  struct Running {
    std::size_t image;
    std::chrono::milliseconds since;
  };
  std::chrono::milliseconds remaining(const std::vector<Running>& running) const;

 private:
  using Milliseconds = std::chrono::milliseconds;
  // The longest way first, then the first number.
  using Rank = std::pair<Milliseconds, std::size_t>;

  Rank rank(std::size_t image) const { return {-ways_[image], image}; }
  int load_of(std::size_t image) const;
  void find_ways();
  void set(std::size_t image, ImageState to);
  void skip(std::size_t image, std::optional<std::size_t> failed);

  std::vector<Task> tasks_;
  Limits limits_;
  std::vector<Milliseconds> expected_;
  std::vector<std::vector<std::size_t>> children_;
  std::vector<ImageState> states_;
  std::vector<std::optional<std::size_t>> because_;
  std::vector<std::size_t> open_parents_;  // how many have not ended well
  std::vector<Milliseconds> ways_;         // the longest that begins at each
  std::set<Rank> waiting_;                 // those whose parents have all ended well
  std::set<Rank> ready_;
  int load_ = 0;          // of what is Building
  std::size_t left_ = 0;  // not ended
};

}  // namespace imagewright
