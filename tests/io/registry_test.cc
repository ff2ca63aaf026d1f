#include "io/registry.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>

#include "io/registry_credentials.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

std::string name_of(const std::string& text) {
  const RegistryName name = registry_name(*parse_reference(text));
  return name.registry + " " + name.repository + " " + name.tag;
}

TEST(RegistryName, IsWhereAReferenceLeads) {
  EXPECT_EQ(name_of("debian"), "docker.io library/debian latest");
  EXPECT_EQ(name_of("index.docker.io/team/app:1"), "docker.io team/app 1");
  EXPECT_EQ(name_of("localhost:5000/a/b:c"), "localhost:5000 a/b c");
  const std::string digest = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(name_of("ghcr.io/a/b@" + digest), "ghcr.io a/b " + digest);
  EXPECT_EQ(name_of("ghcr.io/a/b:1@" + digest), "ghcr.io a/b " + digest);
}

TEST(Registries, KnowWhichMayBeAskedByPlainHttp) {
  const TempDirectory directory;
  const Registries registries(directory.path(), {"registry.lan:5000"});
  for (const char* name : {"localhost", "localhost:5000", "127.0.0.1:80", "127.1.2.3", "[::1]:5000",
                           "registry.lan:5000"}) {
    EXPECT_TRUE(registries.is_insecure(name)) << name;
  }
  for (const char* name : {"docker.io", "localhost.example.com", "127.0.0.1.example.com",
                           "registry.lan", "10.0.0.1", "registry.lan:5001"}) {
    EXPECT_FALSE(registries.is_insecure(name)) << name;
  }
}

class Credentials : public testing::Test {
 protected:
  Credentials() {
    for (const char* name : {"REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"})
      unsetenv(name);
    setenv("DOCKER_CONFIG", directory_.path().c_str(), 1);
    setenv("HOME", directory_.path().c_str(), 1);
  }
  ~Credentials() override { unsetenv("DOCKER_CONFIG"); }

  void write(const std::string& name, const std::string& text) const {
    directory_.write(name, text);
  }
  static std::string found(const std::string& registry, const std::string& repository = "a/b") {
    const auto login = find_credentials(registry, repository);
    if (!login) return "none";
    return login->user + ":" + login->password + ":" + login->identity_token;
  }

  TempDirectory directory_;
};

TEST_F(Credentials, AreFoundUnderEverySpelling) {
  // (`dTpw` is u:p.)
  write("config.json", R"({"auths": {"https://index.docker.io/v1/": {"auth": "aHViOnA="},
                                     "ghcr.io": {"auth": "dTpw"},
                                     "https://quay.io/v2/": {"auth": "dTpw"},
                                     "token.io": {"auth": "", "identitytoken": "t"},
                                     "plain.io": {"username": "x", "password": "y"},
                                     "bad.io": {"auth": "!"}, "worse.io": 1}})");
  EXPECT_EQ(found("docker.io"), "hub:p:");
  EXPECT_EQ(found("ghcr.io"), "u:p:");
  EXPECT_EQ(found("quay.io"), "u:p:");
  EXPECT_EQ(found("token.io"), "::t");
  EXPECT_EQ(found("plain.io"), "x:y:");
  EXPECT_EQ(found("bad.io"), "none");
  EXPECT_EQ(found("worse.io"), "none");
  EXPECT_EQ(found("other.io"), "none");
}

TEST_F(Credentials, APartOfThePathMayHaveItsOwn) {
  write("auth.json",
        R"({"auths": {"ghcr.io/a": {"auth": "dTpw"}, "ghcr.io": {"auth": "aHViOnA="}}})");
  setenv("REGISTRY_AUTH_FILE", (directory_.path() / "auth.json").c_str(), 1);
  EXPECT_EQ(found("ghcr.io", "a/b/c"), "u:p:");
  EXPECT_EQ(found("ghcr.io", "ab/c"), "hub:p:");
  unsetenv("REGISTRY_AUTH_FILE");
}

TEST_F(Credentials, FilesThatCannotBeReadAreNone) {
  EXPECT_EQ(found("docker.io"), "none");
  write("config.json", "{");
  EXPECT_EQ(found("docker.io"), "none");
  write("config.json", "[]");
  EXPECT_EQ(found("docker.io"), "none");
  write("config.json", R"({"credsStore": "none-such", "auths": {"docker.io": {"auth": "dTpw"}}})");
  EXPECT_EQ(found("docker.io"), "u:p:");
}

}  // namespace
}  // namespace imagewright
