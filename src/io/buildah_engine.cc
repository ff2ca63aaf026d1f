#include "io/buildah_engine.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/base_image_json.h"
#include "io/engine_isolation.h"
#include "io/engine_memory.h"
#include "io/error.h"
#include "io/scratch.h"
#include "io/staging.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

// Asked once, as long as the program is what it is.
std::string version_answer(const fs::path& cache) {
  return EngineMemory(cache, "buildah version", {find_program("buildah")}).answer([] {
    const Output output = capture({.argv = {"buildah", "--version"}});
    std::string answer = output.out.substr(0, output.out.find('\n'));
    if (!output.exit.ok() || answer.rfind("buildah version ", 0) != 0) {
      throw Error(Error::Kind::Missing, "buildah does not say its version: " + output.err);
    }
    return answer;
  });
}

// Where it is not in the kernel, a profile that is none is refused, too.
bool has_apparmor() {
  std::ifstream file("/sys/module/apparmor/parameters/enabled");
  return file.get() == 'Y';
}

}  // namespace

void take_isolation(BuildahProgram& program, std::vector<std::string> arguments) {
  const auto& all = arguments;
  program.capabilities.host_network_only = std::find(all.begin(), all.end(), "chroot") != all.end();
  program.isolation = std::move(arguments);
}

BuildOutcome build_by(const BuildahProgram& program, const fs::path& cache,
                      const BuildRequest& request, const OnLine& on_line) {
  const std::string name = fs::path(program.program).filename().string();
  const std::string problem = unsupported_of(program.capabilities, name, request);
  if (!problem.empty()) throw Error(Error::Kind::Source, problem);
  if (!request.named_contexts.empty() && !program.capabilities.named_contexts) {
    throw Error(Error::Kind::Source, cannot_do(program.capabilities, name, "additional_contexts",
                                               "of directories; Buildah 1.27 and later can"));
  }
  const Staging staging(cache, request, context_for(program.capabilities, request));
  Command command;
  // --layers: without it there is no cache and a new id each time. --force-rm: a failure leaves no
  // container.
  const bool layers = earlier_steps_are_sound(program.capabilities, request);
  command.argv = {program.program, "build", layers ? "--layers" : "--layers=false", "--force-rm"};
  command.argv.insert(command.argv.end(), program.isolation.begin(), program.isolation.end());
  add_common_arguments(command.argv, request, staging);
  const auto options = option_arguments(program.capabilities, request, staging);
  command.argv.insert(command.argv.end(), options.begin(), options.end());
  for (std::size_t i = 0; i < request.named_contexts.size(); ++i) {
    command.argv.insert(command.argv.end(),
                        {"--build-context",
                         request.named_contexts[i].name + "=" + staging.named_context(i).string()});
  }
  if (request.insecure) command.argv.emplace_back("--tls-verify=false");
  if (request.options.privileged && has_apparmor()) {
    command.argv.emplace_back("--security-opt=apparmor=unconfined");
  }
  command.argv.insert(command.argv.end(),
                      {"--ignorefile", staging.ignore_file(), staging.context()});
  command.ending = Ending::DescendantsFirst;
  command.timeout = request.timeout;
  command.stop = request.stop;

  BuildOutcome outcome;
  outcome.exit = run_command(command, on_line);
  if (outcome.exit.status == 0) outcome.image_id = built_image_id(program.capabilities, staging);
  return outcome;
}

std::string describe(const std::string& name, const BuildahProgram& program) {
  std::string text = name + " " + program.capabilities.version;
  for (const std::string& argument : program.isolation) text += " " + argument;
  return text;
}

std::string bare_id(const std::string& image_id) {
  return image_id.substr(image_id.find(':') + 1);
}

std::string image_argument(const std::string& image) {
  return image.starts_with("sha256:") ? bare_id(image) : image;
}

