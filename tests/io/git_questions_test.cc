// Hosts under stress, as no real server can be made to be. (What real servers answer is in
// git_test.)
#include "io/git_questions.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <string>
#include <utility>

#include "io/error.h"
#include "scripted_server.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Answer = ScriptedServer::Answer;

const std::string kId(40, 'a');

Answer refs() {
  const std::string line = kId + " refs/heads/main\n";
  return ScriptedServer::answer(200, fmt::format("{:04x}{}0000", line.size() + 4, line),
                                "Content-Type: application/x-git-upload-pack-result\r\n");
}

bool is_ours(const std::string& request) {
  return request.starts_with("POST ");
}

// Gives its refs to me:secret alone.
Answer refs_for_me(const std::string& request) {
  if (request.find("Authorization: Basic bWU6c2VjcmV0") != std::string::npos) return refs();
  return ScriptedServer::answer(401, "", "WWW-Authenticate: Basic realm=\"x\"\r\n");
}

class GitQuestionsTest : public testing::Test {
 protected:
  GitQuestionsTest() {
    setenv("HOME", directory_.path().c_str(), 1);
    setenv("GIT_CONFIG_GLOBAL", (directory_.path() / "gitconfig").c_str(), 1);
    setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
    for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy"})
      unsetenv(name);
  }

  static GitSource at(int port, const std::string& path = "a.git",
                      const std::string& ref = "main") {
    GitSource source;
    source.remote = fmt::format("http://127.0.0.1:{}/{}", port, path);
    source.ref = ref;
    return source;
  }

  static GitLimits quick() {
    GitLimits limits;
    limits.connect_time = std::chrono::seconds(2);
    limits.idle_time = std::chrono::seconds(1);
    return limits;
  }

  // The commit, or what went wrong.
  static std::string ask(GitQuestions& questions, const GitSource& source) {
    try {
      return questions.answer(source).commit;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::Source);
      return error.what();
    }
  }

  std::string ask(const GitSource& source) {
    GitQuestions questions(program_, quick());
    return ask(questions, source);
  }

  TempDirectory directory_;
  GitProgram program_;
};

TEST_F(GitQuestionsTest, AllRefsOfARepositoryAreOneQuestion) {
  ScriptedServer server([](const std::string& request, int number) {
    if (number > 0) return refs();
    EXPECT_THAT(request, AllOf(HasSubstr("POST /a.git/git-upload-pack "),
                               HasSubstr("Git-Protocol: version=2"),
                               HasSubstr("ref-prefix refs/heads/main\n"),
                               HasSubstr("ref-prefix refs/tags/v1\n"), Not(HasSubstr("HEAD"))));
    return refs();
  });
  GitQuestions questions(program_, quick());
  questions.want(at(server.port()));
  questions.want(at(server.port(), "a.git", "v1"));
  questions.ask();
  EXPECT_EQ(ask(questions, at(server.port())), kId);
  EXPECT_EQ(ask(questions, at(server.port(), "a.git", "v1")), "");
  EXPECT_EQ(server.requests(), 1);
  EXPECT_EQ(questions.questions_by_git(), 0);
  // What was not wanted before is one more.
  EXPECT_EQ(ask(questions, at(server.port(), "a.git", "refs/heads/new")), "");
  EXPECT_EQ(questions.questions(), 2);
}

TEST_F(GitQuestionsTest, ManyRepositoriesShareAFewConnections) {
  ScriptedServer server([](const std::string&, int) { return refs(); });
  GitLimits limits = quick();
  limits.jobs = 5;
  GitQuestions questions(program_, limits);
  for (int i = 0; i < 50; ++i) questions.want(at(server.port(), fmt::format("{}.git", i)));
  questions.ask();
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(ask(questions, at(server.port(), fmt::format("{}.git", i))), kId);
  EXPECT_EQ(server.requests(), 50);
  EXPECT_LE(server.connections(), 5U);
}

