#include "io/git_program.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/base64.h"
#include "core/replace_all.h"
#include "core/take_field.h"
#include "io/environment.h"

namespace imagewright {

namespace {

// A path that can be no repository: git then looks for none in the working directory and above.
constexpr const char* kNoRepository = "/dev/null";

// What `git rev-parse --local-env-vars` lists: variables that would lead git to another repository.
// Without GIT_CONFIG_COUNT, which holds the user's own configuration (and ours is appended to it).
constexpr std::array kLocalVariables = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
};

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](std::string_view beginning) { return text.starts_with(beginning); });
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
        hex_value(text[i + 2]) >= 0) {
      decoded += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

// Takes `user:password@` out of a URL and puts it where its protocol can use it: ssh has no use for
// a password, git:// for neither.
void take_credentials(GitRemote& remote) {
  const std::size_t scheme_end = remote.url.find("://");
  if (scheme_end == std::string::npos) return;
  const std::size_t begin = scheme_end + 3;
  const std::size_t end = std::min(remote.url.find_first_of("/?#", begin), remote.url.size());
  const std::size_t at = remote.url.substr(0, end).rfind('@');
  if (at == std::string::npos || at < begin) return;
  const std::string login = remote.url.substr(begin, at - begin);
  remote.url.erase(begin, at + 1 - begin);

  const std::size_t colon = std::min(login.find(':'), login.size());
  if (remote.ssh) {
    remote.url.insert(begin, login.substr(0, colon) + "@");
  } else if (starts_with_any(remote.url, {"http://", "https://"})) {
    const std::string user = percent_decoded(login.substr(0, colon));
    if (colon == login.size()) {
      remote.user = user;
    } else {
      remote.authorization =
          "Basic " + base64(user + ":" + percent_decoded(login.substr(colon + 1)));
    }
  }
}

using Environment = decltype(Command::environment);

// Configuration through the environment, after the user's own.
void add_configuration(Environment& environment,
                       const std::vector<std::pair<std::string, std::string>>& settings) {
  if (settings.empty()) return;
  const auto earlier = environment.find("GIT_CONFIG_COUNT");
  int count = std::max(0, std::atoi(earlier != environment.end() && earlier->second
                                        ? earlier->second->c_str()
                                        : variable("GIT_CONFIG_COUNT").c_str()));
  for (const auto& [key, value] : settings) {
    environment[fmt::format("GIT_CONFIG_KEY_{}", count)] = key;
    environment[fmt::format("GIT_CONFIG_VALUE_{}", count)] = value;
    ++count;
  }
  environment["GIT_CONFIG_COUNT"] = std::to_string(count);
}

void hand_over_credentials(Environment& environment, const GitRemote& remote) {
  if (!remote.authorization.empty()) {
    add_configuration(
        environment,
        {{"http." + remote.url + ".extraHeader", "Authorization: " + remote.authorization},
         // After a redirect git would send the header to the new host, too.
         {"http." + remote.url + ".followRedirects", "false"},
         // A refused password must not make git erase what a helper holds for that host.
         {"credential.helper", ""}});
  } else if (!remote.user.empty()) {
    add_configuration(environment, {{"credential." + remote.url + ".username", remote.user}});
  }
}

Command git_command(const std::string& protocols, const std::filesystem::path& repository,
                    const std::vector<std::string>& arguments, std::chrono::seconds idle_time) {
  Command command;
  command.argv = {"git", "--git-dir=" + (repository.empty() ? kNoRepository : repository.string())};
  for (const char* setting :
       {"core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false", "fetch.fsckObjects=true",
        // Always a pack, which appears whole or not at all; loose objects of a killed fetch would
        // look like a commit.
        "fetch.unpackLimit=1", "http.lowSpeedLimit=1"}) {
    command.argv.insert(command.argv.end(), {"-c", setting});
  }
  // (A server that packs for long sends five bytes every five seconds.)
  command.argv.insert(command.argv.end(),
                      {"-c", fmt::format("http.lowSpeedTime={}", idle_time.count())});
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());

  for (const char* name : kLocalVariables) command.environment[name] = std::nullopt;
  command.environment["GIT_ALLOW_PROTOCOL"] = protocols;
  command.environment["GIT_TERMINAL_PROMPT"] = "0";
  command.environment["GIT_ASKPASS"] = "";
  command.environment["SSH_ASKPASS_REQUIRE"] = "never";
  command.environment["GIT_NO_LAZY_FETCH"] = "1";
  command.environment["GIT_TRACE_REDACT"] = "1";
  // What a repository says of its files is the same for everybody.
  command.environment["GIT_ATTR_NOSYSTEM"] = "1";
  command.environment["LC_ALL"] = "C";
  return command;
}

// What a program wrote, as one line for a message: without git's standing advice, and without what
// could steer a terminal.
std::string one_line(const std::string& text) {
  constexpr std::size_t kLongest = 1000;
  std::string line;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view part = take_field(rest, '\n');
    if (part.starts_with("fatal: ")) part.remove_prefix(7);
    if (part.empty() ||
        starts_with_any(part, {"Please make sure you have", "and the repository exists"}))
      continue;
    if (!line.empty()) line += "; ";
    line += part;
  }
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  std::replace_if(line.begin(), line.end(), is_control, ' ');
  if (line.size() > kLongest) line = line.substr(0, kLongest) + "…";
  return line;
}

