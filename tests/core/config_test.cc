#include "core/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <random>
#include <stdexcept>
#include <string>

namespace imagewright {
namespace {

using Pairs = std::map<std::string, std::string>;

std::optional<std::string> environment(const std::string& name) {
  if (name == "FROM_ENV") return "its value";
  if (name == "EMPTY") return "";
  return std::nullopt;
}

tl::expected<Config, ParseError> parse(std::string_view text) {
  return parse_config(text, environment);
}

/// One image with further keys, each line indented as they must be.
std::string one_image(const std::string& keys) {
  std::string text = "builder:\n  images:\n  - name: a\n    from: .\n";
  for (std::size_t at = 0; at < keys.size();) {
    const std::size_t end = std::min(keys.find('\n', at), keys.size());
    text += "    " + keys.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return text;
}

ImageConfig image(const std::string& keys) {
  const auto config = parse(one_image(keys));
  if (!config) throw std::runtime_error(describe(config.error(), ""));
  return config->images.at(0);
}

/// "LINE:COLUMN: message" as a user sees it, or "" if there is no error.
std::string error(std::string_view text) {
  const auto config = parse(text);
  return config ? "" : describe(config.error(), "f");
}

std::string with_from(const std::string& from) {
  return "builder:\n  images:\n  - name: a\n    from: " + from + "\n";
}

Source source(const std::string& from) {
  const auto config = parse(with_from(from));
  if (!config) throw std::runtime_error(describe(config.error(), ""));
  return config->images.at(0).source;
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

/// That what is tried does not take more than in proportion to its size: then it would be minutes.
/// In time of the processor, so that others' work does not count; a few seconds with sanitizers.
class Quickly {
 public:
  ~Quickly() { EXPECT_LT(seconds() - start_, 30); }

 private:
  static std::time_t seconds() {
    timespec now = {};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec;
  }
  std::time_t start_ = seconds();
};

// --- What works

TEST(Config, ReadsTheOriginalsFile) {
  const auto config = parse(
      "builder:\n"
      "  images:\n"
      "  - name: test/busybox\n"
      "    from: github.com/dotcloud/docker-busybox\n"
      "  - name: test/tmp\n"
      "    from: test\n");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->images.size(), 2U);
  EXPECT_EQ(config->engine, "");
  EXPECT_EQ(config->images[0].name, "test/busybox");
  EXPECT_EQ(config->images[0].line, 3);
  ASSERT_TRUE(std::holds_alternative<GitSource>(config->images[0].source));
  EXPECT_EQ(config->images[1].source, Source(DirectorySource{"test"}));
  EXPECT_EQ(config->images[1].line, 5);
}

TEST(Config, ReadsEveryKey) {
  const auto config = parse(
      "version: 3\n"
      "builder:\n"
      "  engine: buildah\n"
      "  x-note: [1, 2]\n"
      "  images:\n"
      "  - from: {dir: ./app}\n"
      "    dockerfile: docker/Dockerfile\n"
      "    target: final\n"
      "    args: {VERSION: 1.10, DEBUG: true, FROM_ENV: , ABSENT: ~}\n"
      "    labels: {org.example.team: web, empty: }\n"
      "    x-owner: me\n"
      "    name: registry.example:5000/app:1\n");
  ASSERT_TRUE(config) << describe(config.error(), "f");
  EXPECT_EQ(config->engine, "buildah");
  const ImageConfig& read = config->images.at(0);
  EXPECT_EQ(read.name, "registry.example:5000/app:1");
  EXPECT_EQ(read.line, 12);
  EXPECT_EQ(read.source, Source(DirectorySource{"./app"}));
  EXPECT_EQ(read.dockerfile, "docker/Dockerfile");
  EXPECT_EQ(read.target, "final");
  EXPECT_EQ(read.args, (Pairs{{"VERSION", "1.10"}, {"DEBUG", "true"}, {"FROM_ENV", "its value"}}));
  EXPECT_EQ(read.labels, (Pairs{{"org.example.team", "web"}, {"empty", ""}}));
}

TEST(Config, TakesScalarsAsWritten) {
  const Pairs args = image(
                         "args: {A: 1.10, B: 010, C: yes, D: 0x1F, E: '~', F: \"null\", G: 1e3, "
                         "H: !!str 2.0, I: 2001-01-01, J: ''}")
                         .args;
  EXPECT_EQ(args, (Pairs{{"A", "1.10"},
                         {"B", "010"},
                         {"C", "yes"},
                         {"D", "0x1F"},
                         {"E", "~"},
                         {"F", "null"},
                         {"G", "1e3"},
                         {"H", "2.0"},
                         {"I", "2001-01-01"},
                         {"J", ""}}));
}

TEST(Config, ReadsListsOfPairs) {
  const ImageConfig read =
      image("args:\n- A=1\n- B=x=y\n- C=\n- FROM_ENV\n- EMPTY\n- ABSENT\nlabels: [k=v, bare]");
  EXPECT_EQ(read.args,
            (Pairs{{"A", "1"}, {"B", "x=y"}, {"C", ""}, {"FROM_ENV", "its value"}, {"EMPTY", ""}}));
  EXPECT_EQ(read.labels, (Pairs{{"k", "v"}, {"bare", ""}}));
}

TEST(Config, WorksWithoutAnEnvironment) {
  const auto config = parse_config(one_image("args: [A]"), Environment());
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->images[0].args.empty());
}

TEST(Config, ReadsGitInAMap) {
  const std::string git = "git: https://example.com/r";
  const auto ref = [](const std::string& from) { return std::get<GitSource>(source(from)).ref; };
  EXPECT_EQ(ref("{" + git + "}"), "");
  EXPECT_EQ(ref("{" + git + ", ref: v1}"), "v1");
  EXPECT_EQ(ref("{" + git + ", branch: 1.10}"), "refs/heads/1.10");
  EXPECT_EQ(ref("{" + git + ", tag: v1}"), "refs/tags/v1");
  const std::string id(40, 'a');
  EXPECT_EQ(ref("{" + git + ", commit: " + id + "}"), id);
  EXPECT_EQ(ref("{" + git + ", commit: " + std::string(40, 'A') + "}"), id);
  EXPECT_EQ(ref("{" + git + ", commit: " + std::string(64, '0') + "}"), std::string(64, '0'));
  const GitSource local = std::get<GitSource>(source("{git: ../repo, subdir: a/b}"));
  EXPECT_TRUE(local.local);
  EXPECT_EQ(local.remote, "../repo");
  EXPECT_EQ(local.subdir, "a/b");
  const GitSource checked =
      std::get<GitSource>(source("{" + git + ", ref: main, checksum: 0123abcd}"));
  EXPECT_EQ(checked.checksum, "0123abcd");
  EXPECT_EQ(checked.ref, "main");
}

TEST(Config, ADirInAMapIsNeverGit) {
  EXPECT_EQ(source("{dir: github.com/a/b}"), Source(DirectorySource{"github.com/a/b"}));
}

TEST(Config, AliasesAndMergeKeysWork) {
  const auto config = parse(
      "x-common: &common\n"
      "  target: final\n"
      "  args: &args {A: 1, B: 1}\n"
      "x-more: &more {target: other, dockerfile: D}\n"
      "builder:\n"
      "  images:\n"
      "  - <<: *common\n"
      "    name: a\n"
      "    from: .\n"
      "  - name: b\n"
      "    from: .\n"
      "    <<: [*more, *common]\n"
      "    args: {B: 2, <<: *args}\n"
      "  - {name: c, from: ., target: mine, <<: {<<: *common, dockerfile: E}, labels: {'<<': "
      "x}}\n");
  ASSERT_TRUE(config) << describe(config.error(), "f");
  const auto& images = config->images;
  EXPECT_EQ(images.at(0).target, "final");
  EXPECT_EQ(images.at(0).args, (Pairs{{"A", "1"}, {"B", "1"}}));
  EXPECT_EQ(images.at(1).target, "other");
  EXPECT_EQ(images.at(1).dockerfile, "D");
  EXPECT_EQ(images.at(1).args, (Pairs{{"A", "1"}, {"B", "2"}}));
  EXPECT_EQ(images.at(2).target, "mine");
  EXPECT_EQ(images.at(2).dockerfile, "E");
  EXPECT_EQ(images.at(2).args, (Pairs{{"A", "1"}, {"B", "1"}}));
  EXPECT_EQ(images.at(2).labels, (Pairs{{"<<", "x"}}));
}

TEST(Config, TakesAMarkedDocumentAndCrLf) {
  EXPECT_EQ(error("\xef\xbb\xbf%YAML 1.2\r\n---\r\nbuilder:\r\n  images:\r\n  - name: a\r\n"
                  "    from: .\r\n...\r\n"),
            "");
  EXPECT_EQ(error("{\"builder\": {\"images\": [{\"name\": \"a\", \"from\": \".\"}]}}"), "");
}

// yaml-cpp made the bytes 0x85 and 0xa0 of them.
TEST(Config, EscapesOfOneByteAreUtf8) {
  const auto config = parse(one_image("target: \"a\\N\\_\\u0085\\L\u00e4\\x41\""));
  ASSERT_TRUE(config) << describe(config.error(), "f");
  EXPECT_EQ(config->images[0].target,
            "a\xc2\x85\xc2\xa0\xc2\x85\xe2\x80\xa8\xc3\xa4"
            "A");
}

// --- What is wrong

TEST(Config, SaysWhatIsMissing) {
  EXPECT_EQ(error(""), "f: the file is empty; it needs a map 'builder' with a list 'images'");
  EXPECT_EQ(error("# only\n\n# comments\n"), error(""));
  EXPECT_EQ(error("~\n"), "f:1:1: the file must be a map");
  EXPECT_EQ(error("- a\n"), "f:1:1: the file must be a map");
  EXPECT_EQ(error("text\n"), "f:1:1: the file must be a map");
  EXPECT_EQ(error("a: 1\n"), "f:1:1: the file has no map 'builder' with a list 'images'");
  EXPECT_EQ(error("a: 1\nbulider:\n  images: []\n"),
            "f:2:1: unknown key 'bulider'; did you mean 'builder'?");
  EXPECT_EQ(error("builder:\n"), "f:1:1: 'builder' must be a map");
  EXPECT_EQ(error("builder: [a]\n"), "f:1:10: 'builder' must be a map");
  EXPECT_EQ(error("builder: {}\n"), "f:1:10: 'builder' has no list 'images'");
  EXPECT_EQ(error("builder:\n  images:\n"), "f:2:3: 'images' must be a list");
  EXPECT_EQ(error("builder:\n  images: {a: 1}\n"), "f:2:11: 'images' must be a list");
  EXPECT_EQ(error("builder:\n  images: []\n"),
            "f:2:11: 'images' is empty; it needs at least one image");
  EXPECT_EQ(error("builder:\n  images: [a]\n"), "f:2:12: an image must be a map");
  EXPECT_EQ(error("builder:\n  images:\n  - from: .\n"), "f:3:5: an image has no 'name'");
  EXPECT_EQ(error("builder:\n  images:\n  - name: a\n"), "f:3:5: the image 'a' has no 'from'");
  EXPECT_EQ(error("builder:\n  images:\n  - {name: , from: .}\n"), "f:3:12: 'name' is empty");
  EXPECT_EQ(error("builder:\n  images:\n  - {name: '', from: .}\n"), "f:3:12: 'name' is empty");
}

TEST(Config, RefusesUnknownKeys) {
  EXPECT_EQ(error(one_image("dockerfil: x")),
            "f:5:5: unknown key 'dockerfil' in an image; did you mean 'dockerfile'?");
  EXPECT_EQ(error(one_image("zzz: x")),
            "f:5:5: unknown key 'zzz' in an image; known are name, from, dockerfile, target, args, "
            "labels, matrix, depends_on, dockerfile_inline, platforms, constraints, secrets, ssh, "
            "cache_from, cache_to, network, extra_hosts, shm_size, ulimits, no_cache, pull, "
            "privileged, timeout, retries, weight, narrow, additional_contexts, track_base, "
            "max_age, tags, push, oci_labels, submodules, lfs");
  EXPECT_EQ(error("builder: {image: []}"),
            "f:1:11: unknown key 'image' in 'builder'; did you mean 'images'?");
  EXPECT_EQ(error(with_from("{git: https://h/r, brunch: x}")),
            "f:4:30: unknown key 'brunch' in 'from'; did you mean 'branch'?");
  EXPECT_NE(error(with_from("{dir: ., x-a: x}")), "");
  EXPECT_EQ(error(one_image("? [a]\n: b")), "f:5:7: a key must be text");
  EXPECT_EQ(error(one_image("~: b")), "f:5:5: a key must be text");
  EXPECT_EQ(error(one_image("\"a\\eb\": x")).find('\x1b'), std::string::npos);
  EXPECT_LT(error(one_image(std::string(1000, 'a') + ": x")).size(), 500U);
}

TEST(Config, SubmodulesAndLargeFilesOfAGitSource) {
  const auto git = [](const std::string& keys, const std::string& from = "git://h/r") {
    const auto config =
        parse("builder:\n  defaults: {lfs: true}\n  images:\n  - name: a\n    from: " + from +
              "\n    " + keys + "\n  - {name: b, from: .}\n");
    if (!config) throw std::runtime_error(describe(config.error(), ""));
    return std::get<GitSource>(config->images.at(0).source);
  };
  EXPECT_TRUE(git("submodules: true").submodules);
  EXPECT_TRUE(git("submodules: true").lfs);
  EXPECT_FALSE(git("submodules: false").submodules);
  EXPECT_FALSE(git("submodules: false", "'https://h/r.git?submodules=true'").submodules);
  EXPECT_FALSE(git("lfs: false").lfs);
  EXPECT_TRUE(git("lfs: false", "'https://h/r.git?submodules=true'").submodules);
  EXPECT_EQ(error(one_image("submodules: true")),
            "f:5:5: 'submodules' is for a git source, and 'from' is a directory");
  EXPECT_EQ(error(one_image("lfs: true")),
            "f:5:5: 'lfs' is for a git source, and 'from' is a directory");
  EXPECT_EQ(error(one_image("lfs: false")), "");
}

TEST(Config, RefusesAKeyGivenTwice) {
  EXPECT_EQ(error("a: 1\nbuilder: {}\na: 2\n"), "f:3:1: the key 'a' is given twice");
  EXPECT_EQ(error("builder: {}\nbuilder: {}\n"), "f:2:1: the key 'builder' is given twice");
  EXPECT_EQ(error(one_image("target: a\ntarget: b")), "f:6:5: the key 'target' is given twice");
  EXPECT_EQ(error(one_image("args: {A: 1, A: 2}")), "f:5:18: the key 'A' is given twice");
  EXPECT_EQ(error(one_image("args: [A=1, A]")), "f:5:17: the key 'A' is given twice");
  EXPECT_EQ(error(one_image("<<: {}\n<<: {}")), "f:6:5: the key '<<' is given twice");
  EXPECT_EQ(error(one_image("args: {<<: {A: 1, A: 2}}")), "f:5:23: the key 'A' is given twice");
}

TEST(Config, RefusesNames) {
  EXPECT_EQ(error("builder:\n  images:\n  - name: Upper\n    from: .\n").substr(0, 8), "f:3:11: ");
  EXPECT_EQ(error("builder: {images: [{from: ., name: 'a@sha256:" + std::string(64, 'a') + "'}]}"),
            "f:1:36: 'name' cannot have a digest: an image has one only once it is built");
  EXPECT_EQ(error("builder:\n  images:\n  - {name: busybox, from: .}\n"
                  "  - {name: docker.io/library/busybox:latest, from: .}\n"),
            "f:4:12: the image 'docker.io/library/busybox:latest' is defined already, in line 3");
  EXPECT_EQ(error("builder: {images: [&i {name: a, from: .}, *i]}").substr(0, 4), "f:1:");
  EXPECT_EQ(error("builder: {images: [{name: 'a:1', from: .}, {name: 'a:2', from: .}]}"), "");
  EXPECT_EQ(error("builder: {images: [{name: [a], from: .}]}"), "f:1:27: 'name' must be text");
}

TEST(Config, RefusesSources) {
  const std::string git = "git: https://h/r";
  EXPECT_EQ(error(with_from("[a]")), "f:4:11: 'from' must be text or a map");
  EXPECT_EQ(error(with_from("")), "f:4:5: 'from' is empty");
  EXPECT_EQ(error(with_from("{}")), "f:4:11: 'from' needs 'dir' or 'git'");
  EXPECT_EQ(error(with_from("{subdir: a}")), "f:4:11: 'from' needs 'dir' or 'git'");
  EXPECT_EQ(error(with_from("{dir: a, git: b}")), "f:4:20: 'git' cannot stand beside 'dir'");
  EXPECT_EQ(error(with_from("{subdir: b, dir: a}")), "f:4:12: 'subdir' cannot stand beside 'dir'");
  EXPECT_EQ(error(with_from("{" + git + ", tag: a, branch: b}")),
            "f:4:38: 'branch' cannot stand beside 'tag'");
  EXPECT_EQ(error(with_from("{" + git + ", commit: abc}")),
            "f:4:38: 'commit' must be a full commit id of 40 or 64 hexadecimal digits");
  EXPECT_EQ(error(with_from("{" + git + ", subdir: a/../../b}")).substr(0, 8), "f:4:38: ");
  EXPECT_EQ(error(with_from("{" + git + ", ref: -x}")).substr(0, 8), "f:4:35: ");
  EXPECT_EQ(error(with_from("{git: '--upload-pack=x'}")).substr(0, 8), "f:4:17: ");
  EXPECT_EQ(error(with_from("https://example.com/page")).substr(0, 8), "f:4:11: ");
}

TEST(Config, RefusesEnginesAndPairs) {
  EXPECT_EQ(error("builder: {engine: dokcer, images: []}"),
            "f:1:19: unknown engine 'dokcer'; did you mean 'docker'?");
  EXPECT_EQ(error("builder: {engine: lxc, images: []}"),
            "f:1:19: unknown engine 'lxc'; known are docker, podman, buildah");
  EXPECT_EQ(error(one_image("args: text")), "f:5:11: 'args' must be a map, or a list of KEY=VALUE");
  EXPECT_EQ(error(one_image("args: {A: [1]}")), "f:5:15: 'A' must be text");
  EXPECT_EQ(error(one_image("args: [{A: 1}]")), "f:5:12: an item of 'args' must be text");
  EXPECT_EQ(error(one_image("args: ['=a']")),
            "f:5:12: a key in 'args' cannot be empty or hold '='");
  EXPECT_EQ(error(one_image("labels: {'a=b': c}")),
            "f:5:14: a key in 'labels' cannot be empty or hold '='");
  EXPECT_EQ(error(one_image("args: {A: \"x\\0y\"}")), "f:5:15: a text cannot hold a NUL character");
  EXPECT_EQ(error(one_image("args: {A: !env HOME}")), "f:5:15: the tag '!env' means nothing here");
}

TEST(Config, RefusesWhatIsNotText) {
  EXPECT_EQ(error("a: b\nc: \xc3\xa4\xff\n"), "f:2:5: the file is not UTF-8 here");
  EXPECT_EQ(error("\xff\xfe"
                  "b\0u\0"),
            "f:1:1: the file is not UTF-8 here");
  for (const char* bad : {"\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xf0\x8f\xbf\xbf", "\xe4\xb8", "\x80", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_EQ(error(std::string("# ") + bad), "f:1:3: the file is not UTF-8 here");
  }
  EXPECT_EQ(error("# \xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xb3\xef\xbf\xbf\xed\x9f\xbf\n"), error(""));
  EXPECT_EQ(error(std::string_view("a: b\0c", 6)),
            "f:1:5: a control character (0x00) has no place in YAML");
  EXPECT_EQ(error("a: b\rc: d\n"), "f:1:5: a control character (0x0d) has no place in YAML");
}

// yaml-cpp takes 0x04 for the end of the file.
TEST(Config, DoesNotEndAtAControlCharacter) {
  EXPECT_EQ(error("builder: {images: [{name: a, from: .}]}\n\x04\n  - name: b\n"),
            "f:2:1: a control character (0x04) has no place in YAML");
}

TEST(Config, RefusesLargeFiles) {
  const std::string config = one_image("");
  EXPECT_EQ(error(config + std::string(kMaxConfigBytes - config.size(), '\n')), "");
  EXPECT_EQ(error(config + std::string(kMaxConfigBytes - config.size() + 1, '\n')),
            "f: the file has more than 1048576 bytes, which no configuration needs");
}

TEST(Config, SaysWhatIsNotYaml) {
  EXPECT_EQ(error("builder:\n\timages:\n"),
            "f:2:1: not valid YAML: a tab in the indentation; YAML takes spaces there");
  EXPECT_EQ(error("builder:\n  images:\n  -\tname: x\n    from: .\n"),
            "f:3:4: not valid YAML: a tab in the indentation; YAML takes spaces there");
  EXPECT_EQ(error("builder:\n  images:\n  - name: x\n  \tfrom: y\n"),
            "f:4:3: not valid YAML: a tab in the indentation; YAML takes spaces there");
  EXPECT_EQ(error("a: [1, 2\nb: 3\n").substr(0, 25), "f:2:2: not valid YAML: a ");
  EXPECT_EQ(error("a: \xc3\xa4: c\n").substr(0, 22), "f:1:5: not valid YAML:");
  EXPECT_EQ(error("a: @x\n"),
            "f:1:4: not valid YAML: a text that begins with this character needs quotes");
  EXPECT_EQ(error("a: *x\n"), "f:1:4: not valid YAML: no anchor of this name stands above");
  EXPECT_EQ(error("a:\n  b: 1\n c: 2\n"),
            "f:3:2: not valid YAML: the indentation fits no line above");
  EXPECT_EQ(error("a: \"\\q\"\n").substr(0, 37), "f:1:7: not valid YAML: no such escape");
  EXPECT_EQ(error("a: 1\n---\nb: 2\n"),
            "f:2:1: a second document begins here; a file is one document");
  EXPECT_EQ(error("- a\nb: 2\n"),
            "f:2:1: not valid YAML: this belongs to nothing above it; check the indentation");
}

// It was all of the line, terminal sequences (U+009B) and all.
TEST(Config, AMessageOfYamlCppQuotesLittleOfTheFile) {
  const std::string message = error("%YAML 1.\u009b2J" + std::string(5000, 'x') + "\n---\na: 1\n");
  EXPECT_EQ(message.substr(0, 50), "f:1:1: not valid YAML: bad YAML version: 1.?2Jxxxx");
  EXPECT_LT(message.size(), 120U);
}

// yaml-cpp ends a quoted text with the file: the images behind it would be gone without a word.
TEST(Config, AQuoteIsClosedBeforeTheFileEnds) {
  const std::string end = "  - name: b\n    from: .\n";
  EXPECT_EQ(error(one_image("args: {A: 1}\ntarget: \"final") + end),
            "f:6:13: not valid YAML: a quoted text is never closed");
  EXPECT_EQ(error(one_image("target: 'it''s") + end),
            "f:5:13: not valid YAML: a quoted text is never closed");
  EXPECT_EQ(error(one_image("target: &t !!str \"fi\\\"nal") + end),
            "f:5:22: not valid YAML: a quoted text is never closed");
  EXPECT_EQ(error(one_image("target: &t !!str \"fi\\\"nal\"") + end), "");
  EXPECT_EQ(error(one_image("target: 'it''s' # '") + end), "");
  EXPECT_EQ(error(one_image("target: |\n  it's") + end), "");
  EXPECT_EQ(error("builder: {images: [{name: a, from: .}]}\nx: ''"), "");
}

// --- Options

TEST(Config, ReadsWhatIsPassedOn) {
  const BuildOptions options = image(R"(platforms: [linux/amd64, linux/arm/v7]
secrets:
- {id: a, file: s/a}
- {id: b.c, environment: TOKEN}
ssh: [default, key=~/.ssh/id]
cache_from: [example/cache]
cache_to: ["type=inline"]
network: none
extra_hosts: [a=10.0.0.1, "b:::1", "c=[fe80::1]", d:host-gateway]
shm_size: 64m
ulimits: {nproc: 100, nofile: {soft: 10, hard: 20}, memlock: -1}
no_cache: true
pull: "True"
privileged: false)")
                                   .options;
  BuildOptions wanted;
  wanted.platforms = {"linux/amd64", "linux/arm/v7"};
  wanted.secrets = {{"a", "s/a", ""}, {"b.c", "", "TOKEN"}};
  wanted.ssh = {"default", "key=~/.ssh/id"};
  wanted.cache_from = {"example/cache"};
  wanted.cache_to = {"type=inline"};
  wanted.network = "none";
  wanted.extra_hosts = {{"a", "10.0.0.1"}, {"b", "::1"}, {"c", "fe80::1"}, {"d", "host-gateway"}};
  wanted.shm_size = 64 << 20;
  wanted.ulimits = {{"nproc", {100, 100}}, {"nofile", {10, 20}}, {"memlock", {-1, -1}}};
  wanted.no_cache = true;
  wanted.pull = true;
  EXPECT_EQ(options, wanted);
}

TEST(Config, ReadsTheOtherFormsOfWhatIsPassedOn) {
  const BuildOptions options =
      image(
          "ssh: {default: , key: /k}\nextra_hosts: {a: '::1', b: [10.0.0.1, "
          "10.0.0.2]}\nshm_size: 4096")
          .options;
  EXPECT_EQ(options.ssh, (std::vector<std::string>{"default", "key=/k"}));
  EXPECT_EQ(options.extra_hosts, (std::vector<std::pair<std::string, std::string>>{
                                     {"a", "::1"}, {"b", "10.0.0.1"}, {"b", "10.0.0.2"}}));
  EXPECT_EQ(options.shm_size, 4096);
  EXPECT_EQ(image("shm_size: 2gb").options.shm_size, std::int64_t{2} << 30);
}

TEST(Config, ReadsHowAnImageIsBuilt) {
  const ImageConfig read = image(
      "dockerfile_inline: |\n  FROM scratch\nadditional_contexts: [a=../a, b=x=y]\ntimeout: "
      "1h30m\nretries: 3\nweight: 4");
  EXPECT_EQ(read.dockerfile_inline, "FROM scratch\n");
  EXPECT_EQ(read.additional_contexts, (Pairs{{"a", "../a"}, {"b", "x=y"}}));
  EXPECT_EQ(read.timeout, std::chrono::minutes(90));
  EXPECT_EQ(read.retries, 3);
  EXPECT_EQ(read.weight, 4);
  EXPECT_EQ(image("timeout: 250ms").timeout, std::chrono::milliseconds(250));
  EXPECT_EQ(image("timeout: 2m5s").timeout, std::chrono::seconds(125));
  EXPECT_EQ(image("timeout: 0s").timeout, std::chrono::seconds(0));
}

TEST(Config, RefusesWhatNoEngineTakes) {
  const std::vector<std::pair<const char*, const char*>> kWrong = {
      {"no_cache: yes", "5:15: 'no_cache' must be true or false"},
      {"retries: 101", "5:14: 'retries' must be a whole number from 0 to 100"},
      {"retries: -1", "5:14: 'retries' must be a whole number from 0 to 100"},
      {"weight: 0", "5:13: 'weight' must be a whole number from 1 to 1024"},
      {"weight: 1.5", "5:13: 'weight' must be a whole number from 1 to 1024"},
      {"timeout: 90",
       "5:14: 'timeout' must be a duration like 90s, 10m or 1h30m; is 90 seconds (90s) or minutes "
       "(90m) meant?"},
      {"timeout: 30m1h",
       "5:14: 'timeout' must be a duration like 90s, 10m or 1h30m; units are d, h, m, s and ms"},
      {"timeout: 5 min",
       "5:14: 'timeout' must be a duration like 90s, 10m or 1h30m; units are d, h, m, s and ms"},
      {"timeout: 10001h", "5:14: 'timeout' must be at most 10000h"},
      {"timeout: 99999999999999999999h",
       "5:14: 'timeout' must be a duration like 90s, 10m or 1h30m; units are d, h, m, s and ms"},
      {"shm_size: 64q",
       "5:15: 'shm_size' must be a size: bytes, or a number with b, k, m or g behind it, like 64m"},
      {"shm_size: 9999999999g",
       "5:15: 'shm_size' must be a size: bytes, or a number with b, k, m or g behind it, like 64m"},
      {"shm_size: 0",
       "5:15: 'shm_size' must be a size: bytes, or a number with b, k, m or g behind it, like 64m"},
      {"platforms: [linux/]",
       "5:17: 'linux/' is no platform; one is OS/ARCH or OS/ARCH/VARIANT, like linux/arm64"},
      {"platforms: [a/b/c/d]",
       "5:17: 'a/b/c/d' is no platform; one is OS/ARCH or OS/ARCH/VARIANT, like linux/arm64"},
      {"platforms: [x86_64]", "5:17: 'x86_64' is no operating system; did you mean linux/amd64?"},
      {"platforms: [a/b, a/b]", "5:22: the platform 'a/b' is given twice"},
      {"platforms: a/b", "5:16: 'platforms' must be a list"},
      {"secrets: [a]",
       "5:15: a secret must be a map {id: NAME, file: PATH} or {id: NAME, environment: VARIABLE}; "
       "a "
       "name alone has nothing to refer to here"},
      {"secrets: [{id: a}]", "5:15: the secret 'a' needs 'file' or 'environment'"},
      {"secrets: [{file: a}]", "5:15: a secret has no 'id'"},
      {"secrets: [{id: a, file: a, environment: A}]",
       "5:32: 'environment' cannot stand beside 'file'"},
      {"secrets: [{id: 'a,b', file: a}]",
       "5:20: a secret's 'id' must be of letters, digits, '.', '_' and '-': it names a file"},
      {"secrets: [{id: a, environment: A-B}]",
       "5:36: a secret's 'environment' must be the name of a variable: letters, digits and '_'"},
      {"secrets: [{id: a, file: a}, {id: a, file: b}]", "5:33: the secret 'a' is given twice"},
      {"secrets: [{source: a}]",
       "5:16: unknown key 'source' in a secret; known are id, file, environment"},
      {"ssh: [key]",
       "5:11: 'key' in 'ssh' needs the path of a socket or key: key=PATH; only 'default' is the "
       "agent's"},
      {"network: -x", "5:14: 'network' must be none, host, default or the name of a network"},
      {"extra_hosts: [a]", "5:19: 'a' must be HOST=ADDRESS"},
      {"extra_hosts: [a=b]",
       "5:19: 'a=b' must be HOST=ADDRESS with an IP address, or host-gateway"},
      {"extra_hosts: {a: 1.2.3}", "5:22: 'a' must be an IP address, or host-gateway"},
      {"ulimits: {nofil: 1}", "5:15: unknown ulimit 'nofil'; did you mean 'nofile'?"},
      {"ulimits: {nofile: {soft: 1}}",
       "5:23: the ulimit 'nofile' must be a number, or a map of 'soft' and 'hard'"},
      {"ulimits: {nofile: {soft: 2, hard: 1}}",
       "5:23: the ulimit 'nofile' has a 'soft' above its 'hard'"},
      {"ulimits: {nofile: -2}", "5:23: 'nofile' must be a whole number from -1 (no limit) on"},
      {"dockerfile: a\ndockerfile_inline: b",
       "6:5: 'dockerfile_inline' cannot stand beside 'dockerfile'"},
      {"additional_contexts: [a]", "5:27: the key 'a' in 'additional_contexts' has no value"},
  };
  for (const auto& [keys, words] : kWrong) {
    EXPECT_EQ(error(one_image(keys)), "f:" + std::string(words)) << keys;
  }
}

TEST(Config, KnowsWhatAnImageDependsOn) {
  const auto config = parse(
      "builder:\n  images:\n"
      "  - {name: b, from: ., depends_on: [a:latest, docker.io/library/c, a]}\n"
      "  - {name: a, from: ., depends_on: c}\n"
      "  - {name: c:latest, from: .}\n");
  ASSERT_TRUE(config) << describe(config.error(), "f");
  EXPECT_EQ(config->images[0].depends_on, (std::vector<std::string>{"a", "c:latest"}));
  EXPECT_EQ(config->images[1].depends_on, (std::vector<std::string>{"c:latest"}));
  EXPECT_TRUE(config->images[2].depends_on.empty());
  EXPECT_EQ(error(one_image("depends_on: example")),
            "f:5:17: 'depends_on' must name images of this file, and 'example' is none");
  EXPECT_EQ(error("builder: {images: [{name: example, from: .}, {name: b, from: ., depends_on: "
                  "[exmaple]}]}"),
            "f:1:78: 'depends_on' must name images of this file, and 'exmaple' is none; did you "
            "mean 'example'?");
  EXPECT_EQ(error(one_image("depends_on: [a]")), "f:5:18: the image 'a' cannot depend on itself");
  EXPECT_NE(error(one_image("depends_on: [UPPER]")), "");
}

// --- vars, defaults, matrix

std::string names(const std::string& text) {
  const auto config = parse(text);
  if (!config) return describe(config.error(), "f");
  std::string result;
  for (const ImageConfig& image : config->images) {
    result += (result.empty() ? "" : " ") + image.name;
  }
  return result;
}

// A file of before means what it did.
TEST(Config, WithoutVarsADollarSignIsACharacter) {
  const std::string keys = "args: {A: '${B}', C: $D, E: 5$$, F: '${'}\ntarget: ${T}";
  const ImageConfig read = image(keys);
  EXPECT_EQ(read.args, (Pairs{{"A", "${B}"}, {"C", "$D"}, {"E", "5$$"}, {"F", "${"}}));
  EXPECT_EQ(read.target, "${T}");
  const auto config = parse(one_image(keys) + "  defaults: {labels: {A: '${B}'}}\n");
  ASSERT_TRUE(config) << describe(config.error(), "f");
  EXPECT_EQ(config->images[0].labels, (Pairs{{"A", "${B}"}}));
  EXPECT_NE(
      error("builder: {images: [{name: 'a:${TAG}', from: .}]}")
          .find("; variables are read in a file with 'vars', and in an image with a 'matrix'"),
      std::string::npos);
}

TEST(Config, VarsAreReplacedInValues) {
  const auto config = parse(R"(
builder:
  images:
  - name: ${REGISTRY}/app:${TAG}
    from: {git: "https://example.com/${REPO}", branch: "v${TAG}"}
    args: {PRICE: 5$$, '${TAG}': "${FROM_ENV} ${NONE:-d}", FROM_ENV: }
    labels: ["a=${TAG}"]
  vars:
    REGISTRY: example.com:5000/team
    TAG: 1.10
    REPO: r${TAG}
    FROM_ENV: not this
    EMPTY: nor this
    UNSET:
)");
  ASSERT_TRUE(config) << describe(config.error(), "f");
  const ImageConfig& read = config->images.at(0);
  EXPECT_EQ(read.name, "example.com:5000/team/app:1.10");
  EXPECT_EQ(std::get<GitSource>(read.source).remote, "https://example.com/r1.10");
  EXPECT_EQ(std::get<GitSource>(read.source).ref, "refs/heads/v1.10");
  EXPECT_EQ(read.args,
            (Pairs{{"PRICE", "5$"}, {"${TAG}", "its value d"}, {"FROM_ENV", "its value"}}));
  EXPECT_EQ(read.labels, (Pairs{{"a", "1.10"}}));
}

TEST(Config, SaysWhatIsWrongWithVars) {
  const auto with_vars = [](const std::string& vars, const std::string& target) {
    return error("builder:\n  vars: " + vars +
                 "\n  images:\n  - name: a\n    from: .\n    target: " + target + "\n");
  };
  EXPECT_EQ(with_vars("{}", "a"), "");
  EXPECT_EQ(with_vars("", "a"), "");
  EXPECT_EQ(with_vars("{A: b}", "${B}"),
            "f:6:13: the variable 'B' is not set; set it in the environment or in 'vars', or give "
            "a default: ${B:-default}");
  EXPECT_EQ(with_vars("{B: }", "${B}").substr(0, 35), "f:6:13: the variable 'B' is not set");
  EXPECT_EQ(with_vars("{A: '${B}', B: c}", "x").substr(0, 35),
            "f:2:13: the variable 'B' is not set");
  EXPECT_EQ(with_vars("{A: ''}", "${A}"), "f:6:13: 'target' is empty");
  EXPECT_EQ(with_vars("{A-B: c}", "x"),
            "f:2:10: 'A-B' cannot be a key of 'vars'; it must be letters, digits and '_', no digit "
            "first");
  EXPECT_EQ(with_vars("[A=b]", "x"), "f:2:9: 'vars' must be a map");
  EXPECT_EQ(with_vars("{A: [b]}", "x"), "f:2:13: 'A' must be text");
  EXPECT_EQ(with_vars("{}", "$A").substr(0, 13), "f:6:13: in '$");
}

TEST(Config, VarsAreBounded) {
  const Quickly quickly;
  std::string vars = "builder:\n  vars:\n    A0: " + std::string(1000, 'x') + "\n";
  for (int i = 1; i < 30; ++i) {
    vars += "    A" + std::to_string(i) + ": ";
    for (int k = 0; k < 10; ++k) vars += "${A" + std::to_string(i - 1) + "}";
    vars += "\n";
  }
  EXPECT_EQ(error(vars + "  images: [{name: a, from: .}]\n"),
            "f:7:9: with its variables expanded, the text is too long");
}

TEST(Config, AnImagesOwnKeyWinsOverDefaults) {
  const auto config = parse(R"(
builder:
  defaults:
    x-note: free
    from: common
    target: final
    dockerfile: D
    args: {A: 1, B: 1, FROM_ENV: 1, ABSENT: 1}
    labels: [k=v]
    additional_contexts: {c: x}
    platforms: [linux/amd64]
    no_cache: true
    timeout: 10m
    depends_on: base
  images:
  - name: base
  - name: own
    from: mine
    target: tests
    dockerfile_inline: FROM scratch
    args: {B: 2, FROM_ENV: , ABSENT: , C: 3}
    labels: {k: w, l: x}
    platforms: []
    no_cache: false
    timeout: 0s
    depends_on: []
)");
  ASSERT_TRUE(config) << describe(config.error(), "f");
  const ImageConfig& base = config->images.at(0);
  EXPECT_EQ(base.source, Source(DirectorySource{"common"}));
  EXPECT_EQ(base.target, "final");
  EXPECT_EQ(base.dockerfile, "D");
  EXPECT_EQ(base.args, (Pairs{{"A", "1"}, {"B", "1"}, {"FROM_ENV", "1"}, {"ABSENT", "1"}}));
  EXPECT_EQ(base.options.platforms, (std::vector<std::string>{"linux/amd64"}));
  EXPECT_TRUE(base.options.no_cache);
  EXPECT_EQ(base.timeout, std::chrono::minutes(10));
  EXPECT_TRUE(base.depends_on.empty()) << "it is what the others depend on";
  const ImageConfig& own = config->images.at(1);
  EXPECT_EQ(own.source, Source(DirectorySource{"mine"}));
  EXPECT_EQ(own.target, "tests");
  EXPECT_EQ(own.dockerfile, "");
  EXPECT_EQ(own.dockerfile_inline, "FROM scratch");
  EXPECT_EQ(own.args, (Pairs{{"A", "1"}, {"B", "2"}, {"C", "3"}, {"FROM_ENV", "its value"}}));
  EXPECT_EQ(own.labels, (Pairs{{"k", "w"}, {"l", "x"}}));
  EXPECT_EQ(own.additional_contexts, (Pairs{{"c", "x"}}));
  EXPECT_TRUE(own.options.platforms.empty());
  EXPECT_FALSE(own.options.no_cache);
  EXPECT_EQ(own.timeout.count(), 0);
  EXPECT_TRUE(own.depends_on.empty());
}

TEST(Config, RefusesDefaults) {
  const auto with = [](const std::string& defaults) {
    return error("builder:\n  defaults: " + defaults + "\n  images: [{name: a, from: .}]\n");
  };
  EXPECT_EQ(with("{name: a}"),
            "f:2:14: 'name' cannot be in 'defaults': no two images have one name");
  EXPECT_EQ(with("{matrix: {}}").substr(0, 44), "f:2:14: 'matrix' cannot be in 'defaults'; gi");
  EXPECT_EQ(with("{targt: a}"),
            "f:2:14: unknown key 'targt' in 'defaults'; did you mean 'target'?");
  EXPECT_EQ(with("[a]"), "f:2:13: 'defaults' must be a map");
  EXPECT_EQ(with("{weight: 0}"), "f:2:22: 'weight' must be a whole number from 1 to 1024");
}

TEST(Config, AMatrixMakesAnImageOfEachCombination) {
  const auto config = parse(R"(
builder:
  defaults: {args: {V: "${V:-none}"}}
  images:
  - name: app:${V}-${OS}
    from: "${OS}"
    matrix:
      V: [1.10, 2]
      OS: [debian, alpine]
      exclude: [{V: 2, OS: alpine}]
      include:
      - {V: 3, OS: fedora, EXTRA: y}
      - {OS: debian, FROM_ENV: mine}
    args: {EXTRA: "${EXTRA:-n}", E: "${FROM_ENV}"}
  - {name: plain, from: '${V}', args: {V: '$V'}}
)");
  ASSERT_TRUE(config) << describe(config.error(), "f");
  ASSERT_EQ(config->images.size(), 5U);
  EXPECT_EQ(config->images[0].name, "app:1.10-debian");
  EXPECT_EQ(config->images[0].source, Source(DirectorySource{"debian"}));
  EXPECT_EQ(config->images[0].args, (Pairs{{"E", "mine"}, {"EXTRA", "n"}, {"V", "1.10"}}));
  EXPECT_EQ(config->images[0].line, 5);
  EXPECT_EQ(config->images[1].name, "app:1.10-alpine");
  EXPECT_EQ(config->images[1].args, (Pairs{{"E", "its value"}, {"EXTRA", "n"}, {"V", "1.10"}}));
  EXPECT_EQ(config->images[2].name, "app:2-debian");
  EXPECT_EQ(config->images[3].name, "app:3-fedora");
  EXPECT_EQ(config->images[3].args, (Pairs{{"E", "its value"}, {"EXTRA", "y"}, {"V", "3"}}));
  EXPECT_EQ(config->images[4].source, Source(DirectorySource{"${V}"})) << "no matrix, no variables";
}

TEST(Config, AMatrixMayUseVars) {
  EXPECT_EQ(
      names("builder: {vars: {A: x}, images: [{name: 'i:${K}', from: ., matrix: {K: ['${A}1', "
            "'$$']}}]}")
          .substr(0, 7),
      "f:1:41:");
  EXPECT_EQ(
      names("builder: {vars: {A: x}, images: [{name: 'i:${K}', from: ., matrix: {K: ['${A}1', "
            "y]}}]}"),
      "i:x1 i:y");
  EXPECT_EQ(names("builder: {images: [{name: 'i:${K}', from: ., matrix: {K: [x], include: [{K: "
                  "y}]}}]}"),
            "i:x i:y");
}

TEST(Config, RefusesAMatrix) {
  const auto with = [](const std::string& matrix, const std::string& name = "i:${A}") {
    return error("builder:\n  images:\n  - name: " + name + "\n    from: .\n    matrix: " + matrix +
                 "\n");
  };
  EXPECT_EQ(with("{A: [x, y]}"), "");
  EXPECT_EQ(with("{A: [x, y]}", "i"),
            "f:3:11: the image 'i' is defined already, in line 3; with a matrix, 'name' must hold "
            "${KEY} of each key that makes a difference");
  EXPECT_EQ(with("{A: x}"), "f:5:17: 'A' must be a list");
  EXPECT_EQ(with("{A: []}"), "f:5:17: 'A' is empty; it needs at least one value");
  EXPECT_EQ(with("{A: [[x]]}"), "f:5:18: a value of 'A' must be text");
  EXPECT_EQ(with("{A: [x, ]}"), "");
  EXPECT_EQ(with("{}"), "f:5:13: the matrix leaves no combination to make an image of");
  EXPECT_EQ(with("[A]"), "f:5:13: 'matrix' must be a map");
  EXPECT_EQ(with("{A: [x], exclude: [{A: x}]}"),
            "f:5:13: the matrix leaves no combination to make an image of");
  EXPECT_EQ(with("{ABC: [x], exclude: [{ABD: x}]}"),
            "f:5:35: 'exclude' names 'ABD', which is no key of this matrix; did you mean 'ABC'?");
  EXPECT_EQ(with("{A: [x], include: {A: y}}"), "f:5:31: 'include' must be a list");
  EXPECT_EQ(with("{A: [x], include: [{}]}"), "f:5:32: an item of 'include' is empty");
  EXPECT_EQ(with("{a-b: [x]}"),
            "f:5:14: 'a-b' cannot be a key of 'matrix'; it must be letters, digits and '_', no "
            "digit first");
  EXPECT_EQ(with("{A: [x]}", "i:${B}").substr(0, 35), "f:3:11: the variable 'B' is not set");
}

TEST(Config, AMatrixIsBounded) {
  const Quickly quickly;
  std::string values = "[";
  for (int i = 0; i < 100; ++i) values += "v" + std::to_string(i) + ", ";
  values += "]";
  const std::string image = "  - {name: 'i:${A}-${B}', from: ., matrix: {A: " + values +
                            ", B: " + values + "}, args: [a=b, c=d, e=f]}\n";
  EXPECT_EQ(error("builder:\n  images:\n" + image), "") << "10,000 images";
  EXPECT_EQ(error("builder:\n  images:\n  - {name: one, from: .}\n" + image),
            "f:4:44: this matrix brings the file to more than 10000 images");
  std::string keys;
  for (int i = 0; i < 30; ++i) keys += "K" + std::to_string(i) + ": " + values + ", ";
  EXPECT_EQ(error("builder:\n  images:\n  - {name: one, from: ., matrix: {" + keys + "}}\n"),
            "f:3:34: this matrix brings the file to more than 10000 images");
}

// --- Bounds

TEST(Config, RefusesDeepNesting) {
  const Quickly quickly;
  for (const char* nest : {"[", "{", "- ", "? ", "[{", "{a: ", "[\n", "[a: ", ": "}) {
    EXPECT_NE(error(repeated(nest, 100'000)), "") << nest;
    EXPECT_NE(error("builder:\n  images:\n  - name: " + repeated(nest, 100'000)), "") << nest;
  }
  EXPECT_NE(error(repeated("[", 100'000)).find("nested more than 64 deep"), std::string::npos);
}

TEST(Config, RefusesAliasBombs) {
  const Quickly quickly;
  std::string bomb = "x0: &x0 {k: v}\n";
  for (int i = 1; i < 30; ++i) {
    const std::string last = "*x" + std::to_string(i - 1);
    bomb += "x" + std::to_string(i) + ": &x" + std::to_string(i) + " {<<: [" + last + ", " + last +
            ", " + last + "], l: [" + last + ", " + last + "]}\n";
  }
  EXPECT_EQ(error(bomb + one_image("")), "") << "beside builder, nobody looks";
  EXPECT_EQ(error(bomb + one_image("x-y: *x29")), "") << "nor in x-…";
  EXPECT_NE(error(bomb + one_image("args: *x29")).find("aliases expanded"), std::string::npos);
  EXPECT_NE(error(bomb + one_image("<<: *x29")).find("aliases expanded"), std::string::npos);
}

TEST(Config, RefusesLongTextsRepeated) {
  const Quickly quickly;
  std::string args = "args: {A: &a " + std::string(300'000, 'x');
  for (int i = 0; i < 20'000; ++i) args += ", B" + std::to_string(i) + ": *a";
  EXPECT_NE(error(one_image(args + "}")).find("aliases expanded"), std::string::npos);
  std::string keys = "k: &a " + std::string(300'000, 'x') + "\n" + one_image("") + "l: {";
  for (int i = 0; i < 20'000; ++i) keys += "*a : b, ";
  EXPECT_EQ(error(keys + "}"), "");
}

TEST(Config, SurvivesAliasesToThemselves) {
  const Quickly quickly;
  EXPECT_EQ(error("x: &x [*x]\n" + one_image("")), "");
  EXPECT_NE(error(one_image("<<: &x {<<: *x}")).find("lead more than 64 deep"), std::string::npos);
  EXPECT_NE(error(one_image("args: &x {A: *x}")), "");
  EXPECT_NE(error("builder: &b\n  images: [*b]\n"), "");
  std::string chain = "c: [&m0 {k: v}";
  for (int i = 1; i < 20'000; ++i) {
    chain += ", &m" + std::to_string(i) + " {<<: *m" + std::to_string(i - 1) + "}";
  }
  EXPECT_NE(error(chain + "]\n" + one_image("args: *m19999")), "");
}

TEST(Config, LongFilesAreReadInTime) {
  std::string many = "builder:\n  images:\n";
  for (int i = 0; i < 10'000; ++i) many += "  - {name: a" + std::to_string(i) + ", from: .}\n";
  const Quickly quickly;
  EXPECT_EQ(error(many), "");
  EXPECT_NE(error("builder: {images: [" + repeated("a,", 500'000) + "]}"), "");
  EXPECT_NE(error("builder: " + repeated("a", 1'000'000) + ": b"), "");
}

TEST(Config, NoExceptionEscapes) {
  const auto config =
      parse_config(one_image("args: [A]"), [](const std::string&) -> std::optional<std::string> {
        throw std::runtime_error("no environment");
      });
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message, "the file cannot be read: no environment");
}

TEST(Config, SurvivesMutations) {
  const std::string seed =
      "x: &a {k: 'v'}\nbuilder:\n  engine: docker\n  vars: {A: b}\n  defaults: {timeout: 1m}\n"
      "  images:\n  - {name: 'm:${K}', from: ., matrix: {K: [1, 2], exclude: [{K: 1}]}, ulimits: "
      "{nofile: 1}, secrets: [{id: a, file: b}]}\n\n  - name: a\n    from: {git: "
      "https://h/r.git, tag: v1, subdir: \"s\"}\n    args: {<<: *a, B: }\n    labels:\n    - k=v\n"
      "  - name: b\n    from: |\n      .\n";
  const std::string bytes = " \n\t:-[]{}&*!|>'\"#%@`?,\\a<=~";
  std::mt19937 random(1);
  for (int i = 0; i < 5'000; ++i) {
    std::string text = seed;
    for (unsigned edits = random() % 4 + 1; edits > 0; --edits) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = bytes[random() % bytes.size()];
          break;
        case 1:
          text.insert(at, 1, bytes[random() % bytes.size()]);
          break;
        default:
          text.erase(at, random() % 5 + 1);
      }
      if (text.empty()) text = "a";
    }
    const auto config = parse(text);
    if (!config) {
      EXPECT_FALSE(config.error().message.empty());
      EXPECT_GE(config.error().line, 0);
    }
  }
}

TEST(Config, SaysByWhatBasesAreKnown) {
  const auto config = parse_config(
      "builder:\n"
      "  insecure_registries: [registry.lan, 'registry.lan:5000']\n"
      "  defaults: {track_base: local}\n"
      "  images:\n"
      "  - {name: a, from: a}\n"
      "  - {name: b, from: b, track_base: off}\n"
      "  - {name: c, from: c, track_base: digest}\n",
      {});
  ASSERT_TRUE(config) << describe(config.error(), "f");
  EXPECT_EQ(config->insecure_registries,
            (std::vector<std::string>{"registry.lan", "registry.lan:5000"}));
  EXPECT_EQ(config->images[0].track_base, TrackBase::Local);
  EXPECT_EQ(config->images[1].track_base, TrackBase::Off);
  EXPECT_EQ(config->images[2].track_base, TrackBase::Digest);
}

TEST(Config, RefusesWhatIsNoWayToKnowABase) {
  EXPECT_EQ(error(one_image("track_base: locla")),
            "f:5:17: 'track_base' cannot be 'locla'; did you mean 'local'?");
  EXPECT_EQ(error(one_image("track_base: local\npull: true")),
            "f:3:5: the image 'a' has 'pull' with 'track_base: local', which never pulls");
  EXPECT_EQ(error("builder:\n  insecure_registries: ['http://x']\n  images: []\n"),
            "f:2:25: 'http://x' is no registry; it must be HOST or HOST:PORT, as image names begin "
            "with it");
  EXPECT_EQ(
      error("builder:\n  insecure_registries: [x]\n  images: []\n"),
      "f:2:25: 'x' is no registry; it must be HOST or HOST:PORT, as image names begin with it");
}

TEST(Config, SaysHowRepositoriesAreAsked) {
  const std::string images = "  images: [{name: a, from: a}]\n";
  const auto config = parse_config(
      "builder:\n  git: {jobs: 4, connect_timeout: 500ms, idle_timeout: 2m}\n" + images, {});
  ASSERT_TRUE(config) << describe(config.error(), "f");
  EXPECT_EQ(config->git, (GitLimits{4, std::chrono::seconds(1), std::chrono::seconds(120)}));
  EXPECT_EQ(parse_config("builder:\n" + images, {})->git, GitLimits());
  EXPECT_THAT(error("builder:\n  git: {job: 4}\n" + images),
              testing::HasSubstr("did you mean 'jobs'?"));
  EXPECT_THAT(error("builder:\n  git: {jobs: 0}\n" + images), testing::HasSubstr("'jobs' must be"));
  EXPECT_THAT(error("builder:\n  git: {idle_timeout: 3}\n" + images),
              testing::HasSubstr("'idle_timeout' must be"));
}

TEST(Config, SaysWhatIsPublished) {
  const auto config = parse_config(
      "builder:\n"
      "  publish: together\n"
      "  defaults: {push: true}\n"
      "  images:\n"
      "  - {name: a, from: a, tags: [':{git.short}', 'b:1'], oci_labels: true}\n"
      "  - {name: c, from: c, push: false}\n",
      {});
  ASSERT_TRUE(config) << describe(config.error(), "f");
  EXPECT_EQ(config->publish, PublishWhen::Together);
  EXPECT_EQ(config->images[0].tags, (std::vector<std::string>{":{git.short}", "b:1"}));
  EXPECT_EQ(config->images[0].push, true);
  EXPECT_TRUE(config->images[0].oci_labels);
  EXPECT_EQ(config->images[1].push, false);
  EXPECT_EQ(parse_config("builder: {images: [{name: a, from: a}]}", {})->images[0].push,
            std::nullopt);
}

TEST(Config, RefusesNamesThatCannotBePublished) {
  EXPECT_EQ(error(one_image("tags: [':{git.sort}']")),
            "f:5:12: there is no '{git.sort}' to be filled in; did you mean 'git.short'?");
  EXPECT_EQ(error("builder:\n  publish: all\n"),
            "f:2:12: 'publish' cannot be 'all'; known are each, together");
  EXPECT_EQ(error("builder:\n  images:\n  - {name: a, from: .}\n"
                  "  - {name: b, from: ., tags: ['docker.io/library/a:latest']}\n"),
            "f:4: the images 'a' and 'b' cannot both be 'docker.io/library/a:latest'");
  EXPECT_EQ(error("builder:\n  images:\n  - {name: a, from: ., tags: [c]}\n"
                  "  - {name: b, from: ., tags: [c]}\n"),
            "f:4: the images 'a' and 'b' cannot both be 'c'");
}

}  // namespace
}  // namespace imagewright
