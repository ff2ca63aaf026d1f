#include "core/challenge.h"

#include <gtest/gtest.h>

#include <string>

namespace imagewright {
namespace {

// "bearer realm=x service=y; basic": what a header offers.
std::string offers(const std::string& value) {
  std::string text;
  for (const Challenge& challenge : parse_challenges(value)) {
    if (!text.empty()) text += "; ";
    text += challenge.scheme;
    for (const auto& [name, its] : challenge.parameters) text += " " + name + "=" + its;
  }
  return text;
}

TEST(Challenge, SaysWhatIsWanted) {
  EXPECT_EQ(offers(R"(Bearer realm="https://auth.example.com/token",service="registry",)"
                   R"(scope="repository:a/b:pull,push")"),
            "bearer realm=https://auth.example.com/token scope=repository:a/b:pull,push "
            "service=registry");
  EXPECT_EQ(offers("Basic realm=\"a \\\"registry\\\"\""), "basic realm=a \"registry\"");
  EXPECT_EQ(offers("BASIC Realm = x"), "basic realm=x");
  EXPECT_EQ(parse_challenges("Bearer realm=x").front().parameter("service"), "");
}

TEST(Challenge, OffersSeveral) {
  EXPECT_EQ(offers(R"(Negotiate, Basic realm="x", charset="UTF-8", Bearer realm="y")"),
            "negotiate; basic charset=UTF-8 realm=x; bearer realm=y");
  EXPECT_EQ(offers("Negotiate YIIa+b/c==, Basic realm=x"), "negotiate; basic realm=x");
  EXPECT_EQ(offers("Basic"), "basic");
}

TEST(Challenge, WhatCannotBeReadEndsIt) {
  EXPECT_EQ(offers(""), "");
  EXPECT_EQ(offers(" , ,"), "");
  EXPECT_EQ(offers("\"x\""), "");
  EXPECT_EQ(offers("Basic realm=\"never ended"), "basic realm=never ended");
  EXPECT_EQ(offers("Basic realm=\"\\"), "basic realm=");
  EXPECT_EQ(offers("Basic \x01"), "basic");
}

TEST(RetryAfter, IsANumberOfSeconds) {
  EXPECT_EQ(retry_after_seconds("0"), 0);
  EXPECT_EQ(retry_after_seconds(" 120 "), 120);
  EXPECT_EQ(retry_after_seconds(""), -1);
  EXPECT_EQ(retry_after_seconds("-1"), -1);
  EXPECT_EQ(retry_after_seconds("1.5"), -1);
  EXPECT_EQ(retry_after_seconds("99999999999999999999"), -1);
  EXPECT_EQ(retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT"), -1);
}

}  // namespace
}  // namespace imagewright
