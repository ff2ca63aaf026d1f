// A PostgreSQL of the tests' own: in a directory of its own, heard on a unix socket there and
// nowhere else, ended by its process id. One for a test program, started when it is first needed.
#pragma once

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "io/sql.h"

namespace imagewright {

class PostgresServer {
 public:
  static bool is_there() { return std::filesystem::exists(kPrograms + "postgres"); }

  static PostgresServer& of_this_program() {
    static PostgresServer server;
    return server;
  }

  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  std::string url(const std::string& database, const std::string& user = "imagewright") const {
    return "postgresql://" + user + "@/" + database + "?host=" + directory_;
  }

  /// An empty database; its URL.
  std::string fresh_database() {
    const std::string name = "t" + std::to_string(++databases_);
    administrator().run("CREATE DATABASE " + name);
    return url(name);
  }

  /// The same for most purposes, in a moment: a schema in a database that is there.
  std::string fresh_schema() {
    const std::string name = "t" + std::to_string(++databases_);
    administrator().run("CREATE SCHEMA " + name);
    return url("postgres") + "&options=-csearch_path%3D" + name;
  }

  SqlConnection& administrator() {
    if (!administrator_) administrator_ = open_postgresql(url("postgres"), "tests");
    return *administrator_;
  }

  void start() {
    postmaster_ = spawn({"postgres", "-D", data(), "-c", "listen_addresses=", "-c",
                         "unix_socket_directories=" + directory_, "-c", "fsync=off", "-c",
                         "shared_buffers=32MB", "-c", "max_connections=60"});
    for (int attempt = 0; attempt < 600; ++attempt) {
      try {
        open_postgresql(url("postgres"), "tests");
        return;
      } catch (const Error&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    }
    throw std::runtime_error("PostgreSQL does not start: " + directory_ + "/log");
  }

  /// SIGKILL: as when the machine fails. SIGQUIT: at once. SIGINT: orderly.
  void stop(int signal) {
    if (postmaster_ <= 0) return;
    kill(postmaster_, signal);
    waitpid(postmaster_, nullptr, 0);
    postmaster_ = -1;
    administrator_.reset();
  }

 private:
  inline static const std::string kPrograms = "/usr/lib/postgresql/15/bin/";

  PostgresServer() {
    std::string name = (std::filesystem::temp_directory_path() / "imagewright-pg-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    directory_ = name;
    // (It refuses to be root's.)
    if (geteuid() == 0) {
      user_ = getpwnam("postgres");
      if (user_ == nullptr) user_ = getpwnam("nobody");
      if (chown(name.c_str(), user_->pw_uid, user_->pw_gid) != 0)
        throw std::runtime_error("cannot give " + name + " away");
    }
    int status = 0;
    waitpid(spawn({"initdb", "-D", data(), "-U", "imagewright", "-A", "trust", "--encoding=UTF8",
                   "--locale=C", "--no-sync"}),
            &status, 0);
    if (status != 0) throw std::runtime_error("initdb failed: " + directory_ + "/log");
    // One who needs a password.
    std::ofstream(data() + "/pg_hba.conf") << "local all locked scram-sha-256\n"
                                              "local all all trust\n";
    start();
  }

  ~PostgresServer() {
    administrator_.reset();
    stop(SIGQUIT);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  std::string data() const { return directory_ + "/data"; }

  /// One of its programs, which dies with us.
  pid_t spawn(const std::vector<std::string>& command) {
    // (By its whole path: initdb looks for itself on PATH else.)
    const std::string program = kPrograms + command.front();
    std::vector<char*> arguments = {const_cast<char*>(program.c_str())};
    for (std::size_t i = 1; i < command.size(); ++i)
      arguments.push_back(const_cast<char*>(command[i].c_str()));
    arguments.push_back(nullptr);
    const std::string log = directory_ + "/log";
    std::fflush(nullptr);  // what is buffered is not to be said twice
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
      if (user_ != nullptr &&
          (setgroups(0, nullptr) != 0 || setgid(user_->pw_gid) != 0 || setuid(user_->pw_uid) != 0))
        _exit(125);
      prctl(PR_SET_PDEATHSIG, SIGQUIT);
      if (getppid() != parent || chdir("/") != 0) _exit(126);
      if (std::freopen(log.c_str(), "a", stdout) == nullptr) _exit(126);
      dup2(1, 2);
      execv(program.c_str(), arguments.data());
      _exit(127);
    }
    return child;
  }

  std::string directory_;
  const passwd* user_ = nullptr;
  pid_t postmaster_ = -1;
  int databases_ = 0;
  std::unique_ptr<SqlConnection> administrator_;
};

}  // namespace imagewright
