// The command line: argv in, Options out. Reads no file and decides nothing about images.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "run/prune.h"
#include "run/run.h"
#include "run/watch.h"
#include "service/serve.h"
#include "service/server_client.h"
#include "service/worker.h"

namespace imagewright {

enum class CommandName {
  Build,
  Watch,
  Status,
  Why,
  Graph,
  Context,
  Config,
  Log,
  History,
  Prune,
  Import,
  Serve,
  Worker,
  Jobs,
  Workers,
  Cancel,
  Retry,
  Trigger,
  Token
};

enum class ProgressStyle { Auto, Tty, Plain };
enum class ColorStyle { Auto, Always, Never };
enum class GraphFormat { Text, Dot, Json };

/// Of `token`.
struct TokenOptions {
  std::string role = "read";
  std::string name;    ///< of the new one; "": none is made
  std::string remove;  ///< the name of the one that is to go; "": none
};

struct Options {
  CommandName command = CommandName::Build;
  /// Of `why`, `context`, `log` and `history`; of `cancel` and `retry`, for which it may be a job's
  /// number, too. "" where none is given.
  std::string image;
  std::string config = "imagewright.yml";
  /// The original's form, `imagewright FILE`: relative paths and the state are in the working
  /// directory.
  bool original_form = false;
  std::string state_directory;  ///< "": the default
  std::string database;         ///< as of Project
  RunOptions run;               ///< with the default for what was not given
  PruneOptions prune;
  WatchTimes watch;
  std::string platform;                  ///< "": as the configuration says
  std::vector<std::string> constraints;  ///< that hold
  std::string repository;                ///< import: of the images; "": as the file is called
  int git_jobs = 0;                      ///< 0: as the configuration says
  ServeOptions serve;
  WorkerOptions worker;              ///< but for what others say
  ServerAddress server;              ///< the one to ask; without a URL, the one over the same state
  std::vector<std::string> servers;  ///< worker: their URLs
  std::string token_file;            ///< with the token for it; "": in the environment, or none
  bool all = false;                  ///< jobs: also those that have ended
  TokenOptions token;
  bool json = false;
  bool exit_code = false;  ///< status: exit 1 if anything is stale
  bool quiet = false;
  int verbose = 0;
  ProgressStyle progress = ProgressStyle::Auto;
  ColorStyle color = ColorStyle::Auto;
  GraphFormat graph = GraphFormat::Text;
};

/// What there is to say instead of running: help, the version, or what is wrong with the command
/// line.
struct EarlyEnd {
  int status = 0;  ///< 0: `text` is for stdout; 2: for stderr
  std::string text;
};

/// The words for the commands that there are.
const std::vector<std::string>& command_words();

/// `arguments` without the program's name.
std::variant<Options, EarlyEnd> parse_options(const std::vector<std::string>& arguments);

}  // namespace imagewright
