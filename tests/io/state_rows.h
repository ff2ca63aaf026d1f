// What tests of the state store in it, and a process of its own to lose.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "io/store.h"

namespace imagewright {

/// Runs `check` in a process of its own: 0 if it came back true, 1 if not or by an exception, or
/// what it exited with.
template <typename Check>
int in_child(Check check) {
  const pid_t child = fork();
  if (child == 0) {
    int status = 1;
    try {
      status = check() ? 0 : 1;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "in the child: %s\n", error.what());
    }
    _exit(status);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline ImageRow image(const std::string& name, const std::string& config = "/c.yml") {
  return {name,
          "digest of " + name,
          "sha256:1",
          config,
          "docker",
          1,
          true,
          "/a\n/b",
          {{"label", "z", "1"}, {"arg", "a", "2"}, {"arg", "b", "3"}}};
}

inline BuildRow attempt(const std::string& name, BuildResult result = BuildResult::Success) {
  BuildRow build;
  build.name = name;
  build.config = "/c.yml";
  build.engine = "docker";
  build.started_ms = 1'700'000'000'123;
  build.duration_ms = 4567;
  build.result = result;
  build.exit_status = result == BuildResult::Success ? 0 : 7;
  build.message = result == BuildResult::Success ? "" : "it's broken";
  build.reasons = "context changed";
  build.digest = "d";
  build.image_id = result == BuildResult::Success ? "sha256:1" : "";
  build.log = "/logs/1";
  return build;
}

inline std::vector<std::string> names(Store& store) {
  std::vector<std::string> all;
  for (const ImageRow& row : store.rows()) all.push_back(row.name);
  return all;
}

}  // namespace imagewright
