#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "io/docker_engine.h"
#include "io/docker_socket.h"
#include "io/engine_memory.h"
#include "io/error.h"
#include "io/staging.h"
#include "io/tree.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

using testing::ElementsAre;

class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (old_) {
      setenv(name_, old_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(DockerSocket, TheHostIsFoundAsTheCliFindsIt) {
  const TempDirectory home;
  const Variable config("DOCKER_CONFIG", home.path().string());
  const Variable context("DOCKER_CONTEXT", "");
  const Variable none("DOCKER_HOST", "");
  EXPECT_EQ(docker_host(), "unix:///var/run/docker.sock");
  home.write("config.json", R"({"currentContext": "other"})");
  home.write("contexts/meta/" + hex(sha256("other")) + "/meta.json",
             R"({"Name": "other", "Endpoints": {"docker": {"Host": "unix:///run/other.sock"}}})");
  EXPECT_EQ(docker_host(), "unix:///run/other.sock");
  const Variable host("DOCKER_HOST", "tcp://10.0.0.1:2375");
  EXPECT_EQ(docker_host(), "tcp://10.0.0.1:2375");
}

TEST(DockerSocket, NobodyThereIsNoAnswer) {
  const Variable host("DOCKER_HOST", "unix:///nonexistent/docker.sock");
  EXPECT_FALSE(docker_daemon());
  EXPECT_EQ(docker_info(), "");
  EXPECT_FALSE(docker_images());
}

// A directory of programs, to be the whole PATH.
class Programs {
 public:
  Programs() : path_("PATH", directory_.path().string()) {}
  void add(const std::string& name, const std::string& says) {
    directory_.write(name, "#!/bin/sh\necho '" + says + "'\n", 0755);
  }

 private:
  TempDirectory directory_;
  Variable path_;
};

std::string found(const std::string& wish, const TempDirectory& cache) {
  try {
    return find_engine(wish, cache.path())->name();
  } catch (const Error& error) {
    return error.kind() == Error::Kind::Missing ? "missing" : "mistake";
  }
}

constexpr char kNoDaemon[] = "unix:///nonexistent/docker.sock";

TEST(FindEngine, AnUnknownEngineIsAMistakeOfTheUsers) {
  const TempDirectory cache;
  EXPECT_EQ(found("rkt", cache), "mistake");
}

TEST(FindEngine, NoEngineAtAllIsMissing) {
  const TempDirectory cache;
  const Programs none;
  for (const char* name : {"", "docker", "buildah", "podman"})
    EXPECT_EQ(found(name, cache), "missing") << name;
}

TEST(FindEngine, BuildahComesBeforePodmanAndADockerWithoutADaemonIsNone) {
  const TempDirectory cache;
  const Variable host("DOCKER_HOST", kNoDaemon);
  Programs programs;
  programs.add("docker", "Docker version 28.2.2, build e6534b4");
  EXPECT_EQ(found("", cache), "missing");
  EXPECT_EQ(found("docker", cache), "missing");
  programs.add("podman", "podman version 4.3.1");
  EXPECT_EQ(found("", cache), "podman");
  EXPECT_EQ(found("docker", cache), "missing");
  programs.add("buildah", "buildah version 1.28.2 (image-spec 1.1.0-rc2)");
  EXPECT_EQ(found("", cache), "buildah");
  EXPECT_EQ(found("podman", cache), "podman");
}

TEST(FindEngine, ADockerThatIsPodmanIsPodman) {
  const TempDirectory cache;
  const Variable host("DOCKER_HOST", kNoDaemon);
  Programs programs;
  programs.add("docker", "podman version 4.3.1");
  EXPECT_EQ(found("", cache), "podman");
  EXPECT_EQ(found("docker", cache), "podman");
  EXPECT_EQ(found("podman", cache), "podman");
  EXPECT_TRUE(find_docker_cli(cache.path()).is_podman);
  // It is asked again when it becomes another program.
  programs.add("docker", "Docker version 28.2.2, build e6534b4, indeed");
  EXPECT_FALSE(find_docker_cli(cache.path()).is_podman);
  EXPECT_EQ(found("podman", cache), "missing");
}

TEST(FindEngine, ADockerThatSaysNoVersionIsNone) {
  const TempDirectory cache;
  Programs programs;
  programs.add("docker", "what?");
  EXPECT_EQ(found("", cache), "missing");
  EXPECT_EQ(found("docker", cache), "missing");
}

TEST(Staging, NamesAreOfTheContentAndTheImageIdMustBeOne) {
  const TempDirectory cache;
  const TempDirectory context;
  const std::vector<Entry> entries;
  BuildRequest request;
  request.context = context.path();
  request.context_name = "c0ffee";
  request.entries = [&] { return entries; };
  request.dockerfile = "FROM scratch\n";
  const Staging one(cache.path(), request, Staging::Context::Directory);
  request.dockerfile = "FROM other\n";
  const Staging other(cache.path(), request, Staging::Context::Directory);
  EXPECT_NE(one.dockerfile().filename(), other.dockerfile().filename());
  EXPECT_EQ(one.ignore_file(), one.dockerfile().string() + ".dockerignore");
  const std::filesystem::path link = one.named_context();
  EXPECT_EQ(std::filesystem::read_symlink(link), context.path());
  EXPECT_EQ(link.filename(), "c0ffee");
  EXPECT_EQ(one.image_id(), "");
  write_file(one.image_id_file(), "sha256:" + std::string(64, 'a'));
  EXPECT_EQ(one.image_id(), "sha256:" + std::string(64, 'a'));
  write_file(one.image_id_file(), "sha256:" + std::string(63, 'a') + "g");
  EXPECT_EQ(one.image_id(), "");
}

TEST(Staging, ThereIsAlwaysARuleSoThatNoEngineReadsTheContextsOwn) {
  const TempDirectory cache;
  BuildRequest request;
  request.context = "/context";
  request.context_name = "c";
  const auto rules = [&](const std::string& ignore) {
    request.ignore = ignore;
    return read_file(Staging(cache.path(), request, Staging::Context::Directory).ignore_file());
  };
  EXPECT_EQ(rules("a\n!b\n"), "a\n!b\n");
  EXPECT_EQ(rules(""), "!**\n");
  EXPECT_EQ(rules("# nothing\n\n"), "!**\n");
}

TEST(Staging, ACopyHoldsExactlyWhatCountsAsItWas) {
  const TempDirectory cache;
  const TempDirectory context;
  context.write("d/file", "bytes", 0640);
  context.write("d/ignored", "x");
  context.write(".dockerignore", "d/ignored");
  std::filesystem::create_symlink("file", context / "d/link");
  chmod((context / "d").c_str(), 0555);
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  utimensat(AT_FDCWD, (context / "d/file").c_str(), old, 0);
  TreeRequest tree;
  tree.root = context.path();
  tree.rules = std::move(*IgnoreRules::parse("d/ignored"));
  const auto entries = read_tree(tree).entries(tree);
  BuildRequest request;
  request.context = context.path();
  request.context_name = "c";
  request.entries = [&] { return entries; };
  request.ignore = "d/ignored\n";
  const Staging staging(cache.path(), request, Staging::Context::Copy);
  TreeRequest copy;
  copy.root = staging.context();
  const auto copied = read_tree(copy).entries(copy);
  EXPECT_EQ(context_digest(copied), context_digest(entries));
  struct stat status = {};
  ASSERT_EQ(stat((staging.context() / "d/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mtim.tv_sec, 1000);
  EXPECT_EQ(read_file(staging.ignore_file()).find("ignored"), std::string::npos)
      << "the rules would apply twice";
  const Staging classic(cache.path(), request, Staging::Context::ClassicCopy);
  EXPECT_FALSE(std::filesystem::exists(classic.context() / ".dockerignore"));
  EXPECT_TRUE(std::filesystem::exists(staging.context() / ".dockerignore"));
  chmod((context / "d").c_str(), 0755);
}

TEST(EngineMemory, AnAnswerHoldsAsLongAsTheProgramsAreWhatTheyAre) {
  const TempDirectory directory;
  directory.write("program", "1");
  const std::vector<std::string> files = {(directory / "program").string(),
                                          (directory / "plugin").string()};
  const auto memory = [&](const std::string& question) {
    return EngineMemory(directory / "cache", question, files);
  };
  EXPECT_EQ(memory("a").recall(), std::nullopt);
  memory("a").remember("answer");
  EXPECT_EQ(memory("a").recall(), "answer");
  EXPECT_EQ(memory("b").recall(), std::nullopt);
  directory.write("plugin", "new");
  EXPECT_EQ(memory("a").recall(), std::nullopt) << "a plugin has appeared";
  memory("a").remember("other");
  directory.write("program", "12");
  EXPECT_EQ(memory("a").recall(), std::nullopt) << "the program has changed";
}

TEST(EngineMemory, AnAnswerDoesNotHangOnWhereNoPluginIs) {
  const TempDirectory directory;
  directory.write("program", "1");
  const auto memory = [&](const std::string& home) {
    return EngineMemory(directory / "cache", "a",
                        {(directory / home / "plugin").string(), (directory / "program").string()});
  };
  memory("one").remember("answer");
  EXPECT_EQ(memory("other").recall(), "answer");
}

TEST(Staging, ArgumentsAreSpelledForAllEngines) {
  const TempDirectory cache;
  BuildRequest request;
  request.tag = "a/b:1";
  request.context = "/context";
  request.context_name = "c";
  request.target = "t";
  request.args = {{"K", "v w"}};
  request.labels = {{"l", "m"}};
  const Staging staging(cache.path(), request, Staging::Context::Directory);
  std::vector<std::string> argv;
  add_common_arguments(argv, request, staging);
  EXPECT_THAT(argv, ElementsAre("-f", staging.dockerfile().string(), "-t", "a/b:1", "--iidfile",
                                staging.image_id_file().string(), "--target", "t", "--build-arg",
                                "K=v w", "--label", "l=m"));
}

}  // namespace
}  // namespace imagewright
