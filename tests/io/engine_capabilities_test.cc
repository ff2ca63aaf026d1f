// Decisions on recorded answers, also of engines that are newer than those at hand.
#include "io/engine_capabilities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "io/scratch.h"
#include "temp_directory.h"

namespace imagewright {
namespace {

// `/info`, as far as it is read.
constexpr char kOverlay2[] =
    R"({"ID":"c1","Containers":0,"Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"],)"
    R"(["Supports d_type","true"],["Native Overlay Diff","true"],["userxattr","false"]],)"
    R"("OSType":"linux"})";
constexpr char kContainerdStore[] =
    R"({"ID":"c2","Containers":0,"Driver":"overlayfs","DriverStatus":[["driver-type",)"
    R"("io.containerd.snapshotter.v1"]],"OSType":"linux"})";

DockerAnswers docker(const std::string& cli, const std::string& buildx, const std::string& api,
                     const std::string& info = kOverlay2) {
  DockerAnswers answers;
  answers.cli = cli;
  answers.buildx = buildx;
  answers.api = api;
  answers.os = "linux";
  answers.info = info;
  return answers;
}

const DockerAnswers kDebian12 = docker("Docker version 20.10.24+dfsg1, build 297e128", "", "1.41");
const DockerAnswers kWithoutPlugin = docker("Docker version 28.2.2, build e6534b4", "", "1.41");
const DockerAnswers kDocker23 = docker("Docker version 23.0.6, build ef23cbc",
                                       "github.com/docker/buildx v0.10.4 c513d34", "1.42");
const DockerAnswers kUbuntu2204 =
    docker("Docker version 24.0.7, build 24.0.7-0ubuntu2~22.04.1",
           "github.com/docker/buildx 0.12.1 0.12.1-0ubuntu1~22.04.1", "1.43");
const DockerAnswers kDocker25Containerd =
    docker("Docker version 25.0.3, build 4debf41", "github.com/docker/buildx v0.12.1 30feaa1",
           "1.44", kContainerdStore);
const DockerAnswers kDesktop27 =
    docker("Docker version 27.3.1, build ce12230",
           "github.com/docker/buildx v0.17.1-desktop.1 edc3ee6d8e1ef3c0cf7f6a2d32d3f6a1d3c8ed1a",
           "1.47", kContainerdStore);
const DockerAnswers kDocker28 = docker("Docker version 28.5.1, build e180ab8",
                                       "github.com/docker/buildx v0.29.1 a32761a", "1.51");
const DockerAnswers kDocker29 =
    docker("Docker version 29.0.1, build eedd969", "github.com/docker/buildx v0.29.1 a32761a",
           "1.52", kContainerdStore);

// `podman info --format json`, as far as it is read.
std::string podman_info(const std::string& podman, const std::string& buildah,
                        const std::string& remote = "false") {
  return R"({"host":{"arch":"amd64","buildahVersion":")" + buildah +
         R"(","cgroupVersion":"v2","ociRuntime":{"name":"crun"},"serviceIsRemote":)" + remote +
         R"(},"store":{"graphDriverName":"overlay",)"
         R"("graphRoot":"/var/lib/containers/storage","imageStore":{"number":3}},)"
         R"("version":{"APIVersion":")" +
         podman + R"(","Version":")" + podman + R"(","OsArch":"linux/amd64"}})";
}

BuildRequest plain() {
  BuildRequest request;
  request.context = "/context";
  request.context_name = "c";
  request.entries = [] { return std::vector<Entry>(); };
  request.dockerfile = "FROM scratch\nCOPY . /\n";
  return request;
}

TEST(DockerCapabilities, BuildKitIsBuiltInUntil22AndAPluginFrom23On) {
  const auto builder = [](const DockerAnswers& answers) {
    return docker_capabilities(answers).builder;
  };
  EXPECT_EQ(builder(kDebian12), Builder::BuiltInBuildKit);
  EXPECT_EQ(builder(docker("Docker version 22.06.0-beta.0, build 3e9117b", "", "1.42")),
            Builder::BuiltInBuildKit);
  EXPECT_EQ(builder(docker("Docker version 23.0.0, build e92dd87", "", "1.42")), Builder::Classic);
  EXPECT_EQ(builder(kWithoutPlugin), Builder::Classic);
  EXPECT_EQ(builder(docker("Docker version 17.12.1-ce, build 7390fc6", "", "1.35")),
            Builder::Classic);
  for (const DockerAnswers& answers :
       {kDocker23, kUbuntu2204, kDocker25Containerd, kDesktop27, kDocker28, kDocker29}) {
    EXPECT_EQ(builder(answers), Builder::Buildx) << answers.cli;
  }
}

