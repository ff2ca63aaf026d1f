#include "core/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "conformance.h"

namespace imagewright {
namespace {

using ::testing::HasSubstr;

const std::string kHex(64, 'a');

std::string message_of(std::string_view text) {
  const auto reference = parse_reference(text);
  return reference ? "" : reference.error().message;
}

std::string full(std::string_view text) {
  const auto reference = parse_reference(text);
  return reference ? normalized(*reference) : reference.error().message;
}

TEST(Reference, ErrorsSayWhatIsWrong) {
  EXPECT_THAT(message_of(""), HasSubstr("empty"));
  EXPECT_THAT(message_of("Name:tag"), HasSubstr("lower case"));
  EXPECT_THAT(message_of("host/Name"), HasSubstr("lower case"));
  EXPECT_THAT(message_of("name:"), HasSubstr("tag"));
  EXPECT_THAT(message_of("name:-a"), HasSubstr("tag"));
  EXPECT_THAT(message_of("name@"), HasSubstr("digest"));
  EXPECT_THAT(message_of("name@sha256:" + std::string(64, 'A')), HasSubstr("digest"));
  EXPECT_THAT(message_of("name@md5:" + kHex), HasSubstr("digest"));
  EXPECT_THAT(message_of(std::string(256, 'a')), HasSubstr("too long"));
}

// A text of a megabyte was quoted whole, with whatever control characters were in it.
TEST(Reference, MessagesQuoteNoMoreThanALine) {
  for (const char* bad : {"\x1b[31m", "\n", "\x7f", ""}) {
    for (const char* form : {"", ":", "@", "/", "A"}) {
      const std::string message = message_of(bad + std::string(100'000, 'x') + form);
      EXPECT_LT(message.size(), 400U);
      EXPECT_EQ(message.find_first_of("\x1b\n\x7f"), std::string::npos) << message;
    }
  }
}

TEST(Reference, LimitsAreExact) {
  EXPECT_EQ(message_of(std::string(255, 'a')), "");
  EXPECT_EQ(message_of("a:" + std::string(128, 'b')), "");
  EXPECT_NE(message_of("a:" + std::string(129, 'b')), "");
}

TEST(Reference, Malformed) {
  for (const char* text :
       {"/a",      "a/",    "a//b",      "-a",    "a-",      "a..b",         "a___b",   "a._b",
        "a b",     "a:b:c", "a:b/c:d:e", "é",     "a:5000/", "[::1/a",       "[::g]/a", "[]/a",
        ":5000/a", "a:x/b", "-a.b/c",    "a@b@c", "a\nb",    "https://a.b/c"}) {
    EXPECT_NE(message_of(text), "") << text;
  }
}

TEST(Reference, Separators) {
  for (const char* text : {"a.b", "a_b", "a__b", "a-b", "a---b", "a-b/c__d.e", "0/1", "a.b:80/c"}) {
    EXPECT_EQ(message_of(text), "") << text;
  }
}

TEST(Reference, DomainIsByTheGrammarAlone) {
  EXPECT_EQ(parse_reference("a/b")->domain, "a");
  EXPECT_EQ(parse_reference("a")->domain, "");
  // Not a host's name, so all is path.
  EXPECT_EQ(parse_reference("a_b/c")->domain, "");
  EXPECT_EQ(parse_reference("a_b/c")->repository, "a_b/c");
  EXPECT_EQ(parse_reference("Host/c")->domain, "Host");
}

TEST(Reference, NormalizedNamesDockerHub) {
  EXPECT_EQ(full("busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(full("docker.io/busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(full("index.docker.io/busybox:1"), "docker.io/library/busybox:1");
  EXPECT_EQ(full("index.docker.io/x/y"), "docker.io/x/y:latest");
  EXPECT_EQ(full("x/y"), "docker.io/x/y:latest");
  EXPECT_EQ(full("library/busybox"), full("busybox"));
}

TEST(Reference, NormalizedKeepsOtherHosts) {
  EXPECT_EQ(full("localhost/x"), "localhost/x:latest");
  EXPECT_EQ(full("host:5000/x:1"), "host:5000/x:1");
  EXPECT_EQ(full("ghcr.io/x"), "ghcr.io/x:latest");
  EXPECT_EQ(full("Host/x"), "Host/x:latest");
  EXPECT_EQ(full("[::1]:5000/x"), "[::1]:5000/x:latest");
}

TEST(Reference, NormalizedAddsLatestOnlyWithoutDigest) {
  EXPECT_EQ(full("a@sha256:" + kHex), "docker.io/library/a@sha256:" + kHex);
  EXPECT_EQ(full("a:1@sha256:" + kHex), "docker.io/library/a:1@sha256:" + kHex);
}

TEST(conformance_reference, ConformanceImageReferences) {
  const std::string path = conformance_file("image-references.json");
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no conformance data at " << path;
  for (const auto& test : nlohmann::json::parse(file)) {
    const auto input = test.at("input").get<std::string>();
    SCOPED_TRACE(input);
    const auto reference = parse_reference(input);
    if (test.contains("error")) {
      EXPECT_FALSE(reference) << "is accepted";
      continue;
    }
    if (!reference) {
      ADD_FAILURE() << reference.error().message;
      continue;
    }
    if (test.contains("repository")) {
      EXPECT_EQ(reference->repository, test.at("repository"));
    }
    EXPECT_EQ(reference->domain, test.value("domain", ""));
    EXPECT_EQ(reference->tag, test.value("tag", ""));
    EXPECT_EQ(reference->digest, test.value("digest", ""));
  }
}

}  // namespace
}  // namespace imagewright
