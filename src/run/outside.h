// What a run may have to ask others than the engine: registries, and what their short names mean.
// Read and made when it is first asked for, as most runs ask nobody.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "io/registry.h"
#include "io/short_names.h"
#include "run/project.h"

namespace imagewright {

/// Several threads may use it at once.
class Outside {
 public:
  /// Borrows the project. `engine`: its name, for whose short names they are.
  Outside(const Project& project, std::string engine)
      : project_(project), engine_(std::move(engine)) {}
  ~Outside() { stop(); }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

  const ShortNames& short_names() { return *made().short_names; }
  Registries& registries() { return *made().registries; }

  /// Whoever asks a registry or is going to gets no answer any more.
  void stop();

 private:
  struct Made {
    std::unique_ptr<ShortNames> short_names;
    std::unique_ptr<Registries> registries;
  };
  const Made& made();

  const Project& project_;
  std::string engine_;
  std::mutex mutex_;
  Made made_;
};

}  // namespace imagewright
