// Waiting until something below directories changes, by inotify. Knows nothing of what follows from
// a change: whoever waits looks himself, and one look too many does no harm. What changes a file on
// another machine (NFS) is not noticed, nor what is written through a memory map.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/ignore.h"
#include "io/fd.h"

namespace imagewright {

/// A directory of which all counts but what its rules ignore. Symlinks in it are not followed.
struct WatchedTree {
  std::filesystem::path root;
  IgnoreRules rules;
};

class Watch {
 public:
  enum class Event { Changed, Woken, TimeUp, Interrupted };

  /// `own`: directories in which nothing is of interest. `own_files`: nor are files of these names.
  Watch(std::vector<std::filesystem::path> own, std::vector<std::string> own_files);

  /// From now on these are watched, and nothing else. `files` count whatever the rules say, and may
  /// be missing. To be called before they are looked at, and again before each further look: what
  /// has changed between is then told by `wait`. What cannot be read is left out.
  void set(const std::vector<WatchedTree>& trees, const std::vector<std::filesystem::path>& files);

  /// Until something changed and then nothing more for `quiet` (but not for more than twenty times
  /// as long), or for `most`.
  Event wait(std::chrono::milliseconds most, std::chrono::milliseconds quiet);

  /// Ends the `wait` of another thread, or the next one, as Woken.
  void wake();

  /// Why not all of it can be watched; "": it can. Then it takes a look now and then.
  const std::string& problem() const { return problem_; }

 private:
  // A watched directory as a part of a tree, or because of files in it.
  struct Part {
    const IgnoreRules* rules = nullptr;  // nullptr: only `files`
    std::string path;                    // below the root; "": that is it
    IgnoreRules::Matched matched;
    std::vector<std::string> files;
  };
  struct Directory {
    std::filesystem::path path;
    std::vector<Part> parts;
  };

  void add_tree(const std::filesystem::path& directory, Part part);
  void add(const std::filesystem::path& directory, Part part);
  bool read_events();
  bool counts(const Directory& directory, const std::string& name, bool is_directory) const;

  std::vector<std::filesystem::path> own_;
  std::vector<std::string> own_files_;
  Fd inotify_;
  Fd wake_;  // an eventfd
  std::string problem_;
  std::vector<WatchedTree> trees_;
  std::map<int, Directory> directories_;  // by watch
};

}  // namespace imagewright
