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
        : remembered(interval), shared(test.sql(), name, remembered) {
      // (What is asked in the same millisecond could have been asked before.)
      std::this_thread::sleep_for(milliseconds(3));
    }
    // The commit; "": it is to be asked.
    std::string main(const std::string& remote = "https://git.example/a.git") {
      const auto known = remembered.ref(main_of(remote));
      return known ? known->at.commit : "";
    }
    void ask(const std::string& commit, const std::string& remote = "https://git.example/a.git") {
      remembered.keep(main_of(remote), ref(commit), remembered.asking());
    }
    void begin_look() {
      shared.learn();
      shared.claim_due();
    }
    void end_look() {
      shared.tell();
      shared.end_claims();
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
  a.begin_look();
  a.ask(kOld);
  const std::string digest = "sha256:" + std::string(64, '1');
  a.remembered.keep("debian", "linux/amd64",
                    {{"docker.io", "library/debian", "latest"},
                     {RegistryAnswer::Kind::Found, {digest, digest}, ""}},
                    a.remembered.asking());
  a.end_look();
  EXPECT_EQ(b.main(), "");
  b.begin_look();
  EXPECT_EQ(b.main(), kOld);
  EXPECT_EQ(b.remembered.ref(main_of("https://git.example/a.git"))->at.ref, "refs/heads/main");
  EXPECT_EQ(b.main("https://git.example/b.git"), "");
  const auto base = b.remembered.base("debian", "linux/amd64");
  ASSERT_TRUE(base);
  EXPECT_EQ(base->answer.image.manifest, digest);
  EXPECT_EQ(base->at.full(), "docker.io/library/debian");
  EXPECT_FALSE(b.remembered.base("debian", "linux/arm64"));
  // Who begins later asks himself: a push may have been missed while nobody served.
  Server c(*this, "c", hours(1));
  c.shared.learn();
  EXPECT_EQ(c.main(), "");
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
  a.begin_look();
  EXPECT_EQ(a.main(), "");
  b.begin_look();
  EXPECT_EQ(b.main(), kOld);
  a.ask(kNew);
  a.end_look();
  b.shared.learn();
  EXPECT_EQ(b.remembered.take_fresh().size(), 1u);  // (its own; nothing that it was told)
}

TEST_P(SharedAnswersTest, TheNewestAnswerCounts) {
  Server a(*this, "a", hours(1));
  Server b(*this, "b", hours(1));
  Server c(*this, "c", hours(1));
  const Remembered::Asking early = a.remembered.asking();
  std::this_thread::sleep_for(milliseconds(5));
  b.ask(kNew);
  b.shared.tell();
  // It began to ask before, and is told of it later.
  a.remembered.keep(main_of("https://git.example/a.git"), ref(kOld), early);
  a.shared.tell();
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
  // Of one alone: others are as they were.
  const std::string other = "https://git.example/b.git";
  b.ask(kOld, other);
  std::this_thread::sleep_for(milliseconds(5));
  b.remembered.forget({main_of("https://git.example/a.git")});
  b.shared.learn();
  EXPECT_EQ(b.main(), "");
  EXPECT_EQ(b.main(other), kOld);
}

TEST_P(SharedAnswersTest, WhatCannotBeToldNowIsToldLater) {
  Server a(*this, "a", hours(1));
  Server b(*this, "b", hours(1));
  a.ask(kOld);
  sql()->script("ALTER TABLE shared_answer RENAME TO away;");
  EXPECT_THROW(a.shared.tell(), Error);
  sql()->script("ALTER TABLE away RENAME TO shared_answer;");
  a.shared.tell();
  b.shared.learn();
  EXPECT_EQ(b.main(), kOld);
}

TEST_P(SharedAnswersTest, WhatIsFromTheFutureIsNotNewerThanAllThatComes) {
  Server a(*this, "a", hours(1));
  Server b(*this, "b", hours(1));
  a.ask(kOld);
  a.shared.tell();
  // The database's clock went back.
  sql()->run("UPDATE shared_answer SET asked_ms = asked_ms + ?1, kept_ms = kept_ms + ?1",
             {std::int64_t{3'600'000}});
  b.shared.learn();
  EXPECT_EQ(b.main(), "");
  a.ask(kNew);
  a.shared.tell();
  b.shared.learn();
  EXPECT_EQ(b.main(), kNew);
}

TEST_P(SharedAnswersTest, ManyAreToldAndClaimed) {
  Server a(*this, "a", milliseconds(1));
  Server b(*this, "b", milliseconds(1));
  const auto name = [](int i) { return "https://git.example/" + std::to_string(i) + ".git"; };
  for (int i = 0; i < 1000; ++i) {
    a.ask(kOld, name(i));
    b.ask(kOld, name(i));
  }
  std::this_thread::sleep_for(milliseconds(5));
  EXPECT_FALSE(a.shared.claim_due());
  EXPECT_TRUE(b.shared.claim_due());
  int left = 0;
  for (int i = 0; i < 1000; ++i) left += b.main(name(i)) == kOld ? 1 : 0;
  EXPECT_EQ(left, 1000);
  a.shared.tell();
  EXPECT_EQ(sql()->run("SELECT count(*) FROM shared_answer WHERE answer <> ''").front().number(0),
            1000);
}

TEST_P(SharedAnswersTest, WhatIsNotAnsweredIsAnybodysToAsk) {
  Server a(*this, "a", milliseconds(1));
  Server b(*this, "b", milliseconds(1));
  for (Server* server : {&a, &b}) server->ask(kOld);
  std::this_thread::sleep_for(milliseconds(5));
  a.begin_look();
  a.end_look();
  b.begin_look();
  EXPECT_EQ(b.main(), "");
  // It is killed: its answer is waited for, and not for ever.
  a.begin_look();
  EXPECT_EQ(a.main(), kOld);
  sql()->run("UPDATE shared_answer SET claimed_ms = claimed_ms - ?1",
             {milliseconds(SharedAnswers::kClaim).count()});
  Server c(*this, "c", milliseconds(1));
  c.ask(kOld);
  std::this_thread::sleep_for(milliseconds(5));
  c.begin_look();
  EXPECT_EQ(c.main(), "");
}

TEST_P(SharedAnswersTest, RubbishIsNoAnswer) {
  Server b(*this, "b", hours(1));
  Server a(*this, "a", hours(1));
  a.ask(kOld);
  a.shared.tell();
  for (const char* rubbish :
       {"{", "[]", "{\"commit\": 1}", "{\"commit\": \"main\", \"ref\": \"\", \"branch\": \"\"}"}) {
    sql()->run("UPDATE shared_answer SET answer = ?1", {std::string(rubbish)});
    b.shared.learn();
    EXPECT_EQ(b.main(), "") << rubbish;
  }
}

OVER_BOTH_STORES(SharedAnswersTest);

}  // namespace
}  // namespace imagewright
