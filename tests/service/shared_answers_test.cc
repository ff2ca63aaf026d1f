// Servers that tell each other what they were told, over both kinds of database.
#include "service/shared_answers.h"

#include <algorithm>
#include <thread>

#include "core/image_manifest.h"
#include "queue_fixture.h"

namespace imagewright {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

const std::string kOld(40, 'a');
const std::string kNew(40, 'b');

GitSource main_of(const std::string& remote) {
  GitSource source;
  source.remote = remote;
  source.ref = "main";
  return source;
}

Remembered::Ref ref(const std::string& commit) {
  return {{commit, "refs/heads/main", ""}, ""};
}

class SharedAnswersTest : public QueueFixture {
 protected:
  struct Server {
    Server(SharedAnswersTest& test, const std::string& name, milliseconds interval)
        : remembered(interval), shared(test.sql(), name, remembered, interval) {}
    // The commit; "": it is to be asked.
    std::string main(const std::string& remote = "https://git.example/a.git") {
      const auto known = remembered.ref(main_of(remote));
      return known ? known->at.commit : "";
    }
    void ask(const std::string& commit, const std::string& remote = "https://git.example/a.git") {
      remembered.keep(main_of(remote), ref(commit), remembered.asking());
    }
    Remembered remembered;
    SharedAnswers shared;
  };

  std::unique_ptr<SqlConnection> sql() {
    return url_.empty() ? open_sqlite(directory_ / "shared", "what is shared", "remove it")
                        : open_postgresql(url_, "test");
  }
};

TEST_P(SharedAnswersTest, WhatOneWasToldAllKnow) {
  Server a(*this, "a", hours(1));
  Server b(*this, "b", hours(1));
  a.shared.begin_look();
  a.ask(kOld);
  const std::string digest = "sha256:" + std::string(64, '1');
  a.remembered.keep("debian", "linux/amd64",
                    {{"docker.io", "library/debian", "latest"},
                     {RegistryAnswer::Kind::Found, {digest, digest}, ""}},
                    a.remembered.asking());
  a.shared.end_look();
  EXPECT_EQ(b.main(), "");
  b.shared.begin_look();
  EXPECT_EQ(b.main(), kOld);
  EXPECT_EQ(b.remembered.ref(main_of("https://git.example/a.git"))->at.ref, "refs/heads/main");
  EXPECT_EQ(b.main("https://git.example/b.git"), "");
  const auto base = b.remembered.base("debian", "linux/amd64");
  ASSERT_TRUE(base);
  EXPECT_EQ(base->answer.image.manifest, digest);
  EXPECT_EQ(base->at.full(), "docker.io/library/debian");
  EXPECT_FALSE(b.remembered.base("debian", "linux/arm64"));
  // Who begins later knows it, too.
  Server c(*this, "c", hours(1));
  c.shared.learn();
  EXPECT_EQ(c.main(), kOld);
}

TEST_P(SharedAnswersTest, WhatCouldNotBeFoundOutIsNotTold) {
  Server a(*this, "a", hours(1));
  Server b(*this, "b", hours(1));
  const GitSource source = main_of("https://git.example/a.git");
  a.remembered.keep(source, {{}, "no answer"}, a.remembered.asking());
  a.remembered.keep("gone", "linux/amd64", {}, a.remembered.asking());
  a.shared.tell();
  b.shared.learn();
  EXPECT_FALSE(b.remembered.ref(source));
  EXPECT_FALSE(b.remembered.base("gone", "linux/amd64"));
}

TEST_P(SharedAnswersTest, OneOfThoseForWhomASourceIsDueAsks) {
  Server a(*this, "a", milliseconds(1));
  Server b(*this, "b", milliseconds(1));
  for (Server* server : {&a, &b}) server->ask(kOld);
  std::this_thread::sleep_for(milliseconds(5));
  a.shared.begin_look();
  EXPECT_EQ(a.main(), "");
  b.shared.begin_look();
  EXPECT_EQ(b.main(), kOld);
  a.ask(kNew);
  a.shared.end_look();
  b.shared.learn();
  EXPECT_EQ(b.remembered.take_fresh().size(), 1u);  // (its own; nothing that it was told)
  // And who was told before goes on by what he was told.
  Server slow(*this, "slow", hours(1));
  slow.ask(kOld);
  slow.shared.learn();
  EXPECT_EQ(slow.main(), kOld);  // (asked later than the other one)
}

TEST_P(SharedAnswersTest, TheNewestAnswerCounts) {
  Server a(*this, "a", hours(1));
  Server b(*this, "b", hours(1));
  const Remembered::Asking early = a.remembered.asking();
  std::this_thread::sleep_for(milliseconds(5));
  b.ask(kNew);
  b.shared.tell();
  // It began to ask before, and is told of it later.
  a.remembered.keep(main_of("https://git.example/a.git"), ref(kOld), early);
  a.shared.tell();
  Server c(*this, "c", hours(1));
  c.shared.learn();
  EXPECT_EQ(c.main(), kNew);
  a.shared.learn();
  EXPECT_EQ(a.main(), kNew);
  b.shared.learn();
  EXPECT_EQ(b.main(), kNew);
}

TEST_P(SharedAnswersTest, WhatWasAskedBeforeAPushIsNotTakenForWhatItIsAfterIt) {
  Server a(*this, "a", hours(1));
  Server b(*this, "b", hours(1));
  a.ask(kOld);
  std::this_thread::sleep_for(milliseconds(5));
  b.remembered.forget_all();
  a.shared.tell();
  b.shared.learn();
  EXPECT_EQ(b.main(), "");
  std::this_thread::sleep_for(milliseconds(5));
  a.ask(kNew);
  a.shared.tell();
  b.shared.learn();
  EXPECT_EQ(b.main(), kNew);
  b.remembered.forget([](const GitSource&) { return true; });
  EXPECT_EQ(b.main(), "");
}

TEST_P(SharedAnswersTest, WhatIsNotAnsweredIsAnybodysToAsk) {
  Server a(*this, "a", milliseconds(1));
  Server b(*this, "b", milliseconds(1));
  for (Server* server : {&a, &b}) server->ask(kOld);
  std::this_thread::sleep_for(milliseconds(5));
  a.shared.begin_look();
  a.shared.end_look();
  b.shared.begin_look();
  EXPECT_EQ(b.main(), "");
  // It is killed: its answer is waited for, and not for ever.
  a.shared.begin_look();
  EXPECT_EQ(a.main(), kOld);
  sql()->run("UPDATE shared_answer SET claimed_ms = claimed_ms - ?1",
             {milliseconds(SharedAnswers::kClaim).count()});
  Server c(*this, "c", milliseconds(1));
  c.ask(kOld);
  std::this_thread::sleep_for(milliseconds(5));
  c.shared.begin_look();
  EXPECT_EQ(c.main(), "");
}

TEST_P(SharedAnswersTest, RubbishIsNoAnswer) {
  Server a(*this, "a", hours(1));
  a.ask(kOld);
  a.shared.tell();
  for (const char* rubbish :
       {"{", "[]", "{\"commit\": 1}", "{\"commit\": \"main\", \"ref\": \"\", \"branch\": \"\"}"}) {
    sql()->run("UPDATE shared_answer SET answer = ?1", {std::string(rubbish)});
    Server b(*this, "b", hours(1));
    b.shared.learn();
    EXPECT_EQ(b.main(), "") << rubbish;
  }
}

OVER_BOTH_STORES(SharedAnswersTest);

}  // namespace
}  // namespace imagewright
