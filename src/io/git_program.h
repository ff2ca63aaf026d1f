// Starting the git program so that no source can make it do more than it is asked: its arguments,
// its environment, its time, and a URL's credentials handed over where no process list,
// configuration file or message shows them. Knows nothing of refs, mirrors or trees.
#pragma once

#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/source.h"
#include "io/error.h"
#include "io/process.h"

namespace imagewright {

/// A remote, taken apart. Only `shown` is for people, and only `url` for argv: both hold no
/// secrets.
struct GitRemote {
  std::string url;     ///< without credentials; for ssh the user name stays
  std::string shown;   ///< redacted
  bool local = false;  ///< a path on this machine; nothing else may be one
  bool ssh = false;
  /// http(s): the user name of a URL without a password, for the user's credential helpers.
  std::string user;
  /// http(s): "Basic …", from the URL's user name and password. A secret.
  std::string authorization;
};

/// Throws Error(Source) if check_git_source refuses a part of it or a local path is not absolute.
GitRemote git_remote(const GitSource& source);

/// What a helper of the user's knows for an http(s) remote. A secret.
struct GitLogin {
  std::string user;
  std::string password;
};

/// The git on PATH. The user's own configuration stays in force (credential helpers, insteadOf,
/// proxies); that of a repository which the working directory happens to lie in does not. Any
/// number of threads.
class GitProgram {
 public:
  explicit GitProgram(const GitLimits& limits = {}) : limits_(limits) {}

  /// Configuration of git's for one call: names and values.
  using Settings = std::vector<std::pair<std::string, std::string>>;

  /// Lets git speak to `remote`, which must be among the arguments as `remote.url`, after
  /// `--end-of-options`. `repository` "" is none.
  Output speak(const GitRemote& remote, const std::filesystem::path& repository,
               const std::vector<std::string>& arguments, std::chrono::milliseconds timeout,
               const Settings& settings = {});

  /// Runs git on a bare repository of ours. It cannot speak to anything. `index`: a file to be its
  /// index; "": it has none.
  Output work(const std::filesystem::path& repository, const std::vector<std::string>& arguments,
              std::string_view input = {}, const std::filesystem::path& index = {}) const;

  /// Makes an empty bare repository of a directory that is there and empty, for objects with ids
  /// like this one.
  Output make_repository(const std::filesystem::path& directory, const std::string& id) const;

  /// What `git credential` finds for an http(s) remote without a password of its own, without
  /// asking anybody; nullopt: nothing.
  std::optional<GitLogin> login(const GitRemote& remote) const;

 private:
  const std::string& ssh_command();
  Command command(const std::string& protocols, const std::filesystem::path& repository,
                  const std::vector<std::string>& arguments) const;

  GitLimits limits_;
  std::once_flag ssh_once_;
  std::string ssh_command_;
};

/// "WHAT: " and why: interrupted, too slow, or git's own words, in one line without secrets.
Error git_failure(const std::string& what, const GitRemote& remote, const Output& output);

}  // namespace imagewright
