#include "io/scratch.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <fstream>
#include <string>
#include <system_error>

#include "io/error.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

// Between being made and being locked a directory looks abandoned: the young are left alone.
constexpr std::time_t kYoung = 60;

Fd open_locked(const fs::path& directory) {
  Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd && flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

// Also what holds directories without write permission, as copies of contexts do.
void remove_tree(const fs::path& tree) {
  std::error_code error;
  fs::remove_all(tree, error);
  if (!error) return;
  for (fs::recursive_directory_iterator at(tree, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (fs::symlink_status(at->path(), ignored).type() == fs::file_type::directory) {
      fs::permissions(at->path(), fs::perms::owner_all, fs::perm_options::add, ignored);
    }
  }
  fs::remove_all(tree, error);
}

void sweep(const fs::path& parent) {
  std::error_code error;
  for (fs::directory_iterator at(parent, error), end; !error && at != end; at.increment(error)) {
    struct stat status = {};
    if (lstat(at->path().c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    if (std::time(nullptr) - status.st_mtime < kYoung) continue;
    if (const Fd lock = open_locked(at->path())) remove_tree(at->path());
  }
}

// What is made there comes and goes, each as a whole. Ext4 does not like to use an inode again that
// was free for less than minutes, and looks at all of those each time it makes a file beside them:
// of ten thousand files that took ten times as long. With this flag each new directory is put
// elsewhere. (Other file systems do not know it, and do not need it.)
void spread_out(const fs::path& parent) {
  const Fd fd(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int flags = 0;
  if (!fd || ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0 || (flags & FS_TOPDIR_FL) != 0) return;
  flags |= FS_TOPDIR_FL;
  (void)ioctl(fd.get(), FS_IOC_SETFLAGS, &flags);
}

std::optional<std::uint64_t> available_memory() {
  std::ifstream lines("/proc/meminfo");
  std::string name;
  std::uint64_t kibibytes = 0;
  std::string unit;
  while (lines >> name >> kibibytes && std::getline(lines, unit)) {
    if (name == "MemAvailable:") return kibibytes * 1024;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ScratchMemory> scratch_memory() {
  // (Of people that log out, systemd-logind removes what they have there: RemoveIPC.)
  constexpr uid_t kFirstOfPeople = 1000;
  if (geteuid() >= kFirstOfPeople) return std::nullopt;
  constexpr const char* kMemory = "/dev/shm";
  constexpr std::uint64_t kMost = std::uint64_t{128} << 20;
  struct statfs all = {};
  if (statfs(kMemory, &all) != 0 || all.f_type != TMPFS_MAGIC) return std::nullopt;
  // A quarter of it, however many of us there are, and a quarter of what memory is free.
  const std::uint64_t page = static_cast<std::uint64_t>(all.f_bsize);
  const std::uint64_t kept_free = all.f_blocks / 4 * 3;
  if (all.f_bavail <= kept_free) return std::nullopt;
  const auto free_memory = available_memory();
  if (!free_memory) return std::nullopt;
  ScratchMemory memory;
  memory.most_bytes = std::min({kMost, (all.f_bavail - kept_free) * page, *free_memory / 4});
  memory.parent = fs::path(kMemory) / ("imagewright-" + std::to_string(geteuid()));
  if (mkdir(memory.parent.c_str(), 0700) != 0 && errno != EEXIST) return std::nullopt;
  struct stat parent = {};
  // (Everybody may make directories there: one of somebody else is not ours.)
  if (lstat(memory.parent.c_str(), &parent) != 0 || !S_ISDIR(parent.st_mode) ||
      parent.st_uid != geteuid() || (parent.st_mode & 07777) != 0700) {
    return std::nullopt;
  }
  return memory;
}

ScratchDirectory::ScratchDirectory(const fs::path& parent) {
  std::error_code error;
  fs::create_directories(parent, error);
  if (!error) sweep(parent);
  if (!error) spread_out(parent);
  std::string name = (parent / "XXXXXX").string();
  if (error || mkdtemp(name.data()) == nullptr) {
    throw Error(Error::Kind::Missing,
                with_errno("cannot make a directory in '" + parent.string() + "'",
                           error ? error.value() : errno));
  }
  path_ = name;
  lock_ = open_locked(path_);
}

ScratchDirectory::~ScratchDirectory() {
  remove_tree(path_);
}

void write_file(const fs::path& path, std::string_view bytes) {
  static std::atomic<unsigned> count{0};  // several threads may write the same file
  const std::string temporary =
      path.string() + "." + std::to_string(getpid()) + "-" + std::to_string(++count);
  const auto failed = [&](int error) {
    unlink(temporary.c_str());
    throw Error(Error::Kind::Missing, with_errno("cannot write '" + path.string() + "'", error));
  };
  Fd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) failed(errno);
  if (!write_at(fd.get(), 0, bytes)) failed(errno);
  if (rename(temporary.c_str(), path.c_str()) != 0) failed(errno);
}

}  // namespace imagewright
