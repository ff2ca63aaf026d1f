// What people and programs do to a directory, at random, for tests that hold what is known of it
// against what it is.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace imagewright {

/// IMAGEWRIGHT_SEED, or another one each time. To be printed where a test fails.
inline unsigned random_seed() {
  const char* text = std::getenv("IMAGEWRIGHT_SEED");
  return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10))
                         : std::random_device()();
}

/// Steps of a random history below a directory.
class TreeEdits {
 public:
  TreeEdits(std::filesystem::path root, unsigned seed) : root_(std::move(root)), random_(seed) {}

  /// Does one thing, and says what. What cannot be done (by now) is not done.
  std::string step() {
    const std::string path = any();
    const std::string other = any();
    const std::string both = path + " " + other;
    std::error_code error;
    switch (below(23)) {
      case 0:
      case 1:
        write(fresh(), O_CREAT | O_TRUNC, below(40));
        return "create";
      case 2:
        write(path, 0, 1 + below(5));
        return "edit in place " + path;
      case 3:
        write(path, O_APPEND, 1 + below(5));
        return "append " + path;
      case 4:
        if (is(path, S_IFREG)) error_ = truncate(at(path).c_str(), static_cast<off_t>(below(20)));
        return "truncate " + path;
      case 5:
        if (!is(path, S_IFLNK)) error_ = chmod(at(path).c_str(), 0700 + below(64));
        return "chmod " + path;
      case 6:
        error_ = rename(at(path).c_str(), at(fresh()).c_str());
        return "rename " + path;
      case 7:
      case 8:
        error_ = rename(at(path).c_str(), at(other).c_str());
        return "rename over " + both;
      case 9:
        std::filesystem::remove(at(path), error);
        return "delete " + path;
      case 10:
        if (below(6) == 0) std::filesystem::remove_all(at(path), error);
        return "delete whole " + path;
      case 11:
      case 12:
        error_ = mkdir(at(fresh()).c_str(), 0755);
        return "mkdir";
      case 13:
        error_ = rmdir(at(path).c_str());
        return "rmdir " + path;
      case 14:
        unlink(at(path).c_str());
        error_ = symlink(other.c_str(), at(path).c_str());
        return "symlink flip " + both;
      case 15:
        restoring_times(path, [&] { write(path, 0, 1 + below(5)); });
        return "edit with its old times " + path;
      case 16:
        error_ = utimensat(AT_FDCWD, at(path).c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
        return "touch " + path;
      case 17:
        error_ = link(at(path).c_str(), at(fresh()).c_str());
        return "hard link " + path;
      case 18:
        error_ =
            renameat2(AT_FDCWD, at(path).c_str(), AT_FDCWD, at(other).c_str(), RENAME_EXCHANGE);
        return "swap " + both;
      case 19: {
        const char value = static_cast<char>('a' + below(3));
        error_ = lsetxattr(at(path).c_str(), "user.note", &value, 1, 0);
        return "set attribute " + path;
      }
      case 20:
        error_ = lremovexattr(at(path).c_str(), "user.note");
        return "remove attribute " + path;
      case 21:
        replace_with_same_stamps(path);
        return "replace by one of the same size and times " + path;
      default: {
        // Times of the future, and of long ago.
        const timespec times[2] = {{0, UTIME_OMIT}, {below(2) == 0 ? 4'000'000'000 : -5, 7}};
        error_ = utimensat(AT_FDCWD, at(path).c_str(), times, AT_SYMLINK_NOFOLLOW);
        return "odd time " + path;
      }
    }
  }

  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }

 private:
  std::filesystem::path at(const std::string& path) const { return root_ / path; }

  // A path that may be there, of few: so they meet often.
  std::string any() {
    static constexpr const char* kNames[] = {"a", "b", "c", "d.log", "e f", "\xc3\xa4"};
    std::string path = kNames[below(6)];
    while (below(2) == 0 && std::count(path.begin(), path.end(), '/') < 4) {
      path += std::string("/") + kNames[below(6)];
    }
    return path;
  }
  std::string fresh() { return any(); }

  bool is(const std::string& path, mode_t type) const {
    struct stat status = {};
    return lstat(at(path).c_str(), &status) == 0 && (status.st_mode & S_IFMT) == type;
  }

  void write(const std::string& path, int flags, std::size_t size) {
    const int fd = open(at(path).c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC | flags, 0644);
    if (fd < 0) return;
    std::string bytes;
    while (bytes.size() < size) bytes += static_cast<char>('a' + below(4));
    error_ = ::write(fd, bytes.data(), bytes.size()) < 0 ? -1 : 0;
    close(fd);
  }

  template <typename Edit>
  void restoring_times(const std::string& path, const Edit& edit) {
    struct stat status = {};
    if (lstat(at(path).c_str(), &status) != 0) return;
    edit();
    const timespec times[2] = {status.st_atim, status.st_mtim};
    error_ = utimensat(AT_FDCWD, at(path).c_str(), times, AT_SYMLINK_NOFOLLOW);
  }

  // Often it gets the inode that has just become free, too.
  void replace_with_same_stamps(const std::string& path) {
    if (!is(path, S_IFREG)) return;
    const auto size = std::filesystem::file_size(at(path));
    struct stat status = {};
    if (lstat(at(path).c_str(), &status) != 0) return;
    restoring_times(path, [&] {
      unlink(at(path).c_str());
      write(path, O_CREAT, size);
      error_ = chmod(at(path).c_str(), status.st_mode & 07777);
    });
  }

  std::filesystem::path root_;
  std::mt19937 random_;
  int error_ = 0;  // of the last call: what could not be done was not done
};

}  // namespace imagewright
