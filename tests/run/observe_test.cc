// What is looked at, and what is built of it afterwards.
#include "run/observe.h"

#include <gtest/gtest.h>

#include <chrono>

#include "io/git_fixture.h"

namespace imagewright {
namespace {

using git_fixture::GitTest;
using git_fixture::read_file;
using git_fixture::write_file;
namespace fs = std::filesystem;

// An image of a repository that a server has, whose ref moves.
class ObserveTest : public GitTest {
 protected:
  ObserveTest() {
    write_file(root_ / "repo/Dockerfile", "FROM scratch\nCOPY file /\n");
    first_ = commit("other", "nobody reads it\n");
    image_.name = "example/app";
    image_.source = remote(serve("start_git_daemon $D $P", "$git_daemon_url").at(0) + "/repo");
    project_.config.images = {image_};
    project_.config_path = root_ / "imagewright.yml";
    project_.base = root_;
    project_.state_directory = root_;
    project_.places = {cache(), root_ / "logs", root_ / "sockets"};
  }

  // As a run after a look: it takes what that was told, and has no files yet.
  Observation observed(Observer& run) {
    {
      Observer look(project_);
      look.remember_in(&remembered_, false);
      look.expect([this](const std::string&) { return &whole_; });
      look.observe(image_);
    }
    run.remember_in(&remembered_, true);
    run.expect([this](const std::string&) { return &whole_; });
    Observation seen = run.observe(image_);
    EXPECT_EQ(seen.origin.commit, first_);
    EXPECT_EQ(seen.files, nullptr);
    return seen;
  }

  std::string content_now() {
    Observer look(project_);
    look.expect([this](const std::string&) { return &whole_; });
    return look.observe(image_).context_digest;
  }

  ImageConfig image_;
  Project project_;
  std::string first_;
  std::string whole_;
  Remembered remembered_{std::chrono::hours(1)};
};

TEST_F(ObserveTest, WhatIsBuiltIsWhatWasObservedThoughTheRefHasMovedSince) {
  Observer run(project_);
  Observation seen = observed(run);
  commit("file", "two\n");
  remembered_.forget_all();
  const ContextFiles& files = run.files(image_, seen);
  EXPECT_EQ(read_file(fs::path(files.request.root) / "file"), "one\n");
  // Another image of the run gets the same commit.
  EXPECT_EQ(run.observe(image_).origin.commit, first_);
}

TEST_F(ObserveTest, WhatIsKnownOfATreeIsNotWhatWasSeenOfTheOneBeforeIt) {
  Observer run(project_);
  Observation seen = observed(run);
  const std::string before = content_now();
  commit("file", "two\n");
  remembered_.forget_all();
  // (It looks once more, as less of it counts than was thought.)
  const auto nothing_is_known = [](const Link&) { return std::nullopt; };
  run.narrow(image_, seen, nothing_is_known);
  EXPECT_NE(seen.reach, whole_);
  whole_ = seen.reach;
  Observer next(project_);
  next.expect([this](const std::string&) { return &whole_; });
  const Observation moved = next.observe(image_);
  EXPECT_NE(moved.origin.commit, first_);
  EXPECT_NE(moved.context_digest, seen.context_digest);
  EXPECT_NE(moved.context_digest, before);
}

}  // namespace
}  // namespace imagewright
