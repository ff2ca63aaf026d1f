// Who carries out what the queue holds, as far as the rest of a server has to know.
#pragma once

#include <cstddef>

namespace imagewright {

class Builder {
 public:
  Builder() = default;
  virtual ~Builder() = default;
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  /// From now on jobs are claimed.
  virtual void begin() = 0;
  /// No more are; what is under way goes on.
  virtual void stop_claiming() = 0;
  /// The same, and waits until nothing of it needs this process any more.
  virtual void drain() = 0;
  /// How many jobs are under way here.
  virtual std::size_t running() const = 0;
  /// Does what is under way end when this process does? Else it is worth waiting for nothing.
  virtual bool ends_with_us() const = 0;
  /// A job that may be under way here is to be cancelled: to be looked at now.
  virtual void look_at_cancellations() = 0;
};

}  // namespace imagewright
