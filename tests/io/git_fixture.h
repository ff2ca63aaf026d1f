// Real repositories in a directory of their own, and real servers for them, for tests of what reads
// git sources. The user's own configuration and home have no say.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "io/error.h"
#include "io/git.h"
#include "io/process.h"

namespace imagewright::git_fixture {

namespace fs = std::filesystem;

inline std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

inline mode_t mode_of(const fs::path& path) {
  struct stat status = {};
  EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The error's message; "" if there was none.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::Source) << error.what();
    return error.what();
  }
  return "";
}

// A variable of the environment, put back at the end.
class Variable {
 public:
  Variable(std::string name, const std::string& value) : name_(std::move(name)) {
    if (const char* old = std::getenv(name_.c_str())) old_ = old;
    setenv(name_.c_str(), value.c_str(), 1);
  }
  ~Variable() { old_ ? setenv(name_.c_str(), old_->c_str(), 1) : unsetenv(name_.c_str()); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  std::string name_;
  std::optional<std::string> old_;
};

class GitTest : public testing::Test {
 protected:
  GitTest()
      : root_(make_root()),
        home_("HOME", root_ / "home"),
        config_("GIT_CONFIG_GLOBAL", root_ / "gitconfig") {
    configure("[user]\nname = T\nemail = t@example.com\n[init]\ndefaultBranch = main\n");
    fs::create_directories(root_ / "home");
    git("init -q repo");
    commit("file", "one\n");
  }

  ~GitTest() override {
    for (const pid_t pid : servers_) {
      kill(pid, SIGTERM);
      waitpid(pid, nullptr, 0);
    }
    fs::remove_all(root_);
  }

  static fs::path make_root() {
    std::string name = fs::temp_directory_path() / "git_test.XXXXXX";
    return mkdtemp(name.data());
  }

  void configure(const std::string& text) { write_file(root_ / "gitconfig", text); }

  // What a shell command in the test's directory writes, without the last line end.
  std::string shell(const std::string& script, std::string_view input = {}) {
    Command command;
    command.argv = {"bash", "-c", script};
    command.directory = root_;
    Output output = capture(command, input);
    EXPECT_TRUE(output.exit.ok()) << script << "\n" << output.err;
    while (output.out.ends_with('\n')) output.out.pop_back();
    return output.out;
  }

  std::string git(const std::string& arguments, std::string_view input = {}) {
    return shell("git " + arguments, input);
  }
  std::string in_repo(const std::string& arguments) { return git("-C repo " + arguments); }

  // Commits what is in the working tree, with this file changed; returns the id.
  std::string commit(const std::string& path, const std::string& content) {
    write_file(root_ / "repo" / path, content);
    in_repo("add -A");
    in_repo("commit -q -m x");
    return in_repo("rev-parse HEAD");
  }

  GitSource local(const std::string& ref = "", const std::string& subdir = "") const {
    GitSource source;
    source.remote = root_ / "repo";
    source.ref = ref;
    source.subdir = subdir;
    source.local = true;
    return source;
  }

  static GitSource remote(const std::string& url, const std::string& ref = "") {
    GitSource source;
    source.remote = url;
    source.ref = ref;
    return source;
  }

  fs::path cache() const { return root_ / "cache"; }

  // The only mirror that there is.
  fs::path mirror() const {
    for (const auto& entry : fs::directory_iterator(cache() / "git")) {
      if (entry.path().extension() == ".git") return entry.path();
    }
    ADD_FAILURE() << "there is no mirror";
    return {};
  }

  std::string resolve_error(const GitSource& source) {
    return error_of([&] { Git(cache()).resolve(source); });
  }

  // Resolves and fetches it with a Git of its own; the tree's id.
  // By the mirror: what is known of it from earlier is forgotten.
  std::string tree_of(const GitSource& source) {
    std::error_code ignored;
    fs::remove_all(cache() / "trees", ignored);
    Git git(cache());
    return git.tree(source, git.resolve(source));
  }

  std::string tree_error(const GitSource& source) {
    return error_of([&] { tree_of(source); });
  }

  ResolvedRef head() { return {in_repo("rev-parse HEAD"), "HEAD"}; }

  // An empty directory to write into, inside of one that nothing else may be written to.
  fs::path fresh_directory() {
    fs::path directory = root_ / ("out" + std::to_string(++outs_)) / "tree";
    fs::create_directories(directory);
    return directory;
  }

  fs::path written(const GitSource& source) {
    Git git(cache());
    fs::path directory = fresh_directory();
    const ResolvedRef at = git.resolve(source);
    git.write_tree(source, at, git.tree(source, at), directory);
    return directory;
  }

  // Starts a server by tests/e2e/git_servers.bash; what `show`, a list of variables, holds then.
  std::vector<std::string> serve(const std::string& start, const std::string& show) {
    const fs::path functions =
        fs::absolute(fs::path(__FILE__).parent_path().parent_path() / "e2e/git_servers.bash");
    const std::string directory = root_ / "server";
    const std::string out =
        shell("cd / && source '" + functions.string() + "' && D=" + directory +
              " P=" + root_.string() + " && " + start + " && printf '%s\\n' " + show);
    for (const auto& entry : fs::directory_iterator(directory)) {
      if (entry.path().extension() == ".pid")
        servers_.push_back(std::stoi(read_file(entry.path())));
    }
    return lines_of(out);
  }

  fs::path root_;
  Variable home_;
  Variable config_;
  Variable no_system_{"GIT_CONFIG_NOSYSTEM", "1"};
  std::vector<pid_t> servers_;
  int outs_ = 0;
};

}  // namespace imagewright::git_fixture