TEST_F(GitQuestionsTest, ABusyHostIsAskedAgain) {
  ScriptedServer server([](const std::string&, int number) {
    if (number == 0) return ScriptedServer::answer(429, "", "Retry-After: 0\r\n");
    if (number == 1) return ScriptedServer::answer(503, "");
    return refs();
  });
  EXPECT_EQ(ask(at(server.port())), kId);
  EXPECT_EQ(server.requests(), 3);
}

TEST_F(GitQuestionsTest, AHostThatAsksToWaitForTooLongIsLeftAlone) {
  ScriptedServer server([](const std::string&, int) {
    return ScriptedServer::answer(429, "", "Retry-After: 3600\r\n");
  });
  EXPECT_THAT(ask(at(server.port())), AllOf(HasSubstr("a.git' for its refs: "),
                                            HasSubstr("status 429 and asks to wait 3600 s")));
  EXPECT_EQ(server.requests(), 1);
}

TEST_F(GitQuestionsTest, AHostThatFailsIsNotAskedForEver) {
  ScriptedServer server([](const std::string&, int) { return ScriptedServer::answer(503, ""); });
  GitQuestions questions(program_, quick());
  EXPECT_THAT(ask(questions, at(server.port())), HasSubstr("503"));
  // The last by git: some servers fail at a question that they do not know.
  EXPECT_EQ(server.requests(), 5);
  EXPECT_EQ(questions.questions_by_git(), 1);
}

TEST_F(GitQuestionsTest, AServerThatFailsAtWhatItDoesNotKnowIsAskedByGit) {
  ScriptedServer server([](const std::string& request, int) {
    if (is_ours(request)) return ScriptedServer::answer(500, "");
    const std::string service = "# service=git-upload-pack\n";
    const std::string ref = kId + " refs/heads/main" + std::string(1, '\0') + "agent=old\n";
    return ScriptedServer::answer(
        200,
        fmt::format("{:04x}{}0000{:04x}{}0000", service.size() + 4, service, ref.size() + 4, ref),
        "Content-Type: application/x-git-upload-pack-advertisement\r\n");
  });
  GitQuestions questions(program_, quick());
  EXPECT_EQ(ask(questions, at(server.port())), kId);
  EXPECT_EQ(questions.questions_by_git(), 1);
}

TEST_F(GitQuestionsTest, WhatIsClosedHalfWayIsAskedForAgain) {
  ScriptedServer server([](const std::string&, int number) {
    Answer answer = refs();
    if (number > 0) return answer;
    answer.bytes.resize(answer.bytes.size() / 2);
    answer.close = true;
    return answer;
  });
  EXPECT_EQ(ask(at(server.port())), kId);
}

TEST_F(GitQuestionsTest, AHostThatSaysNothingIsWaitedForSoLongAndNoOtherForIt) {
  ScriptedServer silent([](const std::string&, int) { return Answer{"", false, true}; });
  ScriptedServer server([](const std::string&, int) { return refs(); });
  GitLimits limits = quick();
  limits.jobs = 4;
  GitQuestions questions(program_, limits);
  // More than are asked at once.
  for (int i = 0; i < 12; ++i) questions.want(at(silent.port(), fmt::format("{}.git", i)));
  questions.want(at(server.port()));
  questions.ask();
  EXPECT_EQ(ask(questions, at(server.port())), kId);
  for (int i = 0; i < 12; ++i) {
    EXPECT_THAT(ask(questions, at(silent.port(), fmt::format("{}.git", i))),
                HasSubstr(fmt::format("{}.git' for its refs: ", i)));
  }
  // (After some that got no answer the others are not sent.)
  EXPECT_LE(silent.requests(), 8);
}

TEST_F(GitQuestionsTest, AHostWhereNobodyIsIsNotAskedForEachRepository) {
  int port = 0;
  {
    port = ScriptedServer([](const std::string&, int) { return refs(); }).port();
  }
  GitQuestions questions(program_, quick());
  for (int i = 0; i < 20; ++i) questions.want(at(port, fmt::format("{}.git", i)));
  questions.ask();
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(ask(questions, at(port, fmt::format("{}.git", i))),
                AllOf(HasSubstr(fmt::format("{}.git' for its refs: ", i)),
                      HasSubstr("onnect to 127.0.0.1")));
  }
  EXPECT_EQ(questions.questions_by_git(), 0);
}

