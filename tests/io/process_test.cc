#include "io/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "io/error.h"
#include "io/interrupt.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

using testing::ElementsAre;

Command shell(const std::string& script) {
  Command command;
  command.argv = {"sh", "-c", script};
  return command;
}

std::vector<std::string> lines(const Command& command) {
  std::vector<std::string> result;
  run_command(command, [&](std::string_view line) { result.emplace_back(line); });
  return result;
}

TEST(Process, LinesComeInOrderOfBothStreams) {
  EXPECT_THAT(lines(shell("echo one; echo two >&2; printf 'three\\r\\nfour\\rfive'")),
              ElementsAre("one", "two", "three", "four", "five"));
}

TEST(Process, AnEndlessLineComesInPieces) {
  const auto all = lines(shell("head -c 200000 /dev/zero | tr '\\0' x"));
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].size(), 65536U);
}

TEST(Process, TheStatusIsTheProgramsOrItsSignals) {
  EXPECT_EQ(run_command(shell("exit 7"), {}).status, 7);
  EXPECT_EQ(run_command(shell("kill -9 $$"), {}).status, 128 + SIGKILL);
}

// The child has our memory until it is the program, so none of our handlers may run there; and what
// we do about signals is not the program's.
TEST(Process, AProgramKnowsNothingOfOurSignals) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  struct sigaction before = {};
  sigaction(SIGUSR1, &action, &before);
  sigset_t blocked;
  sigset_t mask;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &blocked, &mask);
  Command command;
  command.argv = {"cat", "/proc/self/status"};
  const std::string status = capture(command).out;
  for (const char* what : {"SigBlk", "SigCgt", "ShdPnd"})
    EXPECT_NE(status.find(std::string(what) + ":\t0000000000000000\n"), std::string::npos)
        << status;
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, &mask, &now);
  EXPECT_EQ(sigismember(&now, SIGUSR2), 1) << "and ours are as they were";
  EXPECT_EQ(sigismember(&now, SIGTERM), 0);
  sigaction(SIGUSR1, &before, &action);
  EXPECT_NE(action.sa_handler, SIG_DFL);
}

TEST(Process, AMissingProgramIsAnError) {
  Command command;
  command.argv = {"no-such-program-anywhere"};
  EXPECT_THROW(run_command(command, {}), Error);
  command.argv = {"/etc/passwd"};
  EXPECT_THROW(capture(command), Error);
}