TEST(DockerCapabilities, ADaemonWithoutBuildKitLeavesTheClassicBuilder) {
  DockerAnswers answers = kDocker28;
  answers.api = "1.38";
  EXPECT_EQ(docker_capabilities(answers).builder, Builder::Classic);
  answers = kDocker28;
  answers.os = "windows";
  EXPECT_EQ(docker_capabilities(answers).builder, Builder::Classic);
  // Podman 4.3's service says 1.41 to /_ping.
  answers = kDebian12;
  answers.podman = true;
  EXPECT_EQ(docker_capabilities(answers).builder, Builder::Classic);
  // Not asked: what the CLI can do is all that is known.
  answers = kDocker28;
  answers.api = "";
  EXPECT_EQ(docker_capabilities(answers).builder, Builder::Buildx);
}

TEST(DockerCapabilities, TheContainerdStoreKnowsImagesByTheirManifest) {
  for (const DockerAnswers& answers : {kDocker25Containerd, kDesktop27, kDocker29}) {
    EXPECT_TRUE(docker_capabilities(answers).ids_are_manifests) << answers.cli;
    EXPECT_TRUE(docker_capabilities(answers).metadata_file) << answers.cli;
  }
  for (const DockerAnswers& answers : {kDebian12, kWithoutPlugin, kDocker23, kDocker28})
    EXPECT_FALSE(docker_capabilities(answers).ids_are_manifests) << answers.cli;
  for (const char* odd : {"", "no JSON", "[]", "{}", R"({"DriverStatus":null})",
                          R"({"DriverStatus":[["driver-type"],"io.containerd.snapshotter.v1"]})"}) {
    EXPECT_FALSE(
        docker_capabilities(docker(kDocker28.cli, kDocker28.buildx, "1.51", odd)).ids_are_manifests)
        << odd;
  }
}

TEST(DockerCapabilities, WhatComesWithTheDaemonAndWhatWithTheProgram) {
  const auto debian = docker_capabilities(kDebian12);
  EXPECT_EQ(debian.version, "20.10.24+dfsg1");
  EXPECT_FALSE(debian.heredocs);
  EXPECT_FALSE(debian.named_contexts);
  EXPECT_FALSE(debian.metadata_file);
  EXPECT_TRUE(debian.older_ignore_rules);
  EXPECT_TRUE(debian.remembers_names);
  for (const DockerAnswers& answers : {kDocker23, kUbuntu2204, kDocker28, kDocker29}) {
    const auto engine = docker_capabilities(answers);
    EXPECT_TRUE(engine.heredocs) << answers.cli;
    EXPECT_TRUE(engine.named_contexts) << answers.cli;
    EXPECT_FALSE(engine.older_ignore_rules) << answers.cli;
    EXPECT_TRUE(engine.remembers_names) << answers.cli;
    EXPECT_FALSE(engine.steps_by_text) << answers.cli;
    EXPECT_FALSE(engine.pull_policies) << answers.cli;
    EXPECT_TRUE(engine.tar_holds_dockerfile) << answers.cli;
  }
  EXPECT_EQ(docker_capabilities(kUbuntu2204).version, "24.0.7");
  // A new program with an old daemon: its Dockerfile frontend is what counts.
  DockerAnswers mixed = kDocker28;
  mixed.api = "1.41";
  EXPECT_FALSE(docker_capabilities(mixed).heredocs);
  EXPECT_FALSE(docker_capabilities(mixed).named_contexts);
  EXPECT_FALSE(docker_capabilities(mixed).older_ignore_rules);
  // And one whose plugin came before today's matcher.
  mixed.buildx = "github.com/docker/buildx v0.7.0 f0026081a7496ca28b597a9006616201d838fea8";
  EXPECT_TRUE(docker_capabilities(mixed).older_ignore_rules);
  // One whose version cannot be read is taken for old.
  mixed.buildx = "github.com/docker/buildx dev";
  EXPECT_EQ(docker_capabilities(mixed).builder, Builder::Buildx);
  EXPECT_TRUE(docker_capabilities(mixed).older_ignore_rules);
}

