#include "io/git_questions.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

#include "core/challenge.h"
#include "core/lower_case.h"
#include "core/ls_refs.h"
#include "core/shown.h"
#include "core/take_field.h"
#include "io/backoff.h"
#include "io/curl.h"
#include "io/git_settings.h"
#include "io/http_many.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

using std::chrono::milliseconds;

// Beside what connecting and waiting may take: for a server that counts its refs.
constexpr std::chrono::seconds kGitTime{20};
// Patterns save output, not traffic; beyond this many, all refs come and are sorted out here.
constexpr std::size_t kMostPatterns = 500;
// Programs that ask one host at once (sshd turns away more than some logins).
constexpr std::size_t kMostPerHost = 4;
// Connections for our own questions: one to a host costs no other host anything. All of them are
// far below the number of files that a process may have open.
constexpr std::size_t kConnectionsPerJob = 4;
constexpr std::size_t kMostConnections = 256;
constexpr int kMostAttempts = 4;
// After so many that got no answer in time a host is left alone.
constexpr int kMostTimeouts = 4;
constexpr milliseconds kFirstPause{500};
constexpr milliseconds kMostWaiting{30'000};
constexpr std::size_t kLargestAnswer = std::size_t{64} << 20;
constexpr std::chrono::seconds kMostTime{300};

constexpr std::string_view kAnswerType = "application/x-git-upload-pack-result";

constexpr int kOk = 200;
constexpr int kUnauthorized = 401;
constexpr int kTooMany = 429;

bool is_passing(int status) {
  return status == kTooMany || (status >= 502 && status <= 504);
}

bool is_http(const std::string& url) {
  return url.starts_with("http://") || url.starts_with("https://");
}

// The full names that a ref may stand for, the first that there is wins.
std::vector<std::string> full_ref_names(const std::string& ref) {
  if (ref.empty() || ref == "HEAD") return {"HEAD"};
  if (ref.starts_with("refs/")) return {ref};
  return {"refs/heads/" + ref, "refs/tags/" + ref};
}

// One repository of the run: what is wanted of it and what it said.
struct Repository {
  GitRemote remote;
  std::set<std::string> wanted;     // full names
  std::set<std::string> asked;      // those of them that `refs` or `failure` speaks of
  std::map<std::string, Ref> refs;  // by name
  std::exception_ptr failure;
  bool busy = false;  // it is being asked
  // While it is: what for, and how often it was tried. Its own, whoever asks.
  std::set<std::string> asking;
  int attempt = 0;
  milliseconds waited{0};
  HttpTrust trust;
  std::optional<GitLogin> login;
  std::string page;  // of which type, where that was answered instead of refs

  bool open() const { return failure == nullptr && !busy && wanted != asked; }
};

std::string host_of(const GitRemote& remote) {
  const std::string authority = authority_of(remote.url);
  if (!authority.empty()) return authority;
  return remote.url.substr(0, remote.url.find(':'));
}

// So that it is there when it is needed. (Who needs it is told where it is missing.)
void load_curl() {
  try {
    const CurlTransfer first;
  } catch (const Error&) {
  }
}

std::string about(const GitRemote& remote) {
  return fmt::format("cannot ask '{}' for its refs", remote.shown);
}

// Without a body.
HttpRequest http_request(const Repository& repository, const GitLimits& limits) {
  HttpRequest request;
  request.trust = repository.trust;
  const GitRemote& remote = repository.remote;
  request.method = "POST";
  request.url = remote.url + (remote.url.ends_with('/') ? "" : "/") + "git-upload-pack";
  request.headers = {"Git-Protocol: version=2",
                     "Content-Type: application/x-git-upload-pack-request",
                     "Accept: application/x-git-upload-pack-result"};
  if (!remote.authorization.empty()) {
    request.headers.push_back("Authorization: " + remote.authorization);
  } else if (repository.login) {
    request.user_and_password = repository.login->user + ':' + repository.login->password;
  } else {
    request.netrc = remote.user.empty();
  }
  request.largest = kLargestAnswer;
  // (Some hosts answer to what is called git alone.)
  request.user_agent = "git/2.0 (imagewright)";
  request.follow = false;
  request.compressed = true;
  request.proxy_for_loopback = true;
  request.connect_time = limits.connect_time;
  request.idle_time = limits.idle_time;
  request.most_time = kMostTime;
  return request;
}

std::string key_of(const GitRemote& remote) {
  return remote.url + '\n' + remote.authorization + '\n' + remote.user;
}

// Lines of "ID\tNAME", "ID\tNAME^{}" for what a tag peels to, and "ref: TARGET\tNAME". A pattern
// also brings refs that only end like it, and a server may send what it likes.
std::vector<Ref> read_ls_remote(std::string_view lines, const std::set<std::string>& names) {
  constexpr std::string_view kPeeled = "^{}";
  constexpr std::string_view kTarget = "ref: ";
  std::map<std::string, Ref> refs;
  while (!lines.empty()) {
    const std::string_view line = take_field(lines, '\n');
    const std::size_t tab = line.find('\t');
    if (tab == std::string_view::npos) continue;
    const std::string_view what = line.substr(0, tab);
    std::string name(line.substr(tab + 1));
    const bool peeled = name.ends_with(kPeeled);
    if (peeled) name.resize(name.size() - kPeeled.size());
    if (names.count(name) == 0) continue;
    Ref& ref = refs[name];
    if (what.starts_with(kTarget)) {
      ref.target = what.substr(kTarget.size());
    } else if (is_full_git_id(what)) {
      (peeled ? ref.peeled : ref.id) = what;
    }
  }
  std::vector<Ref> all;
  for (auto& [name, ref] : refs) {
    ref.name = name;
    all.push_back(std::move(ref));
  }
  return all;
}

std::vector<std::string> ls_remote(const Repository& repository) {
  std::vector<std::string> arguments = {"ls-remote", "-q", "--symref"};
  // What is wanted decides what the server sends.
  const auto any = [&](std::string_view kind) {
    return std::any_of(repository.asking.begin(), repository.asking.end(),
                       [&](const std::string& name) { return name.starts_with(kind); });
  };
  const bool others =
      std::any_of(repository.asking.begin(), repository.asking.end(), [](const std::string& name) {
        return !name.starts_with("refs/heads/") && !name.starts_with("refs/tags/");
      });
  if (!others && any("refs/heads/")) arguments.emplace_back("--heads");
  if (!others && any("refs/tags/")) arguments.emplace_back("--tags");
  arguments.insert(arguments.end(), {"--end-of-options", repository.remote.url});
  if (repository.asking.size() <= kMostPatterns) {
    for (const std::string& name : repository.asking)
      arguments.insert(arguments.end(), {name, name + "^{}"});
  }
  return arguments;
}

}  // namespace

