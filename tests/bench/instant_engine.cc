// Stands in for Buildah where 10,000 images must have been built and nothing of the engine is to be
// measured: to be called `buildah`, first on PATH. It says that it is Buildah 1.28, "builds" an
// image by writing an id of its own for its tag, lists all that it built, and
// says of each that it brings nothing into builds.
//   INSTANT_IDS=FILE buildah --version | images ... | inspect ... | build ... -t TAG --iidfile FILE
//   ...
// A build without an iidfile is the question whether a RUN works, whose program ends with
// status 42.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

// 256 bits that depend on all of the text. (Nobody has to be kept from finding a second one.)
std::string id_of(std::string_view text) {
  std::string id = "sha256:";
  for (std::uint64_t part = 1; part <= 4; ++part) {
    std::uint64_t hash = 0xcbf29ce484222325 * part;
    for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    hash ^= hash >> 29;
    hash *= 0xbf58476d1ce4e5b9;
    hash ^= hash >> 32;
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
    id += digits;
  }
  return id;
}

bool write_to(const char* path, int flags, std::string_view bytes) {
  const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
  const bool written =
      file >= 0 && write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  if (!written) std::perror(path);
  if (file >= 0) close(file);
  return written;
}

int list(const char* ids) {
  const int file = open(ids, O_RDONLY | O_CLOEXEC);
  char buffer[65536];
  for (ssize_t got = 0; file >= 0 && (got = read(file, buffer, sizeof buffer)) > 0;) {
    if (write(STDOUT_FILENO, buffer, static_cast<std::size_t>(got)) != got) return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const char* ids = std::getenv("INSTANT_IDS");
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (ids == nullptr) {
    std::fputs("instant_engine: INSTANT_IDS is not set\n", stderr);
    return 2;
  }
  if (command == "--version") {
    std::puts("buildah version 1.28.2 (image-spec 1.1.0-rc2, runtime-spec 1.0.2-dev)");
    return 0;
  }
  if (command == "images") return list(ids);
  if (command == "inspect") {  // whatever image it is
    std::puts(
        R"({"FromImageID": "1", "Docker": {"os": "linux", "architecture": "amd64", "config": {}}})");
    return 0;
  }
  if (command != "build") return 125;
  const char* iidfile = nullptr;
  const char* tag = nullptr;
  for (int i = 2; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) == "--iidfile") iidfile = argv[i + 1];
    if (std::string_view(argv[i]) == "-t") tag = argv[i + 1];
  }
  if (iidfile == nullptr) return 42;
  if (tag == nullptr) return 125;
  const std::string id = id_of(tag);
  return write_to(iidfile, O_TRUNC, id) &&
                 write_to(ids, O_APPEND, id + " localhost/" + tag + ":latest\n")
             ? 0
             : 1;
}
