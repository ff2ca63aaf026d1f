#include "io/buildah_engine.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <system_error>

#include "io/engine_memory.h"
#include "io/error.h"
#include "io/scratch.h"
#include "io/staging.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

constexpr int kProbeStatus = 42;

// A whole static program that exits with kProbeStatus: an ELF header, one segment, a few
// instructions.
std::string probe_program() {
  std::string program;
  const auto bytes = [&](std::initializer_list<int> values) {
    for (const int value : values) program += static_cast<char>(value);
  };
  const auto number = [&](std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) program += static_cast<char>((value >> (8 * i)) & 0xff);
  };
#if defined(__x86_64__)
  constexpr std::uint64_t kMachine = 62;
  std::string code("\xbf\x2a\x00\x00\x00", 5);             // mov edi, 42
  code += std::string("\xb8\x3c\x00\x00\x00\x0f\x05", 7);  // mov eax, 60 (exit); syscall
#elif defined(__aarch64__)
  constexpr std::uint64_t kMachine = 183;
  std::string code("\x40\x05\x80\xd2", 4);     // mov x0, 42
  code += std::string("\xa8\x0b\x80\xd2", 4);  // mov x8, 93 (exit)
  code += std::string("\x01\x00\x00\xd4", 4);  // svc 0
#else
  return "";
#endif
  constexpr std::uint64_t kBase = 0x400000;
  constexpr std::uint64_t kHeaders = 64 + 56;
  bytes({0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  number(2, 2);  // an executable
  number(kMachine, 2);
  number(1, 4);
  number(kBase + kHeaders, 8);  // entry
  number(64, 8);                // program headers follow
  number(0, 8);                 // no section headers
  number(0, 4);
  number(64, 2);
  number(56, 2);
  number(1, 2);  // one program header
  number(64, 2);
  number(0, 2);
  number(0, 2);
  number(1, 4);  // load
  number(5, 4);  // read, execute
  number(0, 8);
  number(kBase, 8);
  number(kBase, 8);
  number(kHeaders + code.size(), 8);
  number(kHeaders + code.size(), 8);
  number(0x1000, 8);
  return program + code;
}

const std::vector<std::vector<std::string>>& candidates() {
  static const std::vector<std::vector<std::string>> all = {
      {}, {"--runtime", "runc"}, {"--runtime", "crun"}, {"--isolation", "chroot"}};
  return all;
}

// Does a RUN work with these arguments? Neither `buildah info` nor `crun --version` can tell: it
// has to be tried.
bool run_works(const fs::path& cache, const std::vector<std::string>& isolation) {
  const ScratchDirectory scratch(cache / "staging");
  write_file(scratch.path() / "p", probe_program());
  fs::permissions(scratch.path() / "p", fs::perms(0755));
  write_file(scratch.path() / "Dockerfile", "FROM scratch\nCOPY p /p\nRUN [\"/p\"]\n");
  Command command;
  command.argv = {"buildah", "build", "--force-rm", "--layers=false"};
  command.argv.insert(command.argv.end(), isolation.begin(), isolation.end());
  command.argv.insert(command.argv.end(), {"-f", scratch.path() / "Dockerfile", scratch.path()});
  command.timeout = std::chrono::seconds(60);
  command.ending = Ending::DescendantsFirst;
  return capture(command).exit.status == kProbeStatus;
}

std::vector<std::string> find_isolation(const fs::path& cache) {
  if (probe_program().empty()) return {};
  const EngineMemory memory(cache, "buildah isolation",
                            {find_program("buildah"), find_program("runc"), find_program("crun")});
  const auto& all = candidates();
  const auto named = [](const std::vector<std::string>& isolation) {
    return isolation.empty() ? std::string("default") : isolation.front() + " " + isolation.back();
  };
  const auto remembered = memory.recall();
  for (const auto& isolation : all) {
    if (remembered == named(isolation)) return isolation;
  }
  for (const auto& isolation : all) {
    if (!run_works(cache, isolation)) continue;
    memory.remember(named(isolation));
    return isolation;
  }
  return {};  // nothing runs here; a Dockerfile without RUN still builds, another will say why not
}

// Does the Dockerfile have what Buildah's cache of layers overlooks: an ARG, or a RUN --mount?
// Rather once too often than once too seldom: it is not parsed.
bool has_mounts(const std::string& dockerfile) {
  return dockerfile.find("--mount") != std::string::npos;
}

bool has_arguments_or_mounts(const std::string& dockerfile) {
  if (has_mounts(dockerfile)) return true;
  std::istringstream lines(dockerfile);
  for (std::string line; std::getline(lines, line);) {
    // (Letters only: a byte order mark may stand before it.)
    const auto is_letter = [](unsigned char byte) { return std::isalpha(byte) != 0; };
    const auto begin = std::find_if(line.begin(), line.end(), is_letter);
    const auto end = std::find_if_not(begin, line.end(), is_letter);
    std::string word(begin, end);
    for (char& letter : word) letter = static_cast<char>(std::toupper(letter));
    if (word == "ARG") return true;
  }
  return false;
}

// With --layers Buildah takes a step from an earlier build if its text is the same, and for COPY
// and ADD the bytes. So an image gets an old value where LABEL, ENV, USER or WORKDIR uses an
// argument, old bytes where RUN mounts a part of the context or of a stage, and another image's
// labels, because those of --label go into every layer. (Found on 1.28.)
bool cache_is_sound(const BuildRequest& request) {
  return request.args.empty() && request.labels.empty() &&
         !has_arguments_or_mounts(request.dockerfile);
}

}  // namespace

