#include "io/git_settings.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <optional>
#include <string>

namespace imagewright {
namespace {

const std::string kUrl = "https://git.example.com/team/app.git";

// What this machine's environment says of certificates is no matter here.
class GitSettingsTest : public testing::Test {
 protected:
  GitSettingsTest() {
    for (const char* name : {"GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY", "GIT_SSL_CAPATH"})
      unsetenv(name);
  }

  // Of one setting, "KEY VALUE".
  static std::optional<HttpTrust> trust(const std::string& setting, const std::string& url = kUrl) {
    std::string text = setting;
    if (const std::size_t blank = text.find(' '); blank != std::string::npos) text[blank] = '\n';
    return GitSettings(text + '\0').trust_for(url);
  }
  static bool left_to_us(const std::string& setting) { return trust(setting).has_value(); }
};

TEST_F(GitSettingsTest, WithoutAnyARepositoryIsAskedByUs) {
  EXPECT_TRUE(GitSettings("").trust_for(kUrl));
  for (const char* setting :
       {"user.name Some One", "core.autocrlf true", "http.postbuffer 524288000",
        "protocol.version 2", "credential.helper store",
        "url.https://other.example.com/.insteadof gh:",
        "url.git@git.example.com:.pushinsteadof https://git.example.com/", "alias.x y",
        "nonsense"}) {
    EXPECT_TRUE(left_to_us(setting)) << setting;
  }
}

TEST_F(GitSettingsTest, WhatOnlyGitHeedsIsLeftToGit) {
  for (const char* setting :
       {"http.proxy http://proxy:3128", "http.version HTTP/1.1", "http.sslcert /etc/own.pem",
        "http.sslcainfo ca.pem", "http.extraheader Authorization: x", "http.cookiefile /c",
        "http.followredirects false", "http.https://git.example.com.proxy http://proxy:3128",
        "http.https://user@GIT.example.com/team.sslverify false",
        "http.https://*.example.com.proxy p", "http.https://git.example.com:443/.extraheader x",
        "protocol.version 0", "protocol.allow never", "protocol.https.allow never",
        "url.ssh://git@git.example.com/.insteadof https://git.example.com/",
        "url./srv/mirror/.insteadof https://"}) {
    EXPECT_FALSE(left_to_us(setting)) << setting;
  }
}

TEST_F(GitSettingsTest, WhatIsForAnotherHostIsNoMatter) {
  EXPECT_TRUE(left_to_us("http.https://other.example.com/.proxy http://proxy:3128"));
  EXPECT_TRUE(left_to_us("url.ssh://git@x/.insteadof https://other.example.com/"));
}

TEST_F(GitSettingsTest, CertificatesAreJudgedAsGitIsTold) {
  EXPECT_EQ(trust("http.sslcainfo /etc/ca.pem")->bundle, "/etc/ca.pem");
  EXPECT_TRUE(trust("http.sslverify false")->any_certificate);
  EXPECT_TRUE(trust("http.sslverify 0")->any_certificate);
  EXPECT_FALSE(trust("http.sslverify true")->any_certificate);
  EXPECT_FALSE(trust("http.sslverify")->any_certificate);
  setenv("GIT_SSL_CAINFO", "/etc/other.pem", 1);
  EXPECT_EQ(trust("http.sslcainfo /etc/ca.pem")->bundle, "/etc/other.pem");
  setenv("GIT_SSL_NO_VERIFY", "1", 1);
  EXPECT_TRUE(trust("http.sslverify true")->any_certificate);
}

TEST_F(GitSettingsTest, WithoutTlsNothingThatIsSaidOfItMatters) {
  EXPECT_TRUE(trust("http.sslcert /etc/own.pem", "http://git.example.com/a"));
  EXPECT_FALSE(trust("http.proxy http://proxy:3128", "http://git.example.com/a"));
}

}  // namespace
}  // namespace imagewright