TEST(BuildahCapabilities, FollowTheVersionOfItsCodeAlsoInPodman) {
  struct Case {
    EngineCapabilities engine;
    std::string version;
    bool named_contexts;
    bool heredocs;
  };
  const Case cases[] = {
      {buildah_capabilities(
           "buildah version 1.19.6 (image-spec 1.0.1-dev, runtime-spec 1.0.2-dev)"),
       "1.19.6", false, false},
      {buildah_capabilities(
           "buildah version 1.28.2 (image-spec 1.1.0-rc2, runtime-spec 1.0.2-dev)"),
       "1.28.2", true, false},
      {buildah_capabilities("buildah version 1.33.7 (image-spec 1.1.0-rc.5, runtime-spec 1.1.0)"),
       "1.33.7", true, false},
      {buildah_capabilities("buildah version 1.37.5 (image-spec 1.1.0, runtime-spec 1.2.0)"),
       "1.37.5", true, true},
      {buildah_capabilities("buildah version 1.41.4 (image-spec 1.1.1, runtime-spec 1.2.1)"),
       "1.41.4", true, true},
      {podman_capabilities(podman_info("4.3.1", "1.28.2")), "4.3.1", true, false},
      {podman_capabilities(podman_info("4.9.3", "1.33.5")), "4.9.3", true, false},
      {podman_capabilities(podman_info("5.0.3", "1.35.4")), "5.0.3", true, true},
      {podman_capabilities(podman_info("5.4.2", "1.39.3")), "5.4.2", true, true},
      {podman_capabilities(podman_info("5.6.2", "1.41.5")), "5.6.2", true, true},
      {podman_capabilities("no JSON"), "", false, false},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(one.engine.version, one.version);
    EXPECT_EQ(one.engine.builder, Builder::Buildah) << one.version;
    EXPECT_EQ(one.engine.named_contexts, one.named_contexts) << one.version;
    EXPECT_EQ(one.engine.heredocs, one.heredocs) << one.version;
    EXPECT_TRUE(one.engine.pull_policies) << one.version;
    EXPECT_FALSE(one.engine.remembers_names) << one.version;
    EXPECT_FALSE(one.engine.ids_are_manifests) << one.version;
    EXPECT_FALSE(one.engine.tar_holds_dockerfile) << one.version;
    // Of no version is it known that it does better.
    EXPECT_TRUE(one.engine.older_ignore_rules) << one.version;
    EXPECT_TRUE(one.engine.steps_by_text) << one.version;
    EXPECT_TRUE(one.engine.mounts_ignored_files) << one.version;
  }
}

TEST(Podman, IsKnownByWhatItSaysAlsoUnderDockersName) {
  EXPECT_TRUE(is_podman("podman version 4.3.1"));
  EXPECT_TRUE(is_podman("podman version 5.4.2\tbuildx"));
  EXPECT_FALSE(is_podman("Docker version 28.2.2, build e6534b4"));
  EXPECT_FALSE(is_podman(""));
}

TEST(Podman, ItsStoreIsKnownUnlessItIsElsewhere) {
  EXPECT_EQ(podman_store(podman_info("5.4.2", "1.39.3")), "/var/lib/containers/storage");
  EXPECT_EQ(podman_store(podman_info("5.4.2", "1.39.3", "true")), "");
  EXPECT_EQ(podman_store("{}"), "");
  EXPECT_EQ(podman_store("no JSON"), "");
}

