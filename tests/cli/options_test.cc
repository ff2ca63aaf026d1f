#include "cli/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace imagewright {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Options parse(const std::vector<std::string>& arguments) {
  const auto parsed = parse_options(arguments);
  if (const auto* end = std::get_if<EarlyEnd>(&parsed)) {
    ADD_FAILURE() << end->text;
    return {};
  }
  return std::get<Options>(parsed);
}

EarlyEnd early_end(const std::vector<std::string>& arguments) {
  const auto parsed = parse_options(arguments);
  const auto* end = std::get_if<EarlyEnd>(&parsed);
  if (end == nullptr) ADD_FAILURE() << "it was accepted";
  return end == nullptr ? EarlyEnd{} : *end;
}

TEST(Options, AFileWithoutACommandIsTheOriginalsForm) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"dingen.yml", "-c", "-s", "state", "-vv"},
        {"-s", "state", "-c", "-v", "-v", "dingen.yml"},
        {"-cvv", "--state-dir", "state", "dingen.yml"}}) {
    const Options options = parse(arguments);
    EXPECT_EQ(options.command, CommandName::Build);
    EXPECT_TRUE(options.original_form);
    EXPECT_EQ(options.config, "dingen.yml");
    EXPECT_EQ(options.state_directory, "state");
    EXPECT_TRUE(options.run.clean);
    EXPECT_EQ(options.verbose, 2);
  }
}

TEST(Options, ACommandIsFoundBehindOptions) {
  const Options options = parse({"-v", "build", "x.yml"});
  EXPECT_EQ(options.command, CommandName::Build);
  EXPECT_FALSE(options.original_form);
  EXPECT_EQ(options.config, "x.yml");
  EXPECT_EQ(options.verbose, 1);
}

TEST(Options, AnOptionsValueIsNoCommand) {
  const Options options = parse({"-i", "status", "build"});
  EXPECT_EQ(options.command, CommandName::Build);
  EXPECT_FALSE(options.original_form);
  EXPECT_THAT(options.run.images, ElementsAre("status"));
}

TEST(Options, EveryOptionOfBuild) {
  const Options options = parse({"build", "-i", "a*", "--image=b", "-j", "4", "-n", "--force",
                                 "--fail-fast", "--no-wait", "--engine", "buildah", "--json",
                                 "--progress", "plain", "-q", "--color", "never", "c.yml"});
  EXPECT_THAT(options.run.images, ElementsAre("a*", "b"));
  EXPECT_EQ(options.config, "c.yml");
  EXPECT_EQ(options.run.jobs, 4);
  EXPECT_TRUE(options.run.dry_run && options.run.force && options.run.fail_fast &&
              !options.run.wait);
  EXPECT_EQ(options.run.engine, "buildah");
  EXPECT_TRUE(options.json && options.quiet);
  EXPECT_EQ(options.progress, ProgressStyle::Plain);
  EXPECT_EQ(options.color, ColorStyle::Never);
}

TEST(Options, TheStateIsInAFileUnlessItIsSaidToBeInTheRegistry) {
  EXPECT_FALSE(parse({"build"}).run.registry_state);
  EXPECT_FALSE(parse({"build", "--state", "file"}).run.registry_state);
  for (const char* command : {"build", "status"})
    EXPECT_TRUE(parse({command, "--state", "registry", "c.yml"}).run.registry_state) << command;
  EXPECT_TRUE(parse({"why", "a", "--state=registry"}).run.registry_state);
  EXPECT_TRUE(parse({"--state", "registry", "c.yml"}).original_form);
  EXPECT_THAT(early_end({"build", "--state", "/var/lib"}).text,
              HasSubstr("'/var/lib' is none of file, registry"));
}

TEST(Options, AnImageComesBeforeTheConfiguration) {
  const Options options = parse({"context", "a/b", "c.yml", "--json"});
  EXPECT_EQ(options.command, CommandName::Context);
  EXPECT_EQ(options.image, "a/b");
  EXPECT_EQ(options.config, "c.yml");
}

