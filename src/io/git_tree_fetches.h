// Trees that several threads want of one repository, in few requests: while one fetch is under way,
// what others want is gathered for the next one. Knows nothing of what the trees are for.
#pragma once

#include <condition_variable>
#include <exception>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "io/git_mirror.h"
#include "io/git_program.h"

namespace imagewright {

class GitTreeFetches {
 public:
  /// Borrows `program`. `cache` as of Git.
  GitTreeFetches(GitProgram& program, std::filesystem::path cache)
      : program_(program), cache_(std::move(cache)) {}

  /// Makes the remote's mirror hold that tree, with all that is below it. False: the server gives
  /// no tree by its id, or not this one. Any number of threads. Throws as GitMirror::fetch_trees.
  bool fetch(const GitRemote& remote, const std::string& tree);

 private:
  struct End {
    bool is_there = false;
    std::exception_ptr failure;
  };
  struct Queue {
    std::set<std::string> waiting;
    std::map<std::string, End> ended;
    bool busy = false;
  };

  GitProgram& program_;
  std::filesystem::path cache_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Queue> queues_;  // by URL
};

}  // namespace imagewright