TEST(ContextFor, ACopyOnlyWhereTheEngineWouldReadTheDirectoryOtherwise) {
  using Context = Staging::Context;
  const auto classic = docker_capabilities(kWithoutPlugin);
  const auto old = docker_capabilities(kDebian12);
  const auto current = docker_capabilities(kDocker29);
  const auto podman = podman_capabilities(podman_info("5.6.2", "1.41.5"));
  BuildRequest request = plain();
  EXPECT_EQ(context_for(classic, request), Context::ClassicCopy);
  EXPECT_EQ(context_for(old, request), Context::Directory);
  EXPECT_EQ(context_for(current, request), Context::Directory);
  EXPECT_EQ(context_for(podman, request), Context::Directory);
  request.ignore_has_exceptions = true;
  EXPECT_EQ(context_for(classic, request), Context::ClassicCopy);
  EXPECT_EQ(context_for(old, request), Context::Copy);
  EXPECT_EQ(context_for(current, request), Context::Directory);
  EXPECT_EQ(context_for(podman, request), Context::Copy);
  request = plain();
  request.dockerfile += "RUN --mount=type=bind,target=/c ls /c\n";
  EXPECT_EQ(context_for(old, request), Context::Directory);
  EXPECT_EQ(context_for(podman, request), Context::Copy);
}

TEST(EarlierSteps, AreNotTakenByTextWhereTheTextDoesNotTellAll) {
  const auto docker = docker_capabilities(kDebian12);
  const auto buildah = buildah_capabilities("buildah version 1.41.4 (image-spec 1.1.1)");
  EXPECT_TRUE(earlier_steps_are_sound(buildah, plain()));
  const auto sound = [&](const std::string& dockerfile) {
    BuildRequest request = plain();
    request.dockerfile = dockerfile;
    EXPECT_TRUE(earlier_steps_are_sound(docker, request));
    return earlier_steps_are_sound(buildah, request);
  };
  EXPECT_FALSE(sound("FROM scratch\nARG A\n"));
  EXPECT_FALSE(
      sound("\xef\xbb\xbf"
            "arg A\nFROM scratch\n"));
  EXPECT_FALSE(sound("FROM x\nRUN --mount=type=bind,target=/c true\n"));
  EXPECT_TRUE(sound("FROM x\nRUN echo ARG\nCOPY ARGUMENTS /\n"));
  BuildRequest request = plain();
  request.args = {{"A", "1"}};
  EXPECT_FALSE(earlier_steps_are_sound(buildah, request));
  request = plain();
  request.labels = {{"l", "1"}};
  EXPECT_FALSE(earlier_steps_are_sound(buildah, request));
  EXPECT_TRUE(earlier_steps_are_sound(docker, request));
}

// --- Options

BuildOptions everything() {
  BuildOptions options;
  options.platforms = {"linux/arm64"};
  options.secrets = {{"a", "/s/a,b", ""}, {"b", "", "TOKEN"}};
  options.ssh = {"default", "key=/k"};
  options.cache_from = {"example/cache"};
  options.network = "host";
  options.extra_hosts = {{"h", "10.0.0.1"}, {"i", "::1"}};
  options.no_cache = true;
  options.pull = true;
  return options;
}

using Change = std::function<void(BuildOptions&)>;

// What is said of one option alone.
std::string refusal(const EngineCapabilities& engine, const Change& change) {
  BuildOptions options;
  change(options);
  return unsupported(engine, "e", options);
}

TEST(Unsupported, NothingAskedForIsNothingRefused) {
  for (const DockerAnswers& answers : {kDebian12, kWithoutPlugin, kDocker23, kDocker29}) {
    EXPECT_EQ(unsupported(docker_capabilities(answers), "docker", {}), "");
  }
  EXPECT_EQ(unsupported(buildah_capabilities("buildah version 1.28.2"), "buildah", {}), "");
}

TEST(Unsupported, NamesEngineAndKey) {
  BuildOptions options;
  options.shm_size = 1;
  EXPECT_EQ(unsupported(docker_capabilities(kDebian12), "docker", options),
            "docker 20.10.24+dfsg1 cannot do 'shm_size': its builder takes no notice of it");
}

TEST(Unsupported, WhatBuildKitCannotDo) {
  const auto old = docker_capabilities(kDebian12);
  EXPECT_EQ(unsupported(old, "e", everything()), "");
  const Change shm = [](BuildOptions& options) { options.shm_size = 1; };
  const Change ulimits = [](BuildOptions& options) { options.ulimits = {{"nofile", {1, 1}}}; };
  const Change cache = [](BuildOptions& options) { options.cache_to = {"type=inline"}; };
  const Change network = [](BuildOptions& options) { options.network = "mine"; };
  const Change rights = [](BuildOptions& options) { options.privileged = true; };
  for (const Change& change : {shm, ulimits, cache, network, rights}) {
    EXPECT_NE(refusal(old, change), "");
  }
  for (const DockerAnswers& answers :
       {kDocker23, kUbuntu2204, kDocker25Containerd, kDesktop27, kDocker28, kDocker29}) {
    const auto newer = docker_capabilities(answers);
    for (const Change& change : {shm, ulimits, cache}) EXPECT_EQ(refusal(newer, change), "");
    for (const Change& change : {network, rights}) {
      EXPECT_NE(refusal(newer, change), "");
    }
    EXPECT_EQ(unsupported(newer, "e", everything()), "");
  }
}

