#include "run/judge.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "core/fingerprint.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

/// Has these images, and is not asked anything else.
class EngineWith : public Engine {
 public:
  explicit EngineWith(std::unordered_set<std::string> ids) : ids_(std::move(ids)) {}
  std::string name() const override { return "docker"; }
  EngineImages images() override { return {ids_, {}}; }
  Readiness prepare() override { throw std::logic_error("prepare"); }
  std::string reference_to(const std::string& id) override { return id; }
  std::optional<EngineImage> find_image(const std::string&, const std::string&) override {
    throw std::logic_error("find_image");
  }
  BuildOutcome build(const BuildRequest&, const OnLine&) override {
    throw std::logic_error("build");
  }
  void tag(const std::string&, const std::string&) override { throw std::logic_error("tag"); }
  std::set<std::string> used_image_ids() override { throw std::logic_error("used_image_ids"); }
  std::string remove_image(const std::string&, const std::vector<std::string>&) override {
    throw std::logic_error("remove_image");
  }
  std::string pull(const std::string&, bool) override { throw std::logic_error("pull"); }
  PushOutcome push(const std::string&, const std::string&, bool) override {
    throw std::logic_error("push");
  }

 private:
  std::unordered_set<std::string> ids_;
};

class JudgeTest : public testing::Test {
 protected:
  JudgeTest() { images_[0].name = "a"; }

  static std::vector<Input> inputs(const std::string& context) {
    return {{InputKind::Context, "", context, ""}};
  }

  /// As a run stores a build of the image with that context.
  void store_build(const std::string& context, const std::string& image_id) const {
    const Manifest manifest = make_manifest(inputs(context), {});
    ImageRow row;
    row.name = "a";
    row.digest = manifest.digest;
    row.image_id = image_id;
    row.engine = "docker";
    row.format = kFingerprintFormat;
    row.inputs = {{word(InputKind::Context), "", context, ""}};
    BuildRow build;
    build.name = "a";
    build.result = BuildResult::Success;
    Store::open(directory_.path()).record_success(row, build);
  }

  /// So long after the last write that the file is read where it stands, and a later one is seen.
  Store settled_store() const {
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
    return Store::open_read_only(directory_.path());
  }

  TempDirectory directory_;
  std::vector<ImageConfig> images_{1};
};

TEST_F(JudgeTest, WhatAnotherRunBuiltMeanwhileIsJudgedByAllThatItStored) {
  store_build("old", "sha256:1");
  Store store = settled_store();
  EngineWith engine({"sha256:1"});
  Judge judge(store, engine, images_, false);
  store_build("new", "sha256:2");  // which the engine's list does not have yet
  EXPECT_FALSE(judge.decide("a", inputs("new"), {}).verdict.build());
  const Verdict verdict = judge.decide("a", inputs("newer"), {}).verdict;
  ASSERT_EQ(verdict.reasons.size(), 1U);
  EXPECT_EQ(verdict.reasons.front().kind, ReasonKind::InputChanged);
  EXPECT_EQ(judge.last_context("a"), "new");
}

TEST_F(JudgeTest, AnImageWhoseRowWasTakenOutMeanwhileWasNeverBuilt) {
  store_build("old", "sha256:1");
  Store store = settled_store();
  EngineWith engine({"sha256:1"});
  Judge judge(store, engine, images_, false);
  Store::open(directory_.path()).forget({"a"}, "");
  const Verdict verdict = judge.decide("a", inputs("new"), {}).verdict;
  ASSERT_EQ(verdict.reasons.size(), 1U);
  EXPECT_EQ(verdict.reasons.front().kind, ReasonKind::NeverBuilt);
}

TEST_F(JudgeTest, AnImageThatIsGoneIsToldAsOneThoughItsInputsAreTheSame) {
  store_build("old", "sha256:1");
  Store store = Store::open_read_only(directory_.path());
  EngineWith engine({"sha256:3"});
  Judge judge(store, engine, images_, false);
  const Verdict verdict = judge.decide("a", inputs("old"), {}).verdict;
  ASSERT_EQ(verdict.reasons.size(), 1U);
  EXPECT_EQ(verdict.reasons.front().kind, ReasonKind::ImageGone);
}

}  // namespace
}  // namespace imagewright
