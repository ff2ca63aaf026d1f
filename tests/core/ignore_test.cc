#include "core/ignore.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "conformance.h"

namespace imagewright {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

IgnoreRules rules(std::string_view text) {
  auto parsed = IgnoreRules::parse(text);
  if (!parsed) {
    ADD_FAILURE() << text << ": " << parsed.error().message;
    return {};
  }
  return std::move(*parsed);
}

// Walks down to `path` as a caller would.
bool walk(const IgnoreRules& parsed, std::string_view path) {
  IgnoreRules::Matched parent;
  bool ignored = false;
  std::size_t end = 0;
  for (std::size_t start = 0; end != std::string_view::npos; start = end + 1) {
    end = path.find('/', start);
    IgnoreRules::Matched matched;
    ignored = parsed.match(path.substr(0, end), parent, &matched);
    parent = std::move(matched);
  }
  return ignored;
}

bool ignores(std::string_view text, std::string_view path) {
  return walk(rules(text), path);
}

ParseError error_of(std::string_view text) {
  const auto parsed = IgnoreRules::parse(text);
  return parsed ? ParseError{} : parsed.error();
}

TEST(Ignore, NothingWithoutRules) {
  EXPECT_TRUE(IgnoreRules().empty());
  EXPECT_FALSE(walk(IgnoreRules(), "a/b"));
  EXPECT_EQ(IgnoreRules().text(), "");
  EXPECT_TRUE(rules("# a comment\n\n  \n").empty());
}

TEST(Ignore, ReadsLines) {
  EXPECT_TRUE(ignores("\xEF\xBB\xBF# no pattern\na", "a"));
  EXPECT_TRUE(
      ignores("\xEF\xBB\xBF"
              "a",
              "a"));
  EXPECT_TRUE(ignores("  a\t\r\nb", "a"));
  EXPECT_TRUE(ignores("a/", "a"));
  EXPECT_TRUE(ignores("/a", "a"));
  EXPECT_TRUE(ignores("./a//b/../c", "a/c"));
  EXPECT_TRUE(ignores("\u00A0a\u2003", "a"));
  // A comment only in the first column.
  EXPECT_TRUE(ignores(" #a", "#a"));
  EXPECT_FALSE(ignores("#a", "#a"));
  EXPECT_FALSE(ignores("*\n ! a", "a"));
}

TEST(Ignore, LaterPatternsWin) {
  EXPECT_FALSE(ignores("*\n!a", "a"));
  EXPECT_TRUE(ignores("!a\n*", "a"));
  EXPECT_TRUE(ignores("*\n!a\na", "a"));
}

TEST(Ignore, Wildcards) {
  EXPECT_TRUE(ignores("*.go", "a.go"));
  EXPECT_FALSE(ignores("*.go", "a/b.go"));
  EXPECT_TRUE(ignores("**/*.go", "b.go"));
  EXPECT_TRUE(ignores("**/*.go", "a/a/b.go"));
  EXPECT_TRUE(ignores("a**b", "ab"));
  EXPECT_TRUE(ignores("a**b", "ax/y/b"));
  EXPECT_FALSE(ignores("a**b", "axb"));
  EXPECT_TRUE(ignores("***", "a"));
  EXPECT_FALSE(ignores("a?b", "a/b"));
  EXPECT_TRUE(ignores("\\*a", "*a"));
  EXPECT_FALSE(ignores("\\*a", "ba"));
}

TEST(Ignore, ClassesMatchCodePoints) {
  EXPECT_TRUE(ignores("a?b", "aéb"));
  EXPECT_FALSE(ignores("a??b", "aéb"));
  EXPECT_TRUE(ignores("[α-ω]", "λ"));
  EXPECT_FALSE(ignores("*???", "éé"));
  EXPECT_TRUE(ignores("[\\]a]", "]"));
  EXPECT_TRUE(ignores("*[[]", "["));
  // Unlike `?` and `*`.
  EXPECT_TRUE(ignores("a[^a]b", "a/b"));
}

TEST(Ignore, NamesThatAreNotUtf8) {
  EXPECT_TRUE(ignores("a?b",
                      "a\xff"
                      "b"));
  EXPECT_TRUE(ignores("*b",
                      "\xff\xc3"
                      "b"));
  EXPECT_TRUE(ignores("?", "\xed\xa0\x80") == ignores("?", "abc"));
}

// BuildKit sends patterns as JSON, which cannot hold such a byte: nobody knows what arrives. And
// U+FFFD is any such byte behind a wildcard (`*\uFFFD`), but not elsewhere (`**\uFFFD`).
TEST(Ignore, PatternsThatAreNotUtf8) {
  for (const char* pattern : {"a\xff", "*\xff", "\uFFFD", "**\uFFFD", "*\uFFFD"}) {
    EXPECT_FALSE(ignores(pattern, "a\xff")) << pattern;
    EXPECT_FALSE(ignores(pattern, "\uFFFD")) << pattern;
    EXPECT_EQ(rules(pattern).warnings().size(), 1U) << pattern;
  }
}

TEST(Ignore, BracesAreThemselves) {
  EXPECT_TRUE(ignores("*.{js,ts}", "a.{js,ts}"));
  EXPECT_FALSE(ignores("*.{js,ts}", "a.js"));
  EXPECT_THAT(rules("*.{js,ts}").warnings(), IsEmpty());
}

// Each directory's result feeds its entries: the stateless form has it otherwise.
TEST(Ignore, EntriesInherit) {
  EXPECT_TRUE(ignores("a/*\n!a", "a/c"));
  EXPECT_FALSE(ignores("a\n!a/b", "a/b/c"));
  EXPECT_TRUE(ignores("a\n!a/b", "a/c"));
}

// An exception that could change nothing at a directory is not tried there, so its entries do not
// inherit it.
TEST(Ignore, UntriedExceptionsAreNotInherited) {
  EXPECT_TRUE(ignores("b/a\n!b", "b/a"));
  EXPECT_FALSE(ignores("b\nb/a\n!b", "b/a"));
}

TEST(Ignore, DoubleStarDoesNotCrossNewlines) {
  EXPECT_FALSE(ignores("**/a*", "x\ny/ab"));
  EXPECT_TRUE(ignores("**/a*", "xy/ab"));
  EXPECT_TRUE(ignores("**/ab", "x\ny/ab"));
  EXPECT_TRUE(ignores("?*", "x\ny"));
}

// The greedy way to match would give up here: the class takes the slash that the star cannot.
TEST(Ignore, StarGivesBackAcrossClasses) {
  EXPECT_TRUE(ignores("*[^a]*y", "b/y"));
}

TEST(Ignore, WithoutParentsTheyAreTried) {
  EXPECT_TRUE(rules("a").match("a/b/c", {}, nullptr));
  EXPECT_FALSE(rules("b").match("a/b/c", {}, nullptr));
}

TEST(Ignore, Errors) {
  EXPECT_EQ(error_of("a\n!\n").line, 2);
  EXPECT_THAT(error_of("!").message, HasSubstr("alone"));
  EXPECT_THAT(error_of("!/").message, HasSubstr("alone"));
  EXPECT_THAT(error_of("\n\n[").message, HasSubstr("malformed"));
  EXPECT_EQ(error_of("\n\n[x-]").line, 3);
  EXPECT_NE(error_of("a[").message, "");
  EXPECT_NE(error_of("a\\").message, "");
  EXPECT_EQ(error_of("# " + std::string(65535, 'a')).line, 1);
  EXPECT_EQ(error_of(std::string(65535, 'a')).message, "");
}

// The first check of moby's matcher looks no further than a `*`; its regular expression fails
// later.
TEST(Ignore, MalformedBehindAStar) {
  EXPECT_NE(error_of("a*[").message, "");
  EXPECT_NE(error_of("a*[b-a]").message, "");
}

// The comparison with BuildKit took it for sound: cleaned behind a `!`, it was another pattern.
TEST(Ignore, MalformedAboveTheRoot) {
  EXPECT_NE(error_of("../../[b-a]").message, "");
}

TEST(Ignore, OddPatternsIncludeMoreAndWarn) {
  for (const char* odd : {"a|b*", "^a*", "a{2}*", "\\d*", "x*[*]", "x*[[:alpha:]]", "a*\\",
                          "x*[]a]", "x*[a-b-c]", "\uFEFFa*"}) {
    const IgnoreRules excluding = rules(std::string("z\n") + odd);
    ASSERT_EQ(excluding.warnings().size(), 1U) << odd;
    EXPECT_THAT(excluding.warnings()[0], HasSubstr("line 2: ")) << odd;
    for (const char* path : {"a", "aa", "b", "d", "1", "xa", "x*", "x]", "^a"}) {
      EXPECT_FALSE(walk(excluding, path)) << odd << " " << path;
      EXPECT_FALSE(ignores(std::string("**\n!") + odd, path)) << odd << " " << path;
    }
    EXPECT_EQ(excluding.text(), "z\n") << odd;
  }
  // It may include anything: what stands before it has nothing to say.
  EXPECT_EQ(rules("*\n!a|b*").text(), "");
  EXPECT_EQ(rules("*\n!a|b*\n.env").text(), ".env\n!.env/**\n");
}

// Had the odd pattern ignored `b`, the exception would have been tried there, and b/a inherited it.
TEST(Ignore, OddPatternsMayLetExceptionsBeTried) {
  EXPECT_TRUE(ignores("b/a\n!b", "b/a"));
  EXPECT_FALSE(ignores("x|y*\nb/a\n!b", "b/a"));
}

// Had it ignored `q`, the last pattern would not have been tried there, and q/r not inherited it.
TEST(Ignore, OddPatternsMayKeepOthersFromBeingTried) {
  const IgnoreRules parsed = rules("x|y*\n!q/r\nq");
  EXPECT_TRUE(walk(parsed, "q"));
  EXPECT_FALSE(walk(parsed, "q/r"));
  EXPECT_FALSE(walk(parsed, "q/s"));
  EXPECT_FALSE(parsed.can_prune("q"));
  ASSERT_EQ(parsed.warnings().size(), 2U);
  EXPECT_THAT(parsed.warnings()[1], HasSubstr("line 3: "));
  EXPECT_EQ(parsed.text(), "!q/r\n!q/r/**\nq\n!q/**\n");
}

TEST(Ignore, OddPatternsLeaveOthersAlone) {
  // Before them, and behind them up to an exception.
  for (const char* text : {"n\nx|y*", "n\nx|y*\n!b", "x|y*\nn", "x|y*\nn\n!b"}) {
    EXPECT_TRUE(ignores(text, "n/a")) << text;
    EXPECT_EQ(rules(text).warnings().size(), 1U) << text;
  }
}

// `.**/**` would be `.a`, too; `**a/**` not xa/b; and `^` means something behind a wildcard.
TEST(Ignore, TextOfWhatIsBelowAnOddPattern) {
  for (const char* pattern : {".**", "a**", "**a", "*a**", "**", "**/^a", "^a", "a|b", "a{2}",
                              "***", "\\***", "a/b", "*.a", "**/*.a", ".", "..", "[^a]", "*\\^a"}) {
    const IgnoreRules odd = rules(fmt::format("z\nx|y*\n!b\n{}", pattern));
    const IgnoreRules again = rules(odd.text());
    EXPECT_THAT(again.warnings(), IsEmpty()) << odd.text();
    for (const char* path : {"a",      ".a", ".a/b", "xa",     "xa/b", "a/b",   "a/b/c",
                             "a/xa/b", "^a", "^a/b", "d/^a/b", "a|b",  "a|b/c", "a{2}/b",
                             "z/a",    "b",  "b/a",  "*a/b",   "c.a",  "c.a/b", "x^a/b"}) {
      EXPECT_EQ(walk(odd, path), walk(again, path)) << pattern << " " << path;
    }
  }
}

// What would be odd is not, where moby's matcher compares texts.
TEST(Ignore, PlainPatternsAreNeverOdd) {
  for (const char* plain : {"a|b", "^a", "a{2}", "a.|)$(}+{bc"}) {
    EXPECT_TRUE(ignores(plain, plain));
    EXPECT_THAT(rules(plain).warnings(), IsEmpty());
  }
}

TEST(Ignore, Prune) {
  EXPECT_TRUE(rules("a").can_prune("a"));
  EXPECT_TRUE(rules("*\n!b").can_prune("a"));
  EXPECT_FALSE(rules("*\n!a/b").can_prune("a"));
  EXPECT_TRUE(rules("*\n!a/b").can_prune("a/c"));
  EXPECT_TRUE(rules("*\n!ab").can_prune("a"));
  EXPECT_FALSE(rules("*\n!a/b/**").can_prune("a"));
  EXPECT_FALSE(rules("*\n!**/b").can_prune("a"));
  EXPECT_FALSE(rules("*\n!a/*.go").can_prune("a"));
  EXPECT_TRUE(rules("*\n!a/*.go").can_prune("b"));
  EXPECT_TRUE(rules("*\n!a/*.go").can_prune("a/b"));
  EXPECT_FALSE(rules("*\n!?/b").can_prune("a"));
  EXPECT_TRUE(rules("*\n!?/b").can_prune("aa"));
  EXPECT_FALSE(rules("*\n!a/**/b").can_prune("a/x/y"));
  EXPECT_TRUE(rules("*\n!a/**/b").can_prune("c"));
}

// `!src/**` matches src/node_modules before the last pattern has its say, and can do no more below
// it.
TEST(Ignore, PruneWhatWasIncludedAndIgnoredAgain) {
  EXPECT_TRUE(rules("*\n!src/**\n**/node_modules").can_prune("src/node_modules"));
  EXPECT_FALSE(ignores("*\n!src/**\n**/node_modules", "src/a"));
  EXPECT_TRUE(ignores("*\n!src/**\n**/node_modules", "src/node_modules/a"));
}

TEST(Ignore, TextIsCleaned) {
  EXPECT_EQ(rules("# comment\n /a/ \n\n! b//c\n**/\n").text(), "a\n!b/c\n**\n");
}

TEST(Ignore, OlderEnginesReadSomeOtherwise) {
  for (const char* text :
       {"!a", "a\n!b", "a+b", "f(x)", "a|b", "**a", "*.{js,ts}", "^a", "x*[^a]+"}) {
    EXPECT_TRUE(rules(text).has_exceptions()) << text;
  }
  for (const char* text : {"", "a.b", "$a", "*.go", "**/a", "**/*.go", "a/**", "a?[^b-d]", "**"}) {
    EXPECT_FALSE(rules(text).has_exceptions()) << text;
  }
}

// Lines that a reader would take for something else, each found by comparing with moby's matcher.
TEST(Ignore, TextReadsBackTheSame) {
  for (const char* text : {" #a",
                           "/#a",
                           "!#a",
                           "/!./**",
                           "!!a",
                           "! /a",
                           "!/ a",
                           "/ ./ a",
                           "a /. /",
                           "!a /. /",
                           "!../a",
                           "../a",
                           "!.",
                           ".",
                           "/!../a",
                           "\\!a",
                           "a\\ b",
                           "/\u00A0./ a",
                           "!/\u2003"
                           "a /. /",
                           "**",
                           "!**a"}) {
    const IgnoreRules first = rules(text);
    const IgnoreRules second = rules(first.text());
    EXPECT_EQ(first.text(), second.text()) << text;
    for (const char* path : {"a", " a", "a ", "#a", "!a", "./a", "b", " a ",
                             "\u2003"
                             "a "}) {
      EXPECT_EQ(walk(rules("**\n" + std::string(text)), path),
                walk(rules("**\n" + first.text()), path))
          << text << " " << path;
      EXPECT_EQ(walk(first, path), walk(second, path)) << text << " " << path;
    }
  }
  EXPECT_EQ(rules(" #a").text(), "/#a\n");
  EXPECT_EQ(rules("/!./**").text(), "/!./**\n");
  EXPECT_EQ(rules("/ ./ a").text(), "/ ./ a\n");
  EXPECT_EQ(rules("a /. /").text(), "a /. /\n");
}

// No relative path matches a rooted pattern, and no line gives one but by way of the two trims.
TEST(Ignore, RootedPatternsMatchNothing) {
  EXPECT_FALSE(ignores("/ /a", "a"));
  EXPECT_EQ(rules("/ /a").text(), "");
  EXPECT_FALSE(ignores("/", "a"));
}

TEST(Ignore, HostilePatternsEndSoon) {
  std::string stars = "?";
  for (int i = 0; i < 2000; ++i) stars += "*a";
  EXPECT_FALSE(ignores(stars + "*b?", std::string(4000, 'a') + "b"));
  EXPECT_TRUE(ignores(stars + "*", std::string(4000, 'a')));
  std::string directories;
  for (int i = 0; i < 500; ++i) directories += "**/*a/";
  std::string path;
  for (int i = 0; i < 1000; ++i) path += "a/";
  IgnoreRules::Matched parent;
  parent.is_known = true;
  EXPECT_FALSE(rules(directories + "b").match(path + "a", parent, nullptr));
}

TEST(Glob, ParentsCount) {
  EXPECT_TRUE(*glob_match("a*", "ab/c"));
  EXPECT_FALSE(*glob_match("*c", "ab/c"));
  EXPECT_FALSE(*glob_match("!a", "a"));
  EXPECT_FALSE(*glob_match("", "a"));
}

TEST(Glob, Malformed) {
  for (const char* pattern : {"[", "[^", "[^bc", "a[", "[]a]", "[-]", "[-x]", "[x-]", "[a-b-c]",
                              "\\", "*[", "[\xff]", "!"}) {
    EXPECT_FALSE(glob_match(pattern, "a")) << pattern;
  }
}

TEST(conformance_ignore, ConformanceMatch) {
  const std::string path = conformance_file("ignore-match.json");
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no conformance data at " << path;
  const auto tests = nlohmann::json::parse(file);
  ASSERT_TRUE(tests.is_array()) << path;
  for (const auto& test : tests) {
    SCOPED_TRACE(test.dump());
    std::string text;
    for (const auto& pattern : test.at("patterns")) text += pattern.get<std::string>() + "\n";
    EXPECT_EQ(ignores(text, test.at("path").get<std::string>()), test.at("ignored").get<bool>());
  }
}

TEST(conformance_ignore, ConformanceGlob) {
  const std::string path = conformance_file("ignore-glob.json");
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no conformance data at " << path;
  const auto tests = nlohmann::json::parse(file);
  ASSERT_TRUE(tests.is_array()) << path;
  for (const auto& test : tests) {
    SCOPED_TRACE(test.dump());
    const auto pattern = test.at("pattern").get<std::string>();
    const auto name = test.at("path").get<std::string>();
    const auto matched = glob_match(pattern, name);
    EXPECT_EQ(!matched, test.at("error").get<bool>());
    if (!matched) continue;
    EXPECT_EQ(*matched, test.at("match").get<bool>());
    EXPECT_EQ(ignores(pattern, name), *matched);
  }
}

}  // namespace
}  // namespace imagewright
