// Which image is worked on next, and where each one stands. The only holder of an image's state in
// a run, and `move` the only way to change it. Knows nothing of engines or time. Today one image at
// a time, in the file's order.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace imagewright {

enum class ImageState {
  Waiting,   ///< its turn has not come
  Looking,   ///< its inputs are read
  Building,  ///< the engine works on it
  UpToDate,  ///< ended: nothing to do
  Built,     ///< ended: built now
  Failed,    ///< ended: by its source or its build
  Skipped,   ///< ended: the run was interrupted, or --fail-fast after a failure
};

class Schedule {
 public:
  Schedule(std::size_t images, bool fail_fast) : states_(images), fail_fast_(fail_fast) {}

  /// Takes the next waiting image: it is Looking from now on. nullopt: nothing is left to start.
  std::optional<std::size_t> next();

  /// Moves an image on: Looking → Building, UpToDate, Failed, Skipped; Building → Built, Failed,
  /// Skipped. Any other move is a broken invariant. With fail_fast, a failure cancels.
  void move(std::size_t image, ImageState to);

  /// Nothing further is started: all that wait become Skipped.
  void cancel();

  ImageState state(std::size_t image) const { return states_[image]; }
  std::size_t count(ImageState state) const;

 private:
  std::vector<ImageState> states_;
  std::size_t next_ = 0;  // none before it waits
  bool fail_fast_;
};

}  // namespace imagewright
