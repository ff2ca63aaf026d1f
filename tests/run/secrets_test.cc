#include "run/secrets.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>

#include "io/error.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

TEST(Redaction, TakesOutWholeContents) {
  const Redaction redact({"hush-hush\n", "hush", "abc", ""});
  EXPECT_EQ(redact("a hush-hush b"), "a *** b");
  EXPECT_EQ(redact("hushhush hus h"), "****** hus h");
  EXPECT_EQ(redact("abc stays: three bytes are no secret"), "abc stays: three bytes are no secret");
  EXPECT_EQ(redact(""), "");
  EXPECT_EQ(Redaction({"****"})("*****"), "****") << "it comes to an end";
}

TEST(Redaction, TakesOutTheLinesOfALongOne) {
  const Redaction redact({"machine example\r\n  password hidden\nend\n"});
  EXPECT_EQ(redact("> machine example"), "> ***");
  EXPECT_EQ(redact(">   password hidden<"), "> ***<");
  EXPECT_EQ(redact("end"), "end");
}

TEST(Secrets, AreReadAndDigestedByKey) {
  const TempDirectory home;
  home.write("s/file", "content");
  setenv("IMAGEWRIGHT_TEST_SECRET", "content", 1);
  const auto of = [&](const std::string& key) {
    return Secrets(home.path(), [key] { return key; });
  };
  Secrets secrets(home.path(), [] { return "k"; });
  const std::vector<Secret> wanted = {{"a", "s/file", ""}, {"b", "", "IMAGEWRIGHT_TEST_SECRET"}};
  EXPECT_EQ(contents_of(wanted, home.path()), (std::vector<std::string>{"content", "content"}));
  const auto digests = secrets.digests(wanted);
  EXPECT_EQ(digests.at("a"), digests.at("b"));
  EXPECT_EQ(digests.at("a").size(), 64U);
  EXPECT_EQ(of("k").digests(wanted), digests);
  EXPECT_NE(of("other").digests(wanted), digests);
  unsetenv("IMAGEWRIGHT_TEST_SECRET");
  EXPECT_THROW(contents_of(wanted, home.path()), Error);
  EXPECT_THROW(secrets.digests({{"a", "s/none", ""}}), Error);
  // Nobody needs a key for nothing.
  Secrets unasked(home.path(), []() -> std::string { throw std::logic_error("no key is needed"); });
  EXPECT_TRUE(unasked.digests({}).empty());
}

TEST(Secrets, PathsAreMadeAbsolute) {
  BuildOptions options;
  options.secrets = {{"a", "../f", ""}, {"b", "", "V"}, {"c", "/f", ""}};
  options.ssh = {"default", "k=keys/k"};
  const BuildOptions absolute = with_absolute_paths(options, "/base/dir");
  EXPECT_EQ(absolute.secrets[0].file, "/base/f");
  EXPECT_EQ(absolute.secrets[1].file, "");
  EXPECT_EQ(absolute.secrets[2].file, "/f");
  EXPECT_EQ(absolute.ssh, (std::vector<std::string>{"default", "k=/base/dir/keys/k"}));
}

}  // namespace
}  // namespace imagewright