bool contains_any(const std::string& text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return text.find(part) != std::string::npos; });
}

// What git's words leave out about a login; "" where they say all.
std::string login_hint(const GitRemote& remote, const std::string& said) {
  const bool has_password = !remote.authorization.empty();
  if (contains_any(
          said, {"could not read Username", "could not read Password", "Authentication failed"})) {
    return has_password ? " (the user name and password of its URL were refused)"
                        : " (it asks for a login, and git has none that it could use unasked)";
  }
  if (has_password && contains_any(said, {"returned error: 30"})) {
    return " (it redirects; with a password in the URL that is not followed: name the new URL)";
  }
  return "";
}

}  // namespace

GitRemote git_remote(const GitSource& source) {
  GitRemote remote;
  remote.url = source.remote;
  remote.shown = redacted(source.remote);
  remote.local = source.local;
  if (const auto checked = check_git_source(source); !checked) {
    throw Error(Error::Kind::Source,
                fmt::format("'{}': {}", remote.shown, redacted(checked.error().message)));
  }
  if (source.local) {
    if (!source.remote.starts_with('/')) {
      throw Error(Error::Kind::Source,
                  fmt::format("the local repository '{}' is not an absolute path", remote.shown));
    }
    return remote;
  }
  const std::size_t colon = source.remote.find(':');
  const bool scp_like = colon != std::string::npos && source.remote.find('/') > colon &&
                        source.remote.compare(colon, 3, "://") != 0;
  remote.ssh = scp_like || starts_with_any(source.remote, {"ssh://", "git+ssh://", "ssh+git://"});
  take_credentials(remote);
  return remote;
}

Command GitProgram::command(const std::string& protocols, const std::filesystem::path& repository,
                            const std::vector<std::string>& arguments) const {
  return git_command(protocols, repository, arguments, limits_.idle_time);
}

Output GitProgram::speak(const GitRemote& remote, const std::filesystem::path& repository,
                         const std::vector<std::string>& arguments,
                         std::chrono::milliseconds timeout, const Settings& settings) {
  Command command =
      this->command(remote.local ? "file" : "https:http:ssh:git", repository, arguments);
  command.timeout = timeout;
  hand_over_credentials(command.environment, remote);
  add_configuration(command.environment, settings);
  if (remote.ssh && !ssh_command().empty()) command.environment["GIT_SSH_COMMAND"] = ssh_command();
  return capture(command);
}

Output GitProgram::work(const std::filesystem::path& repository,
                        const std::vector<std::string>& arguments, std::string_view input,
                        const std::filesystem::path& index) const {
  Command command = this->command("", repository, arguments);
  if (!index.empty()) command.environment["GIT_INDEX_FILE"] = index.string();
  return capture(command, input);
}

Output GitProgram::make_repository(const std::filesystem::path& directory,
                                   const std::string& id) const {
  constexpr std::size_t kSha256Digits = 64;
  return work(directory,
              {"init", "-q", "--bare", "--template=",
               id.size() == kSha256Digits ? "--object-format=sha256" : "--object-format=sha1"});
}

std::optional<GitLogin> GitProgram::login(const GitRemote& remote) const {
  Command command = this->command("https:http", {}, {"credential", "fill"});
  command.timeout = std::chrono::seconds(30);
  std::string question = "url=" + remote.url + '\n';
  if (!remote.user.empty()) question += "username=" + remote.user + '\n';
  const Output output = capture(command, question + '\n');
  if (!output.exit.ok()) return std::nullopt;
  GitLogin login;
  std::string_view rest = output.out;
  while (!rest.empty()) {
    const std::string_view line = take_field(rest, '\n');
    if (line.starts_with("username=")) login.user = line.substr(9);
    if (line.starts_with("password=")) login.password = line.substr(9);
  }
  if (login.user.empty() && login.password.empty()) return std::nullopt;
  return login;
}

// The user's ssh, but never asking anything. "" where GIT_SSH names a program: it takes no options
// from us, and has no terminal to ask on.
const std::string& GitProgram::ssh_command() {
  std::call_once(ssh_once_, [this] {
    std::string ssh = variable("GIT_SSH_COMMAND");
    if (ssh.empty()) {
      ssh = work({}, {"config", "--get", "core.sshCommand"}).out;
      while (ssh.ends_with('\n')) ssh.pop_back();
    }
    if (ssh.empty() && !variable("GIT_SSH").empty()) return;
    ssh_command_ =
        (ssh.empty() ? "ssh" : ssh) + fmt::format(
                                          " -o BatchMode=yes -o ConnectTimeout={}"
                                          " -o ServerAliveInterval={} -o ServerAliveCountMax=2",
                                          limits_.connect_time.count(),
                                          std::max<std::int64_t>(limits_.idle_time.count() / 2, 1));
  });
  return ssh_command_;
}

Error git_failure(const std::string& what, const GitRemote& remote, const Output& output) {
  std::string why;
  if (output.exit.interrupted) {
    why = "interrupted";
  } else if (output.exit.timed_out) {
    why = "git took too long and was ended";
  } else {
    std::string said = output.err;
    if (!remote.authorization.empty()) replace_all(said, remote.authorization.substr(6), "xxxxx");
    why = redacted(one_line(said));
    if (why.empty()) why = fmt::format("git failed with exit status {}", output.exit.status);
    why += login_hint(remote, said);
  }
  return {Error::Kind::Source, what + ": " + why};
}

}  // namespace imagewright