TEST(Unsupported, WhatTheClassicBuilderCannotDo) {
  const auto classic = docker_capabilities(kWithoutPlugin);
  BuildOptions options = everything();
  EXPECT_NE(unsupported(classic, "e", options).find("'secrets'"), std::string::npos);
  options.secrets.clear();
  EXPECT_NE(unsupported(classic, "e", options).find("'ssh'"), std::string::npos);
  options.ssh.clear();
  options.network = "mine";
  options.shm_size = 1;
  options.ulimits = {{"nofile", {1, 1}}};
  EXPECT_EQ(unsupported(classic, "e", options), "");
}

TEST(Unsupported, WhatBuildahCannotDo) {
  auto buildah = buildah_capabilities("buildah version 1.28.2 (image-spec 1.1.0-rc2)");
  BuildOptions options = everything();
  options.network = "mine";
  options.shm_size = 1;
  options.ulimits = {{"nofile", {1, 1}}};
  options.privileged = true;
  options.cache_to = {"example/cache"};
  EXPECT_EQ(unsupported(buildah, "e", options), "");
  const Change cache_type = [](BuildOptions& one) { one.cache_from = {"type=local,src=x"}; };
  EXPECT_NE(refusal(buildah, cache_type), "");
  const Change gateway = [](BuildOptions& one) { one.extra_hosts = {{"h", "host-gateway"}}; };
  EXPECT_NE(refusal(buildah, gateway), "");
  EXPECT_EQ(refusal(podman_capabilities(podman_info("5.2.0", "1.37.0")), gateway), "");
  const Change hosts = [](BuildOptions& one) {
    one.extra_hosts = {{"h", "10.0.0.1"}};
    one.network = "none";
  };
  EXPECT_NE(refusal(buildah, hosts), "");
  buildah.host_network_only = true;  // chroot isolation
  const Change no_network = [](BuildOptions& one) { one.network = "none"; };
  const Change host_network = [](BuildOptions& one) { one.network = "host"; };
  const Change shm = [](BuildOptions& one) { one.shm_size = 1; };
  EXPECT_NE(refusal(buildah, no_network), "");
  EXPECT_EQ(refusal(buildah, host_network), "");
  EXPECT_NE(refusal(buildah, shm), "");
}

std::string arguments(const EngineCapabilities& engine, const BuildOptions& options) {
  const TempDirectory cache;
  BuildRequest request = plain();
  request.options = options;
  const Staging staging(cache.path(), request, Staging::Context::Directory);
  std::string text;
  for (const std::string& argument : option_arguments(engine, request, staging)) {
    text += (text.empty() ? "" : " ") + argument;
  }
  const std::string directory = staging.dockerfile().parent_path().string();
  for (std::size_t at = 0; (at = text.find(directory)) != std::string::npos;) {
    text.replace(at, directory.size(), "STAGING");
  }
  return text;
}

TEST(OptionArguments, AreTheEngines) {
  const auto docker = docker_capabilities(kDebian12);
  const auto buildah = buildah_capabilities("buildah version 1.28.2");
  EXPECT_EQ(arguments(docker, {}), "");
  const std::string common =
      "--platform linux/arm64 --secret id=a,src=STAGING/secret-0 --secret id=b,env=TOKEN --ssh "
      "default --ssh key=/k --network host --add-host h:10.0.0.1 --add-host i:::1 --no-cache ";
  EXPECT_EQ(arguments(docker, everything()), common + "--pull --cache-from example/cache");
  // Its steps are not taken from earlier builds then, so a cache would be of no use.
  EXPECT_EQ(arguments(buildah, everything()), common + "--pull=always");
  BuildOptions options;
  options.cache_to = {"example/cache"};
  options.network = "default";
  EXPECT_EQ(arguments(buildah, options), "--cache-to example/cache");
  options = {};
  options.shm_size = 4096;
  options.ulimits = {{"nofile", {1, 2}}, {"nproc", {-1, -1}}};
  options.privileged = true;
  EXPECT_EQ(arguments(buildah, options),
            "--shm-size 4096 --ulimit nofile=1:2 --ulimit nproc=-1:-1 --cap-add=all "
            "--security-opt=seccomp=unconfined --security-opt=label=disable");
}

