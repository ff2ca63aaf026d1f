#include "core/dockerfile_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>

#include "conformance.h"

namespace imagewright {
namespace {

using Values = std::map<std::string, std::string>;

Variables from(const Values& values) {
  return [&values](const std::string& name) {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
}

std::string expanded(std::string_view text, const Values& values, WordRules rules = {}) {
  const auto result = expand(text, rules, from(values));
  return result ? *result : "error: " + result.error();
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

TEST(conformance_dockerfile, ConformanceDockerfileVariables) {
  const std::string path = conformance_file("dockerfile-variables.txt");
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no conformance data at " << path;
  const Values values = {{"PWD", "/home"}, {"SHELL", "bash"}, {"KOREAN", "한국어"}, {"NULL", ""}};
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#' || line[0] == 'W') continue;
    const std::size_t bar = line.rfind('|');
    ASSERT_GT(bar, 1U) << "line " << number;
    const std::string word = trimmed(line.substr(2, bar - 2));
    const std::string wanted = trimmed(line.substr(bar + 1));
    const std::string got = expanded(word, values);
    EXPECT_EQ(got.starts_with("error: ") ? "error" : got, wanted)
        << "line " << number << ": " << word << " gives " << got;
  }
}

TEST(conformance_dockerfile, ConformanceDockerfileWords) {
  const std::string path = conformance_file("dockerfile-words.txt");
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no conformance data at " << path;
  Values values;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("ENV ")) {
      const std::string pair = line.substr(4);
      values[pair.substr(0, pair.find('='))] = pair.substr(pair.find('=') + 1);
      continue;
    }
    const std::size_t bar = line.find('|');
    ASSERT_NE(bar, std::string::npos) << "line " << number;
    const std::string word = trimmed(line.substr(0, bar));
    const std::string wanted = line.substr(line.find_first_not_of(' ', bar + 1));
    const auto words = expand_words(word, {}, from(values));
    EXPECT_EQ(words ? fmt::format("{}", fmt::join(*words, ",")) : "error", wanted)
        << "line " << number << ": " << word;
  }
}

TEST(DockerfileWords, PatternsCutTheLeastOrTheMost) {
  const Values values = {{"x", "a/b/c.tar.gz"}};
  EXPECT_EQ(expanded("${x#*/}", values), "b/c.tar.gz");
  EXPECT_EQ(expanded("${x##*/}", values), "c.tar.gz");
  EXPECT_EQ(expanded("${x%.*}", values), "a/b/c.tar");
  EXPECT_EQ(expanded("${x%%.*}", values), "a/b/c");
  EXPECT_EQ(expanded("${x%?}", values), "a/b/c.tar.g");
  EXPECT_EQ(expanded("${x#nothing}", values), "a/b/c.tar.gz");
  EXPECT_EQ(expanded("${unset#*}", values), "");
}

TEST(DockerfileWords, WhatIsFoundIsReplacedOnceOrEverywhere) {
  const Values values = {{"x", "aXbXc"}, {"y", "a*b?c\\d"}};
  EXPECT_EQ(expanded("${x/X/-}", values), "a-bXc");
  EXPECT_EQ(expanded("${x//X/-}", values), "a-b-c");
  EXPECT_EQ(expanded("${x//?X/}", values), "c");
  EXPECT_EQ(expanded("${x/X*/}", values), "a");
  EXPECT_EQ(expanded(R"(${y/\*/+})", values), "a+b?c\\d");
  EXPECT_EQ(expanded(R"(${y/\?/+})", values), "a*b+c\\d");
  EXPECT_EQ(expanded(R"(${y/\\/+})", values), "a*b?c+d");
  EXPECT_EQ(expanded(R"(${x/\//+})", values), "aXbXc");
  EXPECT_EQ(expanded("${x//*/-}", values), "-");
  EXPECT_EQ(expanded("${x//Z/-}", values), "aXbXc");
}

TEST(DockerfileWords, ManyStarsTakeNoLongerThanTheirNumberTimesTheText) {
  const Values values = {{"x", std::string(2000, 'a')}};
  std::string stars;
  for (int i = 0; i < 200; ++i) stars += "*a";
  EXPECT_EQ(expanded("${x##" + stars + "b}", values), values.at("x"));
}

TEST(DockerfileWords, ManyReplacementsTakeNoLongerThanOne) {
  const Values values = {{"x", std::string(100'000, 'a')}};
  EXPECT_EQ(expanded("${x//a/b}", values), std::string(100'000, 'b'));
}

TEST(DockerfileWords, TheEscapeCharacterIsTheDockerfiles) {
  WordRules rules;
  rules.escape = '`';
  const Values values = {{"x", "1"}};
  EXPECT_EQ(expanded("C:\\$x", values, rules), "C:\\1");
  EXPECT_EQ(expanded("`$x", values, rules), "$x");
}

TEST(DockerfileWords, WhatIsNestedTooDeepIsAnError) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "${x:-";
  EXPECT_EQ(expanded(text, {}).substr(0, 6), "error:");
}

TEST(DockerfileWords, UnsetVariablesCanStay) {
  WordRules rules;
  rules.keep_unset = true;
  EXPECT_EQ(expanded("a$b${c}${d:-e}", {{"c", "1"}}, rules), "a$b1${d:-e}");
}

TEST(DockerfileWords, WhatIsNoUtf8IsReplaced) {
  EXPECT_EQ(expanded("a\xff$x", {{"x", "\xc3"}}), "a\uFFFD\uFFFD");
}

}  // namespace
}  // namespace imagewright
