#include "core/dockerfile.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "conformance.h"

namespace imagewright {
namespace {

// As BuildKit's own tests write a text down: Go's %q.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    constexpr std::string_view kEscaped = "\a\b\f\n\r\t\v\\\"";
    constexpr std::string_view kLetters = "abfnrtv\\\"";
    if (const std::size_t at = kEscaped.find(c); at != kEscaped.npos) {
      result += {'\\', kLetters[at]};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string dump(const Instruction& instruction) {
  std::string text = instruction.name;
  if (!instruction.flags.empty()) {
    std::string flags;
    for (const std::string& flag : instruction.flags) flags += " " + quoted(flag);
    text += " [" + flags.substr(1) + "]";
  }
  for (const Instruction& trigger : instruction.trigger) text += " " + dump(trigger);
  for (const std::string& word : instruction.words) text += " " + quoted(word);
  return "(" + text + ")";
}

std::string dump(std::string_view text) {
  const auto file = parse_dockerfile(text);
  if (!file) return fmt::format("{}: {}", file.error().line, file.error().message);
  std::string result;
  for (const Instruction& instruction : file->instructions) result += dump(instruction) + "\n";
  return result;
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(conformance_dockerfile, ConformanceDockerfiles) {
  namespace fs = std::filesystem;
  const fs::path folder = conformance_file("dockerfile");
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no conformance data at " << folder;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!fs::exists(entry.path() / "result")) continue;
    SCOPED_TRACE(entry.path().filename());
    std::string wanted = bytes_of(entry.path() / "result");
    if (!wanted.ends_with('\n')) wanted += '\n';
    EXPECT_EQ(dump(bytes_of(entry.path() / "Dockerfile")), wanted);
  }
  if (!fs::is_directory(folder / "negative")) return;
  for (const auto& entry : fs::directory_iterator(folder / "negative")) {
    SCOPED_TRACE(entry.path().filename());
    const auto file = parse_dockerfile(bytes_of(entry.path() / "Dockerfile"));
    ASSERT_FALSE(file);
    EXPECT_GT(file.error().line, 0);
  }
}

TEST(Dockerfile, ErrorsHaveALine) {
  EXPECT_EQ(dump(""), "1: the file has no instructions");
  EXPECT_EQ(dump("# nothing\n\n"), "2: the file has no instructions");
  EXPECT_EQ(dump("FROM a\n\nENV x\n"), "3: ENV must have two arguments");
  EXPECT_EQ(dump("FROM a\nRUN \\\n  [1]\n"), "2: a list in JSON may hold only strings");
  EXPECT_EQ(dump("FROM a\nLABEL a=b c\n"), "2: 'c' is not of the form NAME=VALUE");
  EXPECT_EQ(dump("FROM a\nRUN <<E\nb\n"), "2: the heredoc 'E' does not end");
  EXPECT_EQ(dump("# escape=x\nFROM a\n"), "1: the escape character 'x' is neither ` nor \\");
  EXPECT_EQ(dump("# syntax=a\n# syntax=b\nFROM a\n"),
            "2: only one parser directive 'syntax' can be used");
  EXPECT_EQ(dump("FROM a\nRUN " + std::string(70'000, 'x')).substr(0, 15), "2: a line is lo");
}

TEST(Dockerfile, DirectivesStandAtTheVeryTop) {
  EXPECT_EQ(parse_dockerfile("# syntax = a/b:1 \nFROM c\n")->syntax, "a/b:1");
  EXPECT_EQ(parse_dockerfile("#Syntax=a\r\nFROM c\r\n")->syntax, "a");
  EXPECT_EQ(parse_dockerfile("\n# syntax=a\nFROM c\n")->syntax, "");
  EXPECT_EQ(parse_dockerfile("# a comment\n# syntax=a\nFROM c\n")->syntax, "");
  EXPECT_EQ(parse_dockerfile("# other=1\n# syntax=a\nFROM c\n")->syntax, "");
  EXPECT_EQ(parse_dockerfile("# check=skip=all\n# syntax=a\nFROM c\n")->syntax, "a");
  EXPECT_EQ(parse_dockerfile("#!/bin/x\n# syntax=a\nFROM c\n")->syntax, "a");
  EXPECT_EQ(parse_dockerfile("// syntax=a\nFROM c\n")->syntax, "a");
  EXPECT_EQ(parse_dockerfile("{\"syntax\": \"a\"}")->syntax, "a");
  EXPECT_EQ(parse_dockerfile("\xef\xbb\xbf# escape=`\nFROM c\n")->escape, '`');
  EXPECT_EQ(parse_dockerfile("FROM c\n# escape=`\n")->escape, '\\');
}

TEST(Dockerfile, AContinuationEndsWhereNothingFollows) {
  EXPECT_EQ(dump("RUN a \\\n# comment\n\n  b\n"), "(run \"a   b\")\n");
  EXPECT_EQ(dump("RUN a \\\t \n b"), "(run \"a  b\")\n");
  EXPECT_EQ(dump("RUN a \\"), "(run \"a\")\n");
  EXPECT_EQ(dump("ENV a b\\\\\nENV c d\n"),
            "(env \"a\" \"b\\\\\\\\\" \"\")\n(env \"c\" \"d\" \"\")\n");
  EXPECT_EQ(dump("# escape=`\nRUN a\\\nRUN b`\n c\n"), "(run \"a\\\\\")\n(run \"b c\")\n");
}

TEST(Dockerfile, HeredocsMayHoldWhatLooksLikeInstructions) {
  const auto file = parse_dockerfile(
      "FROM a\nCOPY <<one <<-\"t wo\" /d/\nFROM b\none\n\t\tRUN x\n\tt wo\nRUN 3<<E "
      "cat\n$x\nE\nRUN y\n");
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->instructions.size(), 4U);
  const auto& copy = file->instructions[1];
  EXPECT_EQ(copy.line, 2);
  EXPECT_EQ(copy.end_line, 6);
  const std::vector<Heredoc> wanted = {{"one", 0, true, false, "FROM b\n"},
                                       {"t wo", 0, false, true, "\t\tRUN x\n"}};
  EXPECT_EQ(copy.heredocs, wanted);
  const std::vector<Heredoc> third = {{"E", 3, true, false, "$x\n"}};
  EXPECT_EQ(file->instructions[2].heredocs, third);
  EXPECT_EQ(file->instructions[3].line, 10);
}

TEST(Dockerfile, WhereNoHeredocCanBeThereIsNone) {
  for (const char* line : {"RUN [\"cat\", \"<<E\"]", "ENV a=<<E", "RUN cat <<<E", "RUN echo '<<E'",
                           "RUN echo \\<<E", "RUN cat <<", "CMD cat <<E"}) {
    const auto file = parse_dockerfile(std::string(line) + "\nRUN x\n");
    ASSERT_TRUE(file) << line << ": " << file.error().message;
    EXPECT_EQ(file->instructions.size(), 2U) << line;
    EXPECT_TRUE(file->instructions[0].heredocs.empty()) << line;
  }
  EXPECT_EQ(parse_dockerfile("ONBUILD RUN <<E\nx\nE\n")->instructions[0].heredocs.size(), 1U);
  EXPECT_EQ(parse_dockerfile("RUN cat << E\nx\nE\n")->instructions[0].heredocs.size(), 1U);
}

TEST(Dockerfile, FlagsEndAtTheFirstWordThatIsNone) {
  EXPECT_EQ(dump("COPY --from=a --chown=\"b c\" -- --d e /\n"),
            "(copy [\"--from=a\" \"--chown=b c\"] \"--d\" \"e\" \"/\")\n");
  EXPECT_EQ(dump("RUN --mount=type=bind,target=/x a --b\n"),
            "(run [\"--mount=type=bind,target=/x\"] \"a --b\")\n");
}

TEST(Dockerfile, WhatIsNoInstructionIsKept) {
  EXPECT_EQ(dump("FROM a\nFETCH b c\n"), "(from \"a\")\n(fetch)\n");
}

}  // namespace
}  // namespace imagewright
