#include "io/watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include "io/error.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::uint32_t kMask = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM |
                                IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr int kLongestBurst = 20;  // quiet periods

}  // namespace

Watch::Watch(std::vector<fs::path> own, std::vector<std::string> own_files)
    : own_files_(std::move(own_files)),
      inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  for (const fs::path& path : own) {
    std::error_code ignored;
    own_.push_back(fs::weakly_canonical(path, ignored));
  }
  if (!inotify_) problem_ = with_errno("directories cannot be watched");
}

void Watch::set(const std::vector<WatchedTree>& trees, const std::vector<fs::path>& files) {
  if (!inotify_) return;
  problem_.clear();
  std::map<int, Directory> before = std::exchange(directories_, {});
  trees_ = trees;
  for (const WatchedTree& tree : trees_) {
    std::error_code error;
    const fs::path root = fs::canonical(tree.root, error);
    // One that is missing is waited for where it would be.
    if (error) {
      add(tree.root.parent_path(), {nullptr, "", {}, {tree.root.filename().string()}});
    } else {
      add_tree(root, {&tree.rules, "", {}, {}});
      add(root.parent_path(), {nullptr, "", {}, {root.filename().string()}});
    }
  }
  for (const fs::path& file : files) {
    add(file.parent_path(), {nullptr, "", {}, {file.filename().string()}});
    // What a symlink leads to.
    std::error_code error;
    const fs::path real = fs::canonical(file, error);
    if (!error && real != file)
      add(real.parent_path(), {nullptr, "", {}, {real.filename().string()}});
  }
  for (const auto& [watch, directory] : before) {
    if (directories_.count(watch) == 0) inotify_rm_watch(inotify_.get(), watch);
  }
}

void Watch::add_tree(const fs::path& directory, Part part) {
  if (std::find(own_.begin(), own_.end(), directory) != own_.end()) return;
  // (First: what is made while it is read is then told.)
  add(directory, part);
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->symlink_status(ignored).type() != fs::file_type::directory) continue;
    Part below;
    below.rules = part.rules;
    const std::string name = at->path().filename().string();
    below.path = part.path.empty() ? name : part.path + '/' + name;
    const bool is_ignored = part.rules->match(below.path, part.matched, &below.matched);
    if (is_ignored && part.rules->can_prune(below.path)) continue;
    add_tree(at->path(), std::move(below));
  }
}

void Watch::add(const fs::path& directory, Part part) {
  const int watch = inotify_add_watch(inotify_.get(), directory.c_str(), kMask);
  if (watch < 0) {
    if (errno == ENOSPC)
      problem_ = "there are more directories than can be watched (fs.inotify.max_user_watches)";
    return;
  }
  Directory& known = directories_[watch];
  known.path = directory;
  known.parts.push_back(std::move(part));
}

bool Watch::counts(const Directory& directory, const std::string& name, bool is_directory) const {
  if (std::find(own_files_.begin(), own_files_.end(), name) != own_files_.end()) return false;
  if (std::find(own_.begin(), own_.end(), directory.path / name) != own_.end()) return false;
  return std::any_of(directory.parts.begin(), directory.parts.end(), [&](const Part& part) {
    if (part.rules == nullptr)
      return std::find(part.files.begin(), part.files.end(), name) != part.files.end();
    const std::string path = part.path.empty() ? name : part.path + '/' + name;
    if (!part.rules->match(path, part.matched, nullptr)) return true;
    return is_directory && !part.rules->can_prune(path);
  });
}

// Reads what there is. Does any of it count?
bool Watch::read_events() {
  bool any = false;
  alignas(inotify_event) std::array<char, 64 * 1024> buffer{};
  while (true) {
    const ssize_t size = read(inotify_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return any;
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
      const auto* const event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += sizeof(inotify_event) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) any = true;  // some were lost
      const auto directory = directories_.find(event->wd);
      if (directory == directories_.end()) continue;
      if ((event->mask & IN_IGNORED) != 0) {
        directories_.erase(directory);
      } else if (event->len == 0) {  // of the directory itself
        any = any || std::any_of(directory->second.parts.begin(), directory->second.parts.end(),
                                 [](const Part& part) { return part.rules != nullptr; });
      } else {
        any = any || counts(directory->second, event->name, (event->mask & IN_ISDIR) != 0);
      }
    }
  }
}

void Watch::wake() {
  const std::uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof one) < 0) {
    // It is woken already.
  }
}

Watch::Event Watch::wait(milliseconds most, milliseconds quiet) {
  const auto end = Clock::now() + most;
  Clock::time_point first{};
  auto until = end;
  while (interrupted() == 0) {
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    if (left.count() <= 0) return first == Clock::time_point{} ? Event::TimeUp : Event::Changed;
    std::array<pollfd, 3> descriptors = {pollfd{inotify_.get(), POLLIN, 0},
                                         pollfd{interrupt_fd(), POLLIN, 0},
                                         pollfd{wake_.get(), POLLIN, 0}};
    poll(descriptors.data(), descriptors.size(),
         static_cast<int>(std::min(left, milliseconds(1'000'000)).count()));
    if (std::uint64_t count = 0; read(wake_.get(), &count, sizeof count) > 0) return Event::Woken;
    if (!inotify_ || !read_events()) continue;
    const auto now = Clock::now();
    if (first == Clock::time_point{}) first = now;
    until = std::min(now + quiet, first + kLongestBurst * quiet);
  }
  return Event::Interrupted;
}

}  // namespace imagewright
