#include "io/reached_links.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "core/context.h"
#include "core/reach.h"
#include "io/error.h"

namespace imagewright {

namespace {

// A component of a path; a pattern, unless it comes from a symlink.
struct Part {
  std::string text;
  bool is_pattern = false;
};
using Parts = std::deque<Part>;

Parts parts_of(std::string_view path, bool may_be_patterns) {
  Parts parts;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (end > at) {
      std::string text(path.substr(at, end - at));
      const bool is_pattern = may_be_patterns && text.find_first_of("*?") != std::string::npos;
      parts.push_back({std::move(text), is_pattern});
    }
    at = end + 1;
  }
  return parts;
}

// `?` is a character of however many bytes, and `*` any number of them.
bool matches(std::string_view pattern, std::string_view name) {
  const auto is_continuation = [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
  };
  std::size_t p = 0, n = 0, star = std::string_view::npos, retry = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = n;
    } else if (p < pattern.size() && pattern[p] == '?') {
      ++p;
      ++n;
      while (n < name.size() && is_continuation(name[n])) ++n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

class Follower {
 public:
  explicit Follower(const std::string& root) : root_(root) {}

  void add(const std::string& path) {
    found_.insert(path);
    follow("", parts_of(path, true), false);
  }

  std::set<std::string> take() {
    // Too many ways: all of it.
    if (steps_ > kMostSteps) found_.insert("*");
    return std::move(found_);
  }

 private:
  static constexpr int kMostSteps = 100'000;
  static constexpr int kMostLinks = 255;  // as engines, they lead nowhere then

  // `parts` of a path below `done`, which is a directory. `jumped`: it is not spelled as one of the
  // paths any more, so what it comes to is noted.
  void follow(std::string done, Parts parts, bool jumped, int links = 0) {
    while (!parts.empty()) {
      if (++steps_ > kMostSteps || links > kMostLinks) return;
      const Part part = std::move(parts.front());
      parts.pop_front();
      if (part.text == ".") continue;
      if (part.text == "..") {
        done = parent_of(done);
        continue;
      }
      if (part.is_pattern) {
        // (Only what was asked for has patterns, and nothing of a link comes behind.)
        if (jumped) found_.insert(path_below(as_reach_path(done), part.text) + pattern_of(parts));
        return follow_all(done, part, parts, links);
      }
      std::string path = path_below(done, part.text);
      switch (kind_of(path)) {
        case Kind::None:
          // It may come while the build runs, and then it counts. (Not behind a way up that nobody
          // can know yet.)
          if (jumped && is_plain(parts)) found_.insert(as_reach_path(path) + pattern_of(parts));
          return;
        case Kind::Link: {
          if (!seen_.insert(path + '\0' + text_of(parts)).second) return;
          found_.insert(as_reach_path(path));
          Parts next = target_of(path, done);
          // BuildKit takes a `..` in it by the text alone, as if nothing before were a link.
          if (auto by_text = without_ways_up(done, next)) {
            by_text->insert(by_text->end(), parts.begin(), parts.end());
            follow("", *std::move(by_text), true, links + 1);
          }
          next.insert(next.end(), parts.begin(), parts.end());
          parts = std::move(next);
          jumped = true;
          ++links;
          break;
        }
        case Kind::Other:
          done = std::move(path);
      }
    }
    // (A way to the root itself is a way to everything.)
    if (jumped) found_.insert(done.empty() ? "*" : as_reach_path(done));
  }

  // Each entry of a directory that matches: a link as such, a directory for what is in it.
  void follow_all(const std::string& directory, const Part& pattern, const Parts& rest, int links) {
    const std::string path = root_ + '/' + directory;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(path.c_str()), closedir);
    if (!stream) {
      if (errno == ENOENT || errno == ENOTDIR) return;
      throw Error(Error::Kind::Source, with_errno("cannot read '" + path + "'"));
    }
    while (const dirent* entry = readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      const bool may_be_link = entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN;
      const bool may_be_way = entry->d_type == DT_DIR && !rest.empty();
      if ((!may_be_link && !may_be_way) || !matches(pattern.text, name)) continue;
      Parts parts = rest;
      parts.push_front({std::string(name), false});
      follow(directory, std::move(parts), false, links);
    }
  }

  enum class Kind { None, Link, Other };

  Kind kind_of(const std::string& path) const {
    struct stat status = {};
    if (lstat((root_ + '/' + path).c_str(), &status) == 0)
      return S_ISLNK(status.st_mode) ? Kind::Link : Kind::Other;
    if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG) return Kind::None;
    throw Error(Error::Kind::Source, with_errno("cannot read '" + path_below(root_, path) + "'"));
  }

  // Where a link leads. `done`, where it lies, becomes where that begins.
  Parts target_of(const std::string& path, std::string& done) const {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = readlink((root_ + '/' + path).c_str(), target.data(), target.size());
    if (size < 0) {
      if (errno == ENOENT || errno == EINVAL) return {};  // gone, or no link any more
      throw Error(Error::Kind::Source, with_errno("cannot read '" + path_below(root_, path) + "'"));
    }
    if (size > 0 && target[0] == '/') done.clear();
    return parts_of({target.data(), static_cast<std::size_t>(size)}, false);
  }

  static std::string text_of(const Parts& parts) {
    std::string text;
    for (const Part& part : parts) text += '/' + part.text;
    return text;
  }

  // The parts from the root on, where a `..` takes away what is written before it; nullopt: there
  // is none.
  static std::optional<Parts> without_ways_up(const std::string& from, const Parts& parts) {
    Parts clean = parts_of(from, false);
    bool any = false;
    for (const Part& part : parts) {
      any = any || part.text == "..";
      if (part.text == ".") continue;
      if (part.text != "..") {
        clean.push_back(part);
      } else if (!clean.empty()) {
        clean.pop_back();
      }
    }
    if (!any) return std::nullopt;
    return clean;
  }

  static bool is_plain(const Parts& parts) {
    return std::none_of(parts.begin(), parts.end(),
                        [](const Part& part) { return part.text == "." || part.text == ".."; });
  }

  // As the end of a path of a reach.
  static std::string pattern_of(const Parts& parts) {
    std::string text;
    for (const Part& part : parts)
      text += '/' + (part.is_pattern ? part.text : as_reach_path(part.text));
    return text;
  }

  std::string root_;
  std::set<std::string> found_;
  std::set<std::string> seen_;
  int steps_ = 0;
};

}  // namespace

std::set<std::string> with_links_followed(const std::string& root,
                                          const std::vector<std::string>& paths) {
  Follower follower(root);
  for (const std::string& path : paths) follower.add(path);
  return follower.take();
}

}  // namespace imagewright