TEST(Options, AConfigurationBehindTheSecondImageIsNoThirdImage) {
  const Options options = parse({"build", "-i", "a", "-i", "b", "c.yml"});
  EXPECT_EQ(options.run.images, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.config, "c.yml");
}

TEST(Options, WhichImagesAreMeant) {
  const Options options = parse(
      {"--platform", "linux/arm/v7", "status", "--constraint", "a", "--constraint", "b", "c.yml"});
  EXPECT_EQ(options.platform, "linux/arm/v7");
  EXPECT_EQ(options.constraints, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.config, "c.yml");
  EXPECT_EQ(parse({"import", "-", "--name", "x"}).repository, "x");
}

TEST(Options, TheConfigurationHasADefault) {
  EXPECT_EQ(parse({"status", "--exit-code"}).config, "imagewright.yml");
}

TEST(Options, AStoreThatServersShareIsPostgresqls) {
  const Options shared = parse({"serve", "--store", "postgresql://u@h/d", "--registry", "r"});
  EXPECT_EQ(shared.database, "postgresql://u@h/d");
  EXPECT_TRUE(shared.serve.fleet);
  for (const char* command : {"status", "history", "token"})
    EXPECT_EQ(parse({command, "--store", "postgres://h/d"}).database, "postgres://h/d") << command;
  const std::string refused = early_end({"serve", "--store", "mysql://u:secret@h/d"}).text;
  EXPECT_THAT(refused, HasSubstr("postgresql://"));
  EXPECT_THAT(refused, testing::Not(HasSubstr("secret")));
}

TEST(Options, MistakesEndWithStatusTwoAndOneHint) {
  EXPECT_THAT(early_end({"build", "--dryrun"}).text, HasSubstr("did you mean '--dry-run'?"));
  EXPECT_THAT(early_end({"build", "a", "b"}).text, HasSubstr("'b' is one argument too many"));
  EXPECT_THAT(early_end({"build", "-j", "none"}).text, HasSubstr("imagewright build --help"));
  EXPECT_THAT(early_end({"worker"}).text, HasSubstr("--server is required"));
  EXPECT_THAT(early_end({"worker", "--server", "u", "a"}).text,
              HasSubstr("'a' is one argument too many"));
  EXPECT_THAT(early_end({"serve", "--registry", "r"}).text, HasSubstr("--fleet"));
  EXPECT_THAT(early_end({"import"}).text, HasSubstr("FILE"));
  EXPECT_THAT(early_end({"build", "--platform", "arm64"}).text,
              HasSubstr("'arm64' is no platform; one is native, linux/arm64"));
  EXPECT_EQ(early_end({"context"}).status, 2);
  EXPECT_EQ(early_end({"build", "--engine", "rkt"}).status, 2);
  EXPECT_THAT(early_end({"build", "--progress", "tyt"}).text,
              HasSubstr("'tyt' is none of auto, tty, plain; did you mean 'tty'?"));
  EXPECT_EQ(early_end({"build", "--color", "1"}).status, 2);
  EXPECT_THAT(early_end({"build", "-j"}).text, HasSubstr("the option --jobs needs a value"));
  EXPECT_EQ(early_end({}).status, 2);
}

TEST(Options, HelpAndVersionAreForStandardOutput) {
  EXPECT_EQ(early_end({"--help"}).status, 0);
  EXPECT_EQ(early_end({"help"}).status, 0);
  EXPECT_THAT(early_end({"status", "--help"}).text, HasSubstr("--exit-code"));
  EXPECT_THAT(early_end({"status", "--help"}).text,
              HasSubstr("Usage: imagewright status [OPTIONS] [CONFIG]"));
  EXPECT_THAT(early_end({"--version"}).text, HasSubstr("imagewright 0."));
}

}  // namespace
}  // namespace imagewright
