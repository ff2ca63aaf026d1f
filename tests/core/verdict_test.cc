#include "core/verdict.h"

#include <gtest/gtest.h>

#include "core/digest.h"

namespace imagewright {
namespace {

Inputs inputs() {
  return {std::string(64, 'c'),
          std::string(64, 'd'),
          "release",
          {{"VERSION", "1.10"}},
          {{"team", "a"}}};
}

LastSuccess success_of(const Inputs& of) {
  const Manifest manifest = make_manifest(of);
  return {manifest.digest, kFingerprintFormat, true, manifest.inputs};
}

std::string reasons(const Inputs& now, const std::optional<LastSuccess>& last, bool present = true,
                    bool force = false) {
  return describe(decide(make_manifest(now), last, present, "docker", force).reasons);
}

TEST(Verdict, NothingChangedIsUpToDate) {
  EXPECT_FALSE(
      decide(make_manifest(inputs()), success_of(inputs()), true, "docker", false).build());
}

TEST(Verdict, WithoutASuccessItIsBuilt) {
  EXPECT_EQ(reasons(inputs(), std::nullopt), "never built");
}

TEST(Verdict, EachInputIsNamed) {
  const LastSuccess last = success_of(inputs());
  Inputs now = inputs();
  now.context_digest[0] = 'e';
  EXPECT_EQ(reasons(now, last), "context changed");
  now = inputs();
  now.dockerfile_digest[0] = 'e';
  EXPECT_EQ(reasons(now, last), "dockerfile changed");
  now = inputs();
  now.target = "";
  EXPECT_EQ(reasons(now, last), "target removed");
  now = inputs();
  now.args["VERSION"] = "1.1";
  EXPECT_EQ(reasons(now, last), "arg VERSION changed");
  now = inputs();
  now.args = {{"OTHER", "1.10"}};
  EXPECT_EQ(reasons(now, last), "arg OTHER added; arg VERSION removed");
  now = inputs();
  now.labels["team"] = "b";
  EXPECT_EQ(reasons(now, last), "label team changed");
}

TEST(Verdict, AnArgIsNotALabel) {
  Inputs now = inputs();
  now.args.clear();
  now.labels = {{"team", "a"}, {"VERSION", "1.10"}};
  EXPECT_EQ(reasons(now, success_of(inputs())), "label VERSION added; arg VERSION removed");
}

TEST(Verdict, AnImageThatTheEngineLacksIsBuilt) {
  EXPECT_EQ(reasons(inputs(), success_of(inputs()), false), "image is gone from docker");
}

TEST(Verdict, ARowOfTheOriginalIsBuiltOnceForThatReasonAlone) {
  LastSuccess last;
  last.digest = make_manifest(inputs()).digest;
  EXPECT_EQ(reasons(inputs(), last, false), "state from the original");
}

TEST(Verdict, AnUnverifiedSuccessIsBuiltAgain) {
  LastSuccess last = success_of(inputs());
  last.verified = false;
  EXPECT_EQ(reasons(inputs(), last), "its context changed while it was built");
}

TEST(Verdict, AnotherFormatIsBuilt) {
  LastSuccess last = success_of(inputs());
  last.format = kFingerprintFormat + 1;
  EXPECT_EQ(reasons(inputs(), last), "fingerprinted by another version's rules");
}

TEST(Verdict, ForceBuildsAndSaysWhatElse) {
  EXPECT_EQ(reasons(inputs(), success_of(inputs()), true, true), "forced");
  EXPECT_EQ(reasons(inputs(), std::nullopt, true, true), "forced; never built");
}

// The list explains, the digest decides: a list that shows no difference must not hide one.
TEST(Verdict, ADigestThatDiffersIsBuiltWhateverTheListSays) {
  LastSuccess last = success_of(inputs());
  last.digest = std::string(64, '0');
  EXPECT_TRUE(decide(make_manifest(inputs()), last, true, "docker", false).build());
}

TEST(Fingerprint, KindsAreReadBackFromTheirWords) {
  for (const InputKind kind :
       {InputKind::Context, InputKind::Dockerfile, InputKind::Target, InputKind::Arg,
        InputKind::Label, InputKind::Option, InputKind::Secret}) {
    EXPECT_EQ(input_kind(word(kind)), kind);
  }
  EXPECT_EQ(input_kind("nothing"), std::nullopt);
}

// It was this before there were options: what was built is not built again for them.
TEST(Fingerprint, AnImageWithoutOptionsIsWhatItWas) {
  Inputs plain;
  plain.context_digest = std::string(64, 'c');
  plain.dockerfile_digest = std::string(64, 'd');
  plain.target = "t";
  plain.args = {{"A", "1"}};
  plain.labels = {{"L", "2"}};
  EXPECT_EQ(make_manifest(plain).digest,
            "c067ceeb4347b07d595ef56ee203d06a1a00969c679cd4f707b69fc0659d4b57");
  plain.options = {{"network", "none"}};
  plain.secret_digests = {{"s", std::string(64, 'e')}};
  const Manifest manifest = make_manifest(plain);
  ASSERT_EQ(manifest.inputs.size(), 7U);
  EXPECT_EQ(manifest.inputs[5], (Input{InputKind::Option, "network", hex(sha256("none")), "none"}));
  EXPECT_EQ(manifest.inputs[6], (Input{InputKind::Secret, "s", std::string(64, 'e')}));
}

TEST(Fingerprint, ATargetIsNotAnEmptyTarget) {
  Inputs none = inputs();
  none.target = "";
  EXPECT_NE(make_manifest(none).digest, make_manifest(inputs()).digest);
}

// What stands on this base, with nothing else to it.
Manifest on_base(const std::string& name, const std::string& config, const std::string& manifest) {
  return make_manifest({}, {{base_input(name, config, manifest)}, {}});
}

TEST(Verdict, NamesABaseThatMoved) {
  const std::string before = "sha256:" + std::string(64, 'a');
  const std::string now = "sha256:" + std::string(64, 'b');
  const Manifest built = on_base("debian:12", before, "docker.io/library/debian@sha256:c");
  const LastSuccess last{built.digest, kFingerprintFormat, true, built.inputs};
  const auto why = [&](const Manifest& manifest) {
    return describe(decide(manifest, last, true, "docker", false).reasons);
  };
  EXPECT_EQ(why(on_base("debian:12", now, "docker.io/library/debian@sha256:d")),
            "base debian:12 changed: aaaaaaaaaaaa is bbbbbbbbbbbb now");
  EXPECT_EQ(why(on_base("debian:12", "", "")),
            "base debian:12 changed: aaaaaaaaaaaa is unknown now");
  EXPECT_EQ(why(on_base("debian:12", before, "docker.io/library/debian@sha256:d")), "")
      << "the same image under another manifest";
  EXPECT_EQ(why(on_base("debian:13", before, "")), "base debian:13 added; base debian:12 removed");
  EXPECT_EQ(why(make_manifest({}, Ground{})), "base debian:12 removed");
}

TEST(Fingerprint, ABasesValueIsReadAsItWasWritten) {
  const BaseValue both = read_base_value(base_input("x", "sha256:1", "r@sha256:2").value);
  EXPECT_EQ(both.config + " " + both.manifest, "sha256:1 r@sha256:2");
  const BaseValue own = read_base_value(base_input("x", "sha256:1", "").value);
  EXPECT_EQ(own.config + "|" + own.manifest, "sha256:1|");
  EXPECT_EQ(read_base_value("").config, "");
}

TEST(Fingerprint, ABaseIsKnownByItsConfig) {
  const Input known = base_input("docker.io/library/a:1", "sha256:" + std::string(64, 'a'), "");
  EXPECT_TRUE(all_bases_are_known({}));
  EXPECT_TRUE(all_bases_are_known({known, {InputKind::Arg, "x", "digest", ""}}));
  EXPECT_FALSE(all_bases_are_known({known, base_input("docker.io/library/b:1", "", "")}));
}

}  // namespace
}  // namespace imagewright