EngineImages listed_images(const std::string& program) {
  const std::string name = fs::path(program).filename().string();
  // A line for each name of an image. (Buildah puts columns of blanks between the two.)
  const std::string format =
      name == "buildah" ? "{{.ID}} {{.Name}}:{{.Tag}}" : "{{.ID}} {{.Repository}}:{{.Tag}}";
  const Output output =
      capture({.argv = {program, "images", "--all", "--no-trunc", "--format", format}});
  if (!output.exit.ok()) {
    throw Error(Error::Kind::Missing, name + " cannot list its images: " + output.first_error());
  }
  return read_image_list(output.out);
}

void tag_by(const std::string& program, const std::string& image_id, const std::string& reference) {
  const Output output = capture({.argv = {program, "tag", bare_id(image_id), reference}});
  if (output.exit.ok()) return;
  throw Error(Error::Kind::Source, fs::path(program).filename().string() +
                                       " cannot name the image " + reference + ": " +
                                       output.first_error());
}

std::set<std::string> used_images_by(const std::string& program) {
  // (Both list each other's.)
  const bool buildah = fs::path(program).filename() == "buildah";
  const std::vector<std::string> argv =
      buildah ? std::vector<std::string>{program,        "containers", "--all",
                                         "--notruncate", "--format",   "{{.ImageID}}"}
              : std::vector<std::string>{program,      "ps",       "--all",       "--external",
                                         "--no-trunc", "--format", "{{.ImageID}}"};
  const Output output = capture({.argv = argv});
  if (!output.exit.ok()) {
    throw Error(Error::Kind::Missing,
                program + " cannot list its containers: " + output.first_error());
  }
  std::set<std::string> ids;
  for (std::string id : lines_of(output.out)) {
    id.erase(id.find_last_not_of(' ') + 1);
    ids.insert(id.starts_with("sha256:") ? id : "sha256:" + id);
  }
  return ids;
}

std::string pull_by(const std::string& program, const std::string& reference, bool insecure) {
  Command command;
  command.argv = {program, "pull"};
  if (insecure) command.argv.emplace_back("--tls-verify=false");
  command.argv.push_back("docker://" + reference);
  return run_pull(command);
}

PushOutcome push_by(const std::string& program, const fs::path& cache, const std::string& image_id,
                    const std::string& reference, bool insecure) {
  const ScratchDirectory scratch(cache / "staging");
  const fs::path digest = scratch.path() / "digest";
  Command command;
  command.argv = {program, "push", "--digestfile", digest};
  if (insecure) command.argv.emplace_back("--tls-verify=false");
  command.argv.insert(command.argv.end(), {bare_id(image_id), "docker://" + reference});
  PushOutcome outcome = run_push(command);
  std::ifstream(digest) >> outcome.digest;
  return outcome;
}

std::optional<EngineImage> listed_image(const std::string& image, const std::string& platform) {
  const Output output =
      capture({.argv = {"buildah", "inspect", "--type", "image", image_argument(image)}});
  if (!output.exit.ok()) return std::nullopt;
  const auto answer = nlohmann::json::parse(output.out, nullptr, false);
  if (!answer.is_object()) return std::nullopt;
  const std::string id = answer.value("FromImageID", "");
  const auto docker = answer.find("Docker");
  if (id.empty() || docker == answer.end()) return std::nullopt;
  return EngineImage{"sha256:" + id, fits_platform(*docker, platform),
                     base_image_of(*docker, platform)};
}

Readiness BuildahEngine::prepare() {
  if (buildah_.program.empty()) {
    buildah_.capabilities = buildah_capabilities(version_answer(cache_));
    take_isolation(buildah_, find_isolation(cache_, "buildah"));
    buildah_.program = "buildah";
  }
  return {describe(name(), buildah_), ""};
}

BuildOutcome BuildahEngine::build(const BuildRequest& request, const OnLine& on_line) {
  prepare();
  return build_by(buildah_, cache_, request, on_line);
}

}  // namespace imagewright