std::set<std::string> BuildahEngine::image_ids() {
  const Output output = capture({.argv = {"buildah", "images", "--all", "--quiet", "--no-trunc"}});
  if (!output.exit.ok()) {
    throw Error(Error::Kind::Missing,
                "buildah cannot list its images: " + output.err.substr(0, output.err.find('\n')));
  }
  return lines_of(output.out);
}

Readiness BuildahEngine::prepare() {
  if (!prepared_) {
    const Output output = capture({.argv = {"buildah", "--version"}});
    constexpr std::string_view kBefore = "buildah version ";
    if (!output.exit.ok() || output.out.compare(0, kBefore.size(), kBefore) != 0) {
      throw Error(Error::Kind::Missing, "buildah does not say its version: " + output.err);
    }
    version_ = output.out.substr(kBefore.size(),
                                 output.out.find_first_of(" \n", kBefore.size()) - kBefore.size());
    isolation_ = find_isolation(cache_);
    prepared_ = true;
  }
  std::string text = "buildah " + version_;
  for (const std::string& argument : isolation_) text += " " + argument;
  return {text, ""};
}

BuildOutcome BuildahEngine::build(const BuildRequest& request, const OnLine& on_line,
                                  const OnTick& on_tick) {
  prepare();
  // A RUN --mount binds the directory as it lies there, with what the ignore file leaves out.
  const bool copy = request.ignore_has_exceptions || has_mounts(request.dockerfile);
  const Staging staging(cache_, request,
                        copy ? Staging::Context::Copy : Staging::Context::Directory);
  Command command;
  // --layers: without it there is no cache and a new id each time. --force-rm: a failure leaves no
  // container.
  const bool layers = cache_is_sound(request);
  command.argv = {"buildah", "build", layers ? "--layers" : "--layers=false", "--force-rm"};
  command.argv.insert(command.argv.end(), isolation_.begin(), isolation_.end());
  add_common_arguments(command.argv, request, staging);
  command.argv.insert(command.argv.end(),
                      {"--ignorefile", staging.ignore_file(), staging.context()});
  command.ending = Ending::DescendantsFirst;

  BuildOutcome outcome;
  outcome.exit = run_command(command, on_line, on_tick);
  if (outcome.exit.status == 0) outcome.image_id = staging.image_id();
  return outcome;
}

}  // namespace imagewright