// BuildKit takes such a step for the same whatever the secret holds.
TEST(OptionArguments, AStepWithASecretIsTakenAnew) {
  BuildOptions options;
  options.secrets = {{"b", "", "TOKEN"}};
  EXPECT_EQ(arguments(docker_capabilities(kDocker29), options),
            "--secret id=b,env=TOKEN --no-cache");
  BuildRequest request = plain();
  request.options = options;
  EXPECT_FALSE(earlier_steps_are_sound(buildah_capabilities("buildah version 1.28.2"), request));
}

TEST(BuiltImageId, IsTheDigestByWhichTheStoreKnowsTheImage) {
  const TempDirectory cache;
  const BuildRequest request = plain();
  const Staging staging(cache.path(), request, Staging::Context::Directory);
  const std::string config = "sha256:" + std::string(64, 'c');
  const std::string manifest = "sha256:" + std::string(64, 'a');
  const auto containerd = docker_capabilities(kDocker29);
  EXPECT_EQ(built_image_id(containerd, staging), "");
  write_file(staging.image_id_file(), config);
  EXPECT_EQ(built_image_id(containerd, staging), config) << "it is all there is";
  write_file(staging.metadata_file(),
             R"({"buildx.build.ref":"default/default/x","containerimage.config.digest":")" +
                 config +
                 R"(","containerimage.descriptor":{"mediaType":)"
                 R"("application/vnd.oci.image.manifest.v1+json","digest":")" +
                 manifest + R"(","size":480},"containerimage.digest":")" + manifest +
                 R"(","image.name":"docker.io/library/a"})");
  EXPECT_EQ(built_image_id(containerd, staging), manifest);
  EXPECT_EQ(built_image_id(docker_capabilities(kDocker28), staging), config);
  EXPECT_EQ(built_image_id(docker_capabilities(kDebian12), staging), config);
  for (const char* odd : {"", "{", "[]", "{}", R"({"containerimage.digest":7})",
                          R"({"containerimage.digest":"sha256:1"})"}) {
    write_file(staging.metadata_file(), odd);
    EXPECT_EQ(built_image_id(containerd, staging), config) << odd;
  }
}

TEST(UnsupportedInstruction, HeredocsOfAnEngineThatHasNone) {
  const EngineCapabilities old = buildah_capabilities("buildah version 1.28.2");
  const std::string file = "FROM scratch\nCOPY a /\nCOPY <<EOF /h\nhi\nEOF\n";
  EXPECT_EQ(unsupported_instruction(old, "buildah", file),
            "buildah 1.28.2 cannot do heredocs (Dockerfile:3)");
  EXPECT_EQ(unsupported_instruction(old, "buildah", "# syntax=docker/dockerfile:1\n" + file),
            "buildah 1.28.2 cannot do heredocs (Dockerfile:4)");
  EXPECT_EQ(
      unsupported_instruction(buildah_capabilities("buildah version 1.35.0"), "buildah", file), "");
  // What only looks like one.
  EXPECT_EQ(unsupported_instruction(old, "buildah", "FROM scratch\nENV A=\"<<EOF\"\n"), "");
  EXPECT_EQ(unsupported_instruction(old, "buildah", "FROM scratch\n# <<EOF\nCOPY a /\n"), "");
  const EngineCapabilities docker = docker_capabilities(kDebian12);
  EXPECT_THAT(unsupported_instruction(docker, "docker", file),
              testing::EndsWith("cannot do heredocs (Dockerfile:3); with a first line '# "
                                "syntax=docker/dockerfile:1' it can"));
  EXPECT_EQ(unsupported_instruction(docker, "docker", "# syntax=docker/dockerfile:1\n" + file), "");
}

}  // namespace
}  // namespace imagewright
