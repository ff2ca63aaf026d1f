#include "io/git_tree_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/lower_case.h"
#include "io/fd.h"

namespace imagewright {

namespace {

constexpr std::size_t kMostEntries = 2'000'000;
constexpr std::size_t kLongestPath = 4095;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kInode = 1024;
constexpr std::time_t kDate = 315619200;  // 1980-01-02 00:00 UTC
constexpr std::array<timespec, 2> kDates = {timespec{kDate, 0}, timespec{kDate, 0}};

enum class Kind { File, Executable, Symlink };

// It takes more room than it may, or than there is.
struct TooLarge {};

// The first is the root, its own parent; parents come before children.
struct Directory {
  std::size_t parent = 0;
  std::string name;
  std::size_t path_size = 0;
};

struct Leaf {
  std::size_t directory = 0;
  std::string name;
  std::string id;
  Kind kind = Kind::File;
};

// Everything that a tree holds, by name. (A submodule is an empty directory.)
struct Plan {
  std::vector<Directory> directories;
  std::vector<Leaf> leaves;
  std::vector<TreeSubmodule> submodules;

  std::string path(std::size_t directory, const std::string& name) const {
    std::string path = name;
    for (; directory != 0; directory = directories[directory].parent) {
      path.insert(0, directories[directory].name + "/");
    }
    return path;
  }
};

[[noreturn]] void refuse(const GitMirror& mirror, const std::string& why) {
  throw Error(Error::Kind::Source, fmt::format("'{}': {}", mirror.remote().shown, why));
}

// `.git` as some file system would take it: in any case, with trailing dots and blanks, as an NTFS
// stream or by its short name. Git checks out none of these either.
bool names_git_directory(std::string_view name) {
  const std::string lower = lower_case(name);
  std::string_view rest = lower;
  if (rest.starts_with(".git")) {
    rest.remove_prefix(4);
  } else if (rest.starts_with("git~1")) {
    rest.remove_prefix(5);
  } else {
    return false;
  }
  const std::size_t end = rest.find_first_not_of(". ");
  return end == std::string_view::npos || rest[end] == ':' || rest[end] == '\\';
}

bool is_refused(std::string_view name) {
  return name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos ||
         names_git_directory(name);
}

// Reads the tree level by level: one call of git a level, however many directories it has; a tree
// that stands in many places is read once a level. (The paths of `ls-tree -r` would not tell a name
// that holds a `/`.)
class Planner {
 public:
  explicit Planner(GitMirror& mirror) : mirror_(mirror) {}

  Plan plan(const std::string& tree) {
    plan_.directories.emplace_back();
    next_[tree].push_back(0);
    while (!next_.empty()) read_level(std::exchange(next_, {}));
    return std::move(plan_);
  }

 private:
  using Level =
      std::map<std::string, std::vector<std::size_t>>;  // tree -> the directories it fills

  void read_level(const Level& level) {
    std::vector<std::string> ids;
    ids.reserve(level.size());
    for (const auto& [id, directories] : level) ids.push_back(id);
    mirror_.read_trees(ids, [&](std::size_t index, const std::vector<GitMirror::Entry>& entries) {
      const std::vector<std::size_t>& directories = level.at(ids[index]);
      if (plan_.directories.size() + plan_.leaves.size() + directories.size() * entries.size() >
          kMostEntries) {
        refuse(mirror_, fmt::format("the tree has more than {} entries", kMostEntries));
      }
      for (const std::size_t directory : directories) fill(directory, entries);
    });
  }

  void fill(std::size_t directory, const std::vector<GitMirror::Entry>& entries) {
    std::unordered_set<std::string_view> names;
    for (const GitMirror::Entry& entry : entries) {
      if (is_refused(entry.name)) {
        refuse(mirror_, fmt::format("the name '{}' is not allowed in a tree",
                                    plan_.path(directory, entry.name)));
      }
      if (!names.insert(entry.name).second) {
        refuse(mirror_,
               fmt::format("'{}' stands twice in the tree", plan_.path(directory, entry.name)));
      }
      add(directory, entry);
    }
  }

  void add(std::size_t directory, const GitMirror::Entry& entry) {
    const std::size_t path_size = plan_.directories[directory].path_size + 1 + entry.name.size();
    if (path_size > kLongestPath)
      refuse(mirror_, fmt::format("a path is longer than {} bytes", kLongestPath));
    switch (entry.mode & S_IFMT) {
      case S_IFDIR:
        next_[entry.id].push_back(plan_.directories.size());
        plan_.directories.push_back({directory, entry.name, path_size});
        break;
      case GitMirror::kSubmodule:
        plan_.directories.push_back({directory, entry.name, path_size});
        plan_.submodules.push_back({plan_.path(directory, entry.name), entry.id});
        break;
      case S_IFLNK:
        plan_.leaves.push_back({directory, entry.name, entry.id, Kind::Symlink});
        break;
      case S_IFREG:  // as in git, only the owner's right to execute counts
        plan_.leaves.push_back({directory, entry.name, entry.id,
                                (entry.mode & 0100) != 0 ? Kind::Executable : Kind::File});
        break;
      default:
        refuse(mirror_, fmt::format("'{}' has the unknown mode {:o}",
                                    plan_.path(directory, entry.name), entry.mode));
    }
  }