TEST_F(GitQuestionsTest, WhatIsNoAnswerIsForGitToName) {
  const std::pair<int, const char*> cases[] = {
      {401, "it asks for a login"}, {403, "403"}, {404, "not found"}};
  for (const auto& [status, words] : cases) {
    ScriptedServer server([answer = status](const std::string&, int) {
      return ScriptedServer::answer(answer, "", "WWW-Authenticate: Basic realm=\"x\"\r\n");
    });
    GitQuestions questions(program_, quick());
    EXPECT_THAT(ask(questions, at(server.port())),
                AllOf(HasSubstr("a.git' for its refs: "), HasSubstr(words)));
    EXPECT_EQ(questions.questions_by_git(), 1) << status;
  }
}

TEST_F(GitQuestionsTest, APageIsNoAnswer) {
  ScriptedServer server([](const std::string&, int) {
    return ScriptedServer::answer(200, "<html>please log in</html>", "Content-Type: text/html\r\n");
  });
  EXPECT_THAT(ask(at(server.port())),
              HasSubstr("what answers there is no git server: it sends text/html"));
}

TEST_F(GitQuestionsTest, AnAnswerWithoutAnEndIsCutOff) {
  const std::string line = kId + " refs/heads/main\n";
  std::string body;
  while (body.size() < (std::size_t{66} << 20))
    body += fmt::format("{:04x}{}", line.size() + 4, line);
  ScriptedServer server(
      [&](const std::string&, int) { return ScriptedServer::answer(200, body + "0000"); });
  EXPECT_THAT(ask(at(server.port())), HasSubstr("its answer is longer than"));
  EXPECT_EQ(server.requests(), 1);
}

TEST_F(GitQuestionsTest, WhatWasNotAskedForIsNotTaken) {
  ScriptedServer server([](const std::string&, int) {
    const std::string lines[] = {kId + " refs/heads/main2\n", kId + " refs/heads/other\n"};
    std::string body;
    for (const std::string& line : lines) body += fmt::format("{:04x}{}", line.size() + 4, line);
    return ScriptedServer::answer(200, body + "0000");
  });
  EXPECT_EQ(ask(at(server.port())), "");
}

TEST_F(GitQuestionsTest, AHelpersLoginIsUsedOnce) {
  directory_.write("gitconfig",
                   "[credential]\nhelper = \"!f() { test $1 = get && echo username=me && echo "
                   "password=secret; }; f\"\n");
  ScriptedServer server([](const std::string& request, int) {
    EXPECT_TRUE(is_ours(request)) << request;
    return refs_for_me(request);
  });
  GitQuestions questions(program_, quick());
  EXPECT_EQ(ask(questions, at(server.port())), kId);
  EXPECT_EQ(questions.questions_by_git(), 0);
}

TEST_F(GitQuestionsTest, NetrcIsHeeded) {
  directory_.write(".netrc", "machine 127.0.0.1 login me password secret\n");
  ScriptedServer server([](const std::string& request, int) { return refs_for_me(request); });
  GitQuestions questions(program_, quick());
  EXPECT_EQ(ask(questions, at(server.port())), kId);
  EXPECT_EQ(questions.questions_by_git(), 0);
}

TEST_F(GitQuestionsTest, APasswordInAUrlIsInNoMessage) {
  ScriptedServer server([](const std::string&, int) {
    return ScriptedServer::answer(429, "", "Retry-After: 3600\r\n");
  });
  GitSource source = at(server.port());
  source.remote.insert(7, "me:hush@");
  EXPECT_THAT(ask(source), AllOf(HasSubstr("status 429"), Not(HasSubstr("hush"))));
}

}  // namespace
}  // namespace imagewright
