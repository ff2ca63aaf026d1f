// What git says of a directory that lies in a checkout of somebody's: for names and labels, which
// decide nothing. Runs no hook and looks at no file of it.
#pragma once

#include <filesystem>
#include <string>

namespace imagewright {

/// "": not known, or there is none.
struct LocalGit {
  std::string commit;  ///< of HEAD
  std::string time;    ///< of that commit, by its committer: RFC 3339
  std::string branch;
  std::string tag;  ///< one that is on that commit
  std::string url;  ///< of the remote `origin`, without credentials
};

/// All empty where the directory is in no checkout, or there is no git.
LocalGit find_local_git(const std::filesystem::path& directory);

/// The committer's time in a commit as git stores it, as RFC 3339; "": it has none.
std::string commit_time(const std::string& commit_object);

}  // namespace imagewright
