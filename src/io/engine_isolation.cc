#include "io/engine_isolation.h"

#include "io/engine_memory.h"
#include "io/environment.h"
#include "io/process.h"
#include "io/scratch.h"

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

// What may work. `chosen`: by the environment; it is said once more, as what an isolation cannot do
// is known by the arguments.
std::vector<std::vector<std::string>> candidates(const std::string& chosen) {
  if (chosen == "chroot") return {{"--isolation", "chroot"}};
  return {{}, {"--runtime", "runc"}, {"--runtime", "crun"}, {"--isolation", "chroot"}};
}

// Does a RUN work with these arguments?
bool run_works(const fs::path& cache, const std::string& program,
               const std::vector<std::string>& isolation) {
  const ScratchDirectory scratch(cache / "staging");
  write_file(scratch.path() / "p", probe_program());
  fs::permissions(scratch.path() / "p", fs::perms(0755));
  write_file(scratch.path() / "Dockerfile", "FROM scratch\nCOPY p /p\nRUN [\"/p\"]\n");
  Command command;
  command.argv = {program, "build", "--force-rm", "--layers=false"};
  command.argv.insert(command.argv.end(), isolation.begin(), isolation.end());
  command.argv.insert(command.argv.end(), {"-f", scratch.path() / "Dockerfile", scratch.path()});
  command.timeout = std::chrono::seconds(60);
  command.ending = Ending::DescendantsFirst;
  return capture(command).exit.status == kProbeStatus;
}

std::string name_of(const std::vector<std::string>& isolation) {
  return isolation.empty() ? "default" : isolation.front() + " " + isolation.back();
}

}  // namespace

std::vector<std::string> find_isolation(const fs::path& cache, const std::string& program) {
  if (probe_program().empty()) return {};
  const std::string chosen = variable("BUILDAH_ISOLATION");
  std::vector<std::string> files = containers_settings();
  files.insert(files.end(), {find_program(program), find_program("runc"), find_program("crun")});
  const EngineMemory memory(cache, fs::path(program).filename().string() + " isolation " + chosen,
                            files);
  const auto remembered = memory.recall();
  for (const auto& isolation : candidates(chosen)) {
    if (remembered == name_of(isolation)) return isolation;
  }
  for (const auto& isolation : candidates(chosen)) {
    if (!run_works(cache, program, isolation)) continue;
    memory.remember(name_of(isolation));
    return isolation;
  }
  return {};
}

}  // namespace imagewright