  GitMirror& mirror_;
  Plan plan_;
  Level next_;
};

// Writes a plan. Every file is made new, in a directory that was made here and is opened part by
// part: no symlink is ever followed.
class Writer {
 public:
  Writer(GitMirror& mirror, const Plan& plan, const std::filesystem::path& root,
         std::uint64_t most_bytes)
      : mirror_(mirror), plan_(plan), root_path_(root), room_(most_bytes) {
    root_ = Fd(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root_)
      throw Error(Error::Kind::Source, with_errno(fmt::format("cannot open '{}'", root.string())));
  }

  // Throws TooLarge.
  std::vector<TreePointer> write() {
    for (std::size_t i = 1; i < plan_.directories.size(); ++i) make_directory(i);
    write_leaves();
    for (std::size_t i = plan_.directories.size(); i-- > 0;) set_date(directory(i));
    return std::move(pointers_);
  }

 private:
  [[noreturn]] void fail(std::size_t in, const std::string& name, int error = errno) const {
    if (room_ != kAnySize && (error == ENOSPC || error == EDQUOT)) throw TooLarge();
    throw Error(
        Error::Kind::Source,
        with_errno(fmt::format("cannot write '{}'", (root_path_ / plan_.path(in, name)).string()),
                   error));
  }

  void take_room(std::uint64_t bytes) {
    if (room_ == kAnySize) return;
    const std::uint64_t taken = kInode + (bytes + kPage - 1) / kPage * kPage;
    if (taken > room_) throw TooLarge();
    room_ -= taken;
  }

  // The descriptor of a directory; the last one stays open.
  int directory(std::size_t index) {
    if (index == 0) return root_.get();
    if (index == open_index_) return open_.get();
    std::vector<std::size_t> way;
    for (std::size_t at = index; at != 0; at = plan_.directories[at].parent) way.push_back(at);
    Fd at;
    for (std::size_t i = way.size(); i-- > 0;) {
      const Directory& part = plan_.directories[way[i]];
      Fd next(openat(at ? at.get() : root_.get(), part.name.c_str(),
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!next) fail(part.parent, part.name);
      at = std::move(next);
    }
    open_ = std::move(at);
    open_index_ = index;
    return open_.get();
  }

  void make_directory(std::size_t index) {
    const Directory& made = plan_.directories[index];
    take_room(0);
    if (mkdirat(directory(made.parent), made.name.c_str(), 0700) != 0) fail(made.parent, made.name);
    if (fchmod(directory(index), 0755) != 0) fail(made.parent, made.name);
  }

  void write_leaves() {
    std::vector<std::string> ids;
    std::unordered_map<std::string_view, std::vector<const Leaf*>>
        places;  // the same content may stand in many
    for (const Leaf& leaf : plan_.leaves) {
      std::vector<const Leaf*>& same = places[leaf.id];
      if (same.empty()) ids.push_back(leaf.id);
      same.push_back(&leaf);
    }
    mirror_.read_blobs(ids, [&](std::size_t index, std::string_view content) {
      const auto pointer = parse_lfs_pointer(content);
      for (const Leaf* leaf : places.at(ids[index])) {
        take_room(content.size());
        leaf->kind == Kind::Symlink ? make_symlink(*leaf, content) : write_file(*leaf, content);
        if (pointer && leaf->kind != Kind::Symlink)
          pointers_.push_back({plan_.path(leaf->directory, leaf->name), *pointer});
      }
    });
  }

  void write_file(const Leaf& leaf, std::string_view content) {
    const Fd file(openat(directory(leaf.directory), leaf.name.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) fail(leaf.directory, leaf.name);
    while (!content.empty()) {
      const ssize_t written = ::write(file.get(), content.data(), content.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(leaf.directory, leaf.name);
      content.remove_prefix(static_cast<std::size_t>(written));
    }
    if (fchmod(file.get(), leaf.kind == Kind::Executable ? 0755 : 0644) != 0)
      fail(leaf.directory, leaf.name);
    set_date(file.get());
  }

  void make_symlink(const Leaf& leaf, std::string_view target) {
    if (target.empty() || target.find('\0') != std::string_view::npos) {
      refuse(mirror_, fmt::format("the symlink '{}' has a target that no symlink can have",
                                  plan_.path(leaf.directory, leaf.name)));
    }
    const int in = directory(leaf.directory);
    if (symlinkat(std::string(target).c_str(), in, leaf.name.c_str()) != 0 ||
        utimensat(in, leaf.name.c_str(), kDates.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      fail(leaf.directory, leaf.name);
    }
  }

  void set_date(int fd) const {
    if (!set_tree_date(fd)) {
      throw Error(Error::Kind::Source,
                  with_errno(fmt::format("cannot set the times in '{}'", root_path_.string())));
    }
  }

  GitMirror& mirror_;
  const Plan& plan_;
  const std::filesystem::path& root_path_;
  std::uint64_t room_;  // that is left
  Fd root_;
  Fd open_;
  std::size_t open_index_ = 0;
  std::vector<TreePointer> pointers_;
};

}  // namespace

bool set_tree_date(int fd) {
  return futimens(fd, kDates.data()) == 0;
}

WrittenTree write_git_tree(GitMirror& mirror, const std::string& tree,
                           const std::filesystem::path& directory, std::uint64_t most_bytes) {
  std::error_code error;
  if (!std::filesystem::is_empty(directory, error) || error) {
    throw Error(Error::Kind::Source,
                fmt::format("'{}' is not an empty directory", directory.string()));
  }
  Plan plan = Planner(mirror).plan(tree);
  WrittenTree written;
  try {
    written.pointers = Writer(mirror, plan, directory, most_bytes).write();
  } catch (const TooLarge&) {
    written.complete = false;
  }
  written.submodules = std::move(plan.submodules);
  return written;
}

}  // namespace imagewright