class GitQuestions::Asking {
 public:
  Asking(GitProgram& program, GitLimits limits) : program_(program), limits_(limits) {}

  ~Asking() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    if (http_) http_->stop();  // (what its thread still sends is sent to nobody)
  }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;

  void want(const GitSource& source) {
    const std::lock_guard lock(mutex_);
    repository(source);
  }

  void ask() {
    std::vector<Repository*> open;
    const std::lock_guard lock(mutex_);
    for (auto& [key, repository] : repositories_) {
      if (!repository.open()) continue;
      repository.busy = true;
      repository.asking.clear();
      std::set_difference(repository.wanted.begin(), repository.wanted.end(),
                          repository.asked.begin(), repository.asked.end(),
                          std::inserter(repository.asking, repository.asking.end()));
      repository.attempt = 0;
      repository.waited = milliseconds(0);
      ++questions_;
      open.push_back(&repository);
    }
    if (open.empty()) return;
    // (Loading it takes as long as asking git for the user's settings.)
    const bool wants_curl = std::any_of(open.begin(), open.end(), [](const Repository* repository) {
      return is_http(repository->remote.url);
    });
    if (wants_curl) put({"", load_curl});
    put({"", [this, open = std::move(open)] { begin(open); }});
  }

  RefAnswer answer(const GitSource& source) {
    std::unique_lock lock(mutex_);
    Repository& its = repository(source);
    const auto names = full_ref_names(source.ref);
    // (It may be busy with a question that has not all of them.)
    const auto is_known = [&] {
      return its.failure != nullptr ||
             std::all_of(names.begin(), names.end(),
                         [&](const std::string& name) { return its.asked.count(name) != 0; });
    };
    while (!is_known()) {
      if (its.open()) {
        lock.unlock();
        ask();
        lock.lock();
      }
      changed_.wait(lock, [&] { return !its.busy; });
    }
    if (its.failure) std::rethrow_exception(its.failure);
    for (const std::string& name : names) {
      const auto found = its.refs.find(name);
      if (found == its.refs.end()) continue;
      const Ref& ref = found->second;
      const std::string& commit = ref.peeled.empty() ? ref.id : ref.peeled;
      if (commit.empty()) continue;
      return {lower_case(commit), name, name == "HEAD" ? ref.target : ""};
    }
    return {};
  }

  std::optional<HttpRequest> request_to(const GitRemote& remote) const {
    const std::lock_guard lock(mutex_);
    const auto found = ours_.find(key_of(remote));
    return found == ours_.end() ? std::nullopt : std::optional(found->second);
  }

  int questions() const {
    const std::lock_guard lock(mutex_);
    return questions_;
  }
  int questions_by_git() const {
    const std::lock_guard lock(mutex_);
    return by_git_;
  }

 private:
  // What a thread of ours does. Of one host not more than some at once.
  struct Work {
    std::string host;
    std::function<void()> work;
  };

  // With mutex_ locked.
  Repository& repository(const GitSource& source) {
    const std::pair key(source.local, source.remote);
    auto found = repositories_.find(key);
    if (found == repositories_.end()) {
      Repository fresh;
      fresh.remote = git_remote(source);
      found = repositories_.emplace(key, std::move(fresh)).first;
    }
    for (std::string& name : full_ref_names(source.ref))
      found->second.wanted.insert(std::move(name));
    return found->second;
  }

  // With mutex_ locked.
  void put(Work work) {
    if (stop_) return;
    waiting_.push_back(std::move(work));
    if (idle_ < waiting_.size() && threads_.size() < limits_.jobs) {
      try {
        threads_.emplace_back([this] { this->work(); });
      } catch (const std::system_error&) {
        if (threads_.empty()) throw;  // else those there are do it
      }
    }
    work_changed_.notify_one();
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      const auto next = std::find_if(waiting_.begin(), waiting_.end(), [&](const Work& one) {
        return one.host.empty() || of_host_[one.host] < kMostPerHost;
      });
      if (next == waiting_.end()) {
        ++idle_;
        work_changed_.wait(lock);
        --idle_;
        continue;
      }
      const Work one = std::move(*next);
      waiting_.erase(next);
      ++of_host_[one.host];
      lock.unlock();
      one.work();
      lock.lock();
      --of_host_[one.host];
      work_changed_.notify_one();
    }
  }

  // --- By ourselves

  void begin(const std::vector<Repository*>& open) {
    for (Repository* const repository : open) {
      try {
        if (is_ours(*repository)) {
          send(*repository, {});
        } else {
          leave_to_git(*repository);
        }
      } catch (...) {
        fail(*repository, std::current_exception());
      }
    }
  }

  // (A thing behind the path belongs elsewhere in the URL than where we would put it.)
  bool is_ours(Repository& repository) {
    const GitRemote& remote = repository.remote;
    if (remote.local || !is_http(remote.url)) return false;
    if (remote.url.find_first_of("?#") != std::string::npos) return false;
    std::call_once(settings_once_, [&] {
      const Output list = program_.work({}, {"config", "--list", "-z"});
      settings_.emplace(list.out);
      // What cannot be read is for git to tell.
      if (!list.exit.ok()) settings_.reset();
      if (!settings_) return;
      try {
        http_.emplace(HttpMany::Limits{
            std::min(limits_.jobs * kConnectionsPerJob, kMostConnections), limits_.jobs});
      } catch (const Error& error) {
        if (error.kind() != Error::Kind::Missing) throw;  // there is no libcurl: git has its own
      }
    });
    if (!http_) return false;
    auto trust = settings_->trust_for(remote.url);
    if (trust) repository.trust = *std::move(trust);
    return trust.has_value();
  }

  void send(Repository& repository, milliseconds pause) {
    HttpRequest question = http_request(repository, limits_);
    question.body = ls_refs_question(repository.asking);
    http_->send(
        std::move(question),
        [this, &repository](const HttpResult& result) { take(repository, result); }, pause);
  }

  void take(Repository& repository, const HttpResult& result) noexcept {
    try {
      if (result) {
        take_answer(repository, *result);
      } else {
        take_error(repository, result.error());
      }
    } catch (...) {
      fail(repository, std::current_exception());
    }
  }

  void take_answer(Repository& repository, const HttpResponse& answer) {
    answered_.insert(host_of(repository.remote));
    if (answer.status == kOk) {
      // (Git itself would take a page for a repository without refs.)
      const std::string type = answer.header("content-type");
      if (!answer.body.empty() && !type.empty() && !type.starts_with(kAnswerType))
        repository.page = printable(type);
      // (An empty body is an older server's.)
      auto refs = parse_ls_refs(answer.body, repository.asking);
      if (!refs) return leave_to_git(repository);
      // (To those rules git holds what it fetches itself.)
      if (!settings_->judges_objects()) {
        const std::lock_guard lock(mutex_);
        ours_.insert_or_assign(key_of(repository.remote), http_request(repository, limits_));
      }
      return end(repository, *std::move(refs));
    }
    if (is_passing(answer.status)) {
      std::string why = fmt::format("it answers with status {}", answer.status);
      milliseconds pause = backoff(kFirstPause, repository.attempt);
      if (const int asked = retry_after_seconds(answer.header("retry-after")); asked >= 0) {
        pause = milliseconds(asked * 1000);
        why += fmt::format(" and asks to wait {} s", asked);
      }
      return try_again(repository, pause, why, answer.status == kTooMany);
    }
    const bool may_log_in = answer.status == kUnauthorized &&
                            repository.remote.authorization.empty() && !repository.login;
    if (!may_log_in) return leave_to_git(repository);
    const std::lock_guard lock(mutex_);
    put({"login " + host_of(repository.remote), [this, &repository] { log_in(repository); }});
  }

  // By what the user's helpers know.
  void log_in(Repository& repository) noexcept {
    try {
      repository.login = program_.login(repository.remote);
      if (repository.login) {
        send(repository, {});
      } else {
        leave_to_git(repository);
      }
    } catch (...) {
      fail(repository, std::current_exception());
    }
  }

  void take_error(Repository& repository, const HttpError& error) {
    switch (error.kind()) {
      case HttpError::Kind::Interrupted:
        return fail(repository, "interrupted");
      case HttpError::Kind::Broken:
        return try_again(repository, backoff(kFirstPause, repository.attempt), error.what(), false);
      case HttpError::Kind::Unreachable:
        // (Who answered before takes no more connections at once.)
        if (answered_.count(host_of(repository.remote)) != 0)
          return try_again(repository, backoff(kFirstPause, repository.attempt), error.what(),
                           true);
        fail(repository, error.what());
        return http_->give_up_host(repository.remote.url, error);
      case HttpError::Kind::TimedOut:
        fail(repository, error.what());
        if (++timeouts_[host_of(repository.remote)] >= kMostTimeouts)
          http_->give_up_host(repository.remote.url, error);
        return;
      case HttpError::Kind::Wrong:
      case HttpError::Kind::Untrusted:
        break;
    }
    if (std::string_view(error.what()).find("is longer than") != std::string_view::npos)
      return fail(repository, error.what());
    leave_to_git(repository);
  }

  // `is_final`: git would not be answered either. (Some servers fail at what they do not know.)
  void try_again(Repository& repository, milliseconds pause, const std::string& why,
                 bool is_final) {
    repository.waited += pause;
    const bool is_over = ++repository.attempt >= kMostAttempts || repository.waited > kMostWaiting;
    if (interrupted() != 0 || (is_over && is_final)) return fail(repository, why);
    return is_over ? leave_to_git(repository) : send(repository, pause);
  }

  // --- By git

  void leave_to_git(Repository& repository) {
    const std::lock_guard lock(mutex_);
    ++by_git_;
    put({host_of(repository.remote), [this, &repository] { ask_git(repository); }});
  }

  void ask_git(Repository& repository) noexcept {
    try {
      const milliseconds time = limits_.connect_time + limits_.idle_time + kGitTime;
      const Output output = program_.speak(repository.remote, {}, ls_remote(repository), time);
      if (!output.exit.ok()) throw git_failure(about(repository.remote), repository.remote, output);
      // (Git takes a page for a repository without refs.)
      if (output.out.empty() && !repository.page.empty()) {
        return fail(repository, "what answers there is no git server: it sends " + repository.page);
      }
      end(repository, read_ls_remote(output.out, repository.asking));
    } catch (...) {
      fail(repository, std::current_exception());
    }
  }

  // --- Ends

  void end(Repository& repository, std::vector<Ref> refs) {
    const std::lock_guard lock(mutex_);
    for (Ref& ref : refs) {
      std::string name = ref.name;
      repository.refs.insert_or_assign(std::move(name), std::move(ref));
    }
    repository.asked.insert(repository.asking.begin(), repository.asking.end());
    repository.busy = false;
    changed_.notify_all();
  }

  void fail(Repository& repository, const std::string& why) {
    fail(repository, std::make_exception_ptr(Error(
                         Error::Kind::Source, about(repository.remote) + ": " + redacted(why))));
  }

  void fail(Repository& repository, std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    repository.failure = std::move(failure);
    repository.busy = false;
    changed_.notify_all();
  }

  GitProgram& program_;
  const GitLimits limits_;
  std::once_flag settings_once_;
  std::optional<GitSettings> settings_;
  std::optional<HttpMany> http_;
  // Of its thread: hosts that did not answer in time, and how often; those that did answer.
  std::map<std::string, int> timeouts_;
  std::set<std::string> answered_;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  // By (local, remote as written).
  std::map<std::pair<bool, std::string>, Repository> repositories_;
  std::map<std::string, HttpRequest> ours_;  // that answered us
  int questions_ = 0;
  int by_git_ = 0;
  std::condition_variable work_changed_;
  std::deque<Work> waiting_;
  std::map<std::string, std::size_t> of_host_;  // at work now
  std::size_t idle_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

GitQuestions::GitQuestions(GitProgram& program, GitLimits limits)
    : asking_(std::make_unique<Asking>(program, limits)) {}
GitQuestions::~GitQuestions() = default;

void GitQuestions::want(const GitSource& source) {
  asking_->want(source);
}
void GitQuestions::ask() {
  asking_->ask();
}
RefAnswer GitQuestions::answer(const GitSource& source) {
  return asking_->answer(source);
}
std::optional<HttpRequest> GitQuestions::request_to(const GitRemote& remote) const {
  return asking_->request_to(remote);
}
int GitQuestions::questions() const {
  return asking_->questions();
}
int GitQuestions::questions_by_git() const {
  return asking_->questions_by_git();
}

}  // namespace imagewright