TEST(Process, CaptureKeepsTheStreamsApartAndFeedsInput) {
  const std::string input(300'000, 'i');
  const Output output = capture(shell("cat; echo problem >&2"), input);
  EXPECT_TRUE(output.exit.ok());
  EXPECT_EQ(output.out, input);
  EXPECT_EQ(output.err, "problem\n");
}

TEST(Process, AProgramThatDoesNotReadItsInputIsNoTrouble) {
  EXPECT_TRUE(capture(shell("exit 0"), std::string(1'000'000, 'i')).exit.ok());
}

TEST(Process, TheEnvironmentIsChangedAsAsked) {
  setenv("IMAGEWRIGHT_TEST_GONE", "x", 1);
  Command command = shell("echo \"$IMAGEWRIGHT_TEST_NEW-$IMAGEWRIGHT_TEST_GONE\"");
  command.environment = {{"IMAGEWRIGHT_TEST_NEW", "value"},
                         {"IMAGEWRIGHT_TEST_GONE", std::nullopt}};
  EXPECT_EQ(capture(command).out, "value-\n");
}

TEST(Process, StandardInputIsEmpty) {
  EXPECT_EQ(capture(shell("wc -c")).out, "0\n");
}

TEST(Process, TimeEndsTheProgramAndWhatItStarted) {
  const TempDirectory directory;
  Command command = shell("sleep 1000 & echo $! > " + (directory / "pid").string() + "; wait");
  command.timeout = std::chrono::milliseconds(300);
  const Exit exit = run_command(command, {});
  EXPECT_TRUE(exit.timed_out);
  EXPECT_FALSE(exit.ok());
  int pid = 0;
  std::ifstream(directory / "pid") >> pid;
  ASSERT_GT(pid, 0);
  EXPECT_NE(kill(pid, 0), 0) << "the grandchild lives on";
}

TEST(Process, AProgramThatIgnoresTermIsKilled) {
  Command command = shell("trap '' TERM; while :; do sleep 0.05; done");
  command.timeout = std::chrono::milliseconds(200);
  EXPECT_TRUE(run_command(command, {}).timed_out);
}

// It was killed at once after the TERM.
TEST(Process, AProgramHasTimeToCleanUpAfterTerm) {
  const TempDirectory directory;
  Command command = shell("trap 'sleep 0.5; touch " + (directory / "cleaned").string() +
                          "; exit 4' TERM; while :; do sleep 0.05; done");
  command.timeout = std::chrono::milliseconds(200);
  const Exit exit = run_command(command, {});
  EXPECT_TRUE(exit.timed_out);
  EXPECT_EQ(exit.status, 4);
  EXPECT_TRUE(std::filesystem::exists(directory / "cleaned"));
}

// A build that had ended well was called interrupted, and built again.
TEST(Process, AnInterruptThatComesAfterTheEndEndsNothing) {
  catch_interrupts();
  const Exit exit = run_command(shell("echo done"), [](std::string_view) {
    usleep(300'000);  // the shell has nothing left to do but end
    raise(SIGINT);
  });
  forget_interrupts();
  EXPECT_FALSE(exit.interrupted);
  EXPECT_EQ(exit.status, 0);
}

TEST(Process, AnInterruptEndsTheDescendantsFirstAndLetsTheProgramCleanUp) {
  const TempDirectory directory;
  catch_interrupts();
  Command command = shell("sleep 1000; echo \"step ended: $?\"; touch " +
                          (directory / "cleaned").string() + "; exit 9");
  command.ending = Ending::DescendantsFirst;
  bool sent = false;
  const Exit exit = run_command(command, {}, [&] {
    if (!sent) raise(SIGINT);
    sent = true;
  });
  EXPECT_TRUE(exit.interrupted);
  EXPECT_EQ(exit.status, 9);
  EXPECT_TRUE(std::filesystem::exists(directory / "cleaned"));
  EXPECT_EQ(interrupted(), SIGINT);
  forget_interrupts();
  EXPECT_EQ(interrupted(), 0);
}

TEST(Process, AnInterruptBetweenTwoStepsEndsTheNextOne) {
  const TempDirectory directory;
  catch_interrupts();
  // Busy by itself, so there is nothing below it to end; a TERM then would leave no time to clean
  // up.
  Command command = shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 1000; touch " +
                          (directory / "cleaned").string() + "; exit 9");
  command.ending = Ending::DescendantsFirst;
  raise(SIGINT);
  const Exit exit = run_command(command, {});
  forget_interrupts();
  EXPECT_TRUE(exit.interrupted);
  EXPECT_EQ(exit.status, 9);
  EXPECT_TRUE(std::filesystem::exists(directory / "cleaned"));
}

TEST(Process, OneThatTookTooLongTakesNothingOfTheOthersWithIt) {
  const TempDirectory directory;
  // Its background process loses its parent and becomes ours.
  Command other =
      shell("(sleep 3; touch " + (directory / "other").string() + ") & sleep 4; exit 0");
  std::jthread thread([&] { EXPECT_EQ(run_command(other, {}).status, 0); });
  Command orphaned = shell("setsid sh -c 'sleep 100 & echo $!' & sleep 100");
  orphaned.timeout = std::chrono::milliseconds(500);
  EXPECT_TRUE(run_command(orphaned, {}).timed_out);
  thread.join();
  EXPECT_TRUE(std::filesystem::exists(directory / "other"));
}

TEST(Process, AGrandchildThatKeepsTheOutputOpenDoesNotHoldUsForever) {
  const auto all = lines(shell("echo done; sleep 5 & exit 0"));
  EXPECT_THAT(all, ElementsAre("done"));
}

TEST(Process, ProgramsAreFoundInPathsOrder) {
  const TempDirectory directory;
  directory.write("a/tool", "#!/bin/sh\n", 0755);
  directory.write("b/tool", "#!/bin/sh\n", 0755);
  directory.write("c/tool", "not executable");
  const std::string old = std::getenv("PATH");
  setenv("PATH",
         (".:" + (directory / "c").string() + ":" + (directory / "b").string() + ":" +
          (directory / "a").string())
             .c_str(),
         1);
  EXPECT_THAT(find_programs("tool"), ElementsAre(directory / "b/tool", directory / "a/tool"));
  EXPECT_EQ(find_program("none"), "");
  setenv("PATH", old.c_str(), 1);
}

}  // namespace
}  // namespace imagewright
