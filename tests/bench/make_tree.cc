// Makes a tree of many small files to measure on, fast: two threads and two system calls more than
// what each file needs. Every file is distinct; the trees are the same each time.
//   make_tree spread FILES DIR    DIR/TOP/LEAF/FILE: 100 files a leaf, 100 leaves a top
//   make_tree flat FILES DIR      all of them in DIR
//   make_tree images COUNT DIR    DIR/IMAGE with 20 files each, a Dockerfile among them, and
//                                 DIR/imagewright.yml that names them all
// In a spread or flat DIR a Dockerfile stands beside the FILES.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;

constexpr unsigned kThreads = 2;
constexpr std::size_t kLeaf = 100;    // files in a leaf directory
constexpr std::size_t kLeaves = 100;  // leaves in a top directory
constexpr std::size_t kChunk = 1000;  // files of a flat directory that a thread takes at a time
constexpr std::size_t kOfImage = 20;  // files of an image
constexpr char kDockerfile[] = "FROM scratch\nCOPY . /\n";

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "make_tree: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

std::string numbered(const char* prefix, std::size_t number, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%s%0*zu", prefix, digits, number);
  return text;
}

// An open directory, to make files in it without walking its path each time.
class Directory {
 public:
  explicit Directory(const fs::path& path)
      : path_(path), fd_(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (fd_ < 0) fail(path);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { close(fd_); }

  void write(const std::string& name, std::string_view bytes) const {
    const int file = openat(fd_, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || ::write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      fail(path_ / name);
    close(file);
  }

  void write_numbered(std::size_t number) const {
    write(numbered("f", number, 6), "content of file " + std::to_string(number) + "\n");
  }

 private:
  fs::path path_;
  int fd_;
};

// Does `part` for 0 … parts - 1, each once, by kThreads threads.
template <typename Part>
void in_parallel(std::size_t parts, const Part& part) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < parts; i = next++) part(i);
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back(work);
}

void make_spread(std::size_t files, const fs::path& root) {
  in_parallel((files + kLeaf - 1) / kLeaf, [&](std::size_t leaf) {
    const fs::path path =
        root / numbered("d", leaf / kLeaves, 3) / numbered("d", leaf % kLeaves, 2);
    fs::create_directories(path);
    const Directory directory(path);
    const std::size_t end = std::min(files, (leaf + 1) * kLeaf);
    for (std::size_t i = leaf * kLeaf; i < end; ++i) directory.write_numbered(i);
  });
  Directory(root).write("Dockerfile", kDockerfile);
}

void make_flat(std::size_t files, const fs::path& root) {
  const Directory directory(root);
  in_parallel((files + kChunk - 1) / kChunk, [&](std::size_t chunk) {
    const std::size_t end = std::min(files, (chunk + 1) * kChunk);
    for (std::size_t i = chunk * kChunk; i < end; ++i) directory.write_numbered(i);
  });
  directory.write("Dockerfile", kDockerfile);
}

void make_images(std::size_t images, const fs::path& root) {
  in_parallel(images, [&](std::size_t image) {
    const fs::path path = root / numbered("image", image, 4);
    fs::create_directories(path);
    const Directory directory(path);
    directory.write("Dockerfile", kDockerfile);
    for (std::size_t i = 1; i < kOfImage; ++i) directory.write_numbered(image * kOfImage + i);
  });
  std::string config = "builder:\n  images:\n";
  for (std::size_t image = 0; image < images; ++image) {
    const std::string name = numbered("image", image, 4);
    config += "  - {name: bench/" + name + ", from: " + name + "}\n";
  }
  Directory(root).write("imagewright.yml", config);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view shape = argc == 4 ? argv[1] : "";
  std::size_t count = 0;
  if (argc == 4) std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), count);
  if (count == 0 || (shape != "spread" && shape != "flat" && shape != "images")) {
    std::fputs("usage: make_tree spread|flat|images COUNT DIR\n", stderr);
    return 2;
  }
  fs::create_directories(argv[3]);
  if (shape == "spread") make_spread(count, argv[3]);
  if (shape == "flat") make_flat(count, argv[3]);
  if (shape == "images") make_images(count, argv[3]);
  return 0;
}
