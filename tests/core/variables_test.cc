#include "core/variables.h"

#include <gtest/gtest.h>

namespace imagewright {
namespace {

std::optional<std::string> lookup(const std::string& name) {
  if (name == "A") return "a value";
  if (name == "_b2") return "$A${A}";
  if (name == "EMPTY") return "";
  return std::nullopt;
}

std::string expanded(std::string_view text, std::size_t limit = 1000) {
  auto result = expand_variables(text, lookup, limit);
  return result ? *result : "error: " + result.error().message;
}

TEST(Variables, AreReplaced) {
  EXPECT_EQ(expanded(""), "");
  EXPECT_EQ(expanded("no } variable {"), "no } variable {");
  EXPECT_EQ(expanded("${A}"), "a value");
  EXPECT_EQ(expanded("-${A}${A}-"), "-a valuea value-");
  EXPECT_EQ(expanded("${EMPTY}"), "");
  EXPECT_EQ(expanded("$$"), "$");
  EXPECT_EQ(expanded("$${A} $$$$ $$x"), "${A} $$ $x");
}

TEST(Variables, AValueIsNotLookedIntoAgain) {
  EXPECT_EQ(expanded("${_b2}"), "$A${A}");
}

TEST(Variables, HaveDefaults) {
  EXPECT_EQ(expanded("${NONE:-d}${NONE-d}"), "dd");
  EXPECT_EQ(expanded("${EMPTY:-d}-${EMPTY-d}"), "d-");
  EXPECT_EQ(expanded("${A:-d}${A-d}"), "a valuea value");
  EXPECT_EQ(expanded("${NONE:-}${NONE-}"), "");
  EXPECT_EQ(expanded("${NONE:-${A}/${OTHER-x$$y}}"), "a value/x$y");
  EXPECT_EQ(expanded("${A:-${NONE}}"), "a value") << "a default that is not needed may be unset";
  EXPECT_EQ(expanded("${NONE:--:?}"), "-:?");
}

TEST(Variables, MustBeSet) {
  EXPECT_EQ(expanded("x ${NONE}"),
            "error: the variable 'NONE' is not set; set it in the environment or in 'vars', or "
            "give a default: ${NONE:-default}");
}

TEST(Variables, OfALongTextTheLineAloneIsTold) {
  EXPECT_EQ(expanded("FROM scratch\nCOPY a /\nENV P=$HOME/x\nRUN y"),
            "error: in 'ENV P=$HOME/x' (line 3 of the text) a '$' is followed by neither '{' nor "
            "'$'; a variable is written ${NAME}, a dollar sign $$");
}

TEST(Variables, RefuseOtherForms) {
  for (const char* text : {"$A", "a$", "$ ", "$(A)"}) {
    EXPECT_EQ(expanded(text), "error: in '" + std::string(text) +
                                  "' a '$' is followed by neither '{' nor '$'; a variable is "
                                  "written ${NAME}, a dollar sign $$");
  }
  for (const char* text : {"${}", "${1}", "${A:?x}", "${A:+x}", "${A B}", "${A:}", "${-x}"}) {
    EXPECT_EQ(expanded(text), "error: '" + std::string(text) +
                                  "' is no variable; known are ${NAME}, ${NAME:-default} and "
                                  "${NAME-default}, with letters, digits and '_' in a name");
  }
  EXPECT_EQ(expanded("${A"), "error: '${A' is not closed by '}'");
  EXPECT_EQ(expanded("${NONE:-${A}"), "error: '${NONE:-${A}' is not closed by '}'");
}

TEST(Variables, AreBounded) {
  EXPECT_EQ(expanded("${A}", 7), "a value");
  EXPECT_EQ(expanded("${A}", 6), "error: with its variables expanded, the text is too long");
  std::string nested = "x";
  for (int i = 0; i < 16; ++i) nested = "${NONE:-" + nested + "}";
  EXPECT_EQ(expanded(nested), "x");
  EXPECT_EQ(expanded("${NONE:-" + nested + "}"),
            "error: defaults of variables are nested more than 16 deep");
}

TEST(Variables, HaveNames) {
  EXPECT_TRUE(is_variable_name("_a1Z"));
  for (const char* name : {"", "1a", "a-b", "a.b", "\xc3\xa4"})
    EXPECT_FALSE(is_variable_name(name));
}

}  // namespace
}  // namespace imagewright
