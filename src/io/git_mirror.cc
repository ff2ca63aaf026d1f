#include "io/git_mirror.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <set>
#include <thread>

#include "core/digest.h"
#include "core/take_field.h"
#include "io/fd.h"
#include "io/file_read.h"
#include "io/http.h"
#include "io/interrupt.h"
#include "io/scratch.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr auto kFetchTime = std::chrono::minutes(30);
constexpr std::size_t kBytesAtOnce = std::size_t{32} << 20;
constexpr std::size_t kObjectsAtOnce = 50'000;
constexpr std::size_t kManyPacks = 50;
constexpr auto kKept = std::chrono::hours(30 * 24);

fs::path beside(const fs::path& mirror, const char* extension) {
  return fs::path(mirror).replace_extension(extension);
}

// Nobody else may write here, whatever the umask: git does as a mirror's configuration says.
void make_private_directory(const fs::path& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    throw Error(Error::Kind::Source,
                with_errno(fmt::format("cannot make the directory '{}'", path.string())));
  }
}

// Holds a mirror's lock for its lifetime; waits for it, unless interrupted. Two of one process
// exclude each other, too.
class MirrorLock {
 public:
  explicit MirrorLock(const fs::path& path)
      : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
    while (!fd_ || flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (!fd_ || (errno != EWOULDBLOCK && errno != EINTR)) {
        throw Error(Error::Kind::Source,
                    with_errno(fmt::format("cannot lock '{}'", path.string())));
      }
      if (interrupted() != 0) {
        throw Error(Error::Kind::Source,
                    fmt::format("interrupted while waiting for '{}'", path.string()));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

 private:
  Fd fd_;
};

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error)
    throw Error(Error::Kind::Source,
                fmt::format("cannot remove '{}': {}", path.string(), error.message()));
}

// Files that a killed git leaves behind. Its locks stop every later one; the rest only takes room.
void remove_files(const fs::path& directory, bool (*stale)(const std::string& name)) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    if (std::error_code ignored; stale(entry.path().filename().string()))
      fs::remove(entry.path(), ignored);
  }
}

bool contains_any(const std::string& text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return text.find(part) != std::string::npos; });
}

// The server would not give a commit by its id, or no longer has it.
bool is_refusal(const Output& output) {
  return !output.exit.ok() && contains_any(output.err, {"unadvertised object", "not our ref"});
}

// What git says of its own, not of what a server told.
std::string without_remote_words(const std::string& text) {
  std::string own;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = take_field(rest, '\n');
    if (!line.starts_with("remote:") && line.find("remote error") == std::string_view::npos)
      own.append(line).append("\n");
  }
  return own;
}

// The mirror may be at fault. Taking too much for damage costs one more fetch.
bool looks_damaged(const Output& output) {
  return !output.exit.ok() && !output.exit.interrupted && !output.exit.timed_out &&
         contains_any(
             without_remote_words(output.err),
             {"corrupt", "bad object", "unable to read", "unable to open", "unable to parse",
              "could not parse", "inflate", "missing blob", "missing tree", "bad config",
              "not a git repository", "bad signature", "loose object", "packfile", ".idx",
              "unresolved deltas", "shallow", "repository extension", "git repo version"});
}

struct Header {
  GitMirror::Object object;
  std::size_t size = 0;
};

// A line of `cat-file --batch` and `--batch-check`: "ID TYPE SIZE", or "NAME missing" (where NAME
// may hold blanks).
Header parse_header(std::string_view line) {
  Header header;
  if (line.ends_with(" missing")) return header;
  const std::string_view id = take_field(line, ' ');
  const std::string_view type = take_field(line, ' ');
  if (!is_full_git_id(id)) return header;
  const auto parsed = std::from_chars(line.data(), line.data() + line.size(), header.size);
  if (parsed.ec == std::errc()) header.object = {std::string(id), std::string(type)};
  return header;
}

std::string hex_id(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

// The next entry of a tree; false: there is none, or (where content is left) it is malformed.
bool take_entry(std::string_view& content, std::size_t id_size, GitMirror::Entry& entry) {
  std::string_view rest = content;
  const std::string_view octal = take_field(rest, ' ');
  const std::string_view name = take_field(rest, '\0');
  unsigned mode = 0;
  const auto parsed = std::from_chars(octal.data(), octal.data() + octal.size(), mode, 8);
  if (rest.size() < id_size || octal.empty() || parsed.ptr != octal.data() + octal.size())
    return false;
  entry = {mode, hex_id(rest.substr(0, id_size)), std::string(name)};
  content = rest.substr(id_size);
  return true;
}

std::string lines_of(const std::vector<std::string>& texts, std::size_t begin, std::size_t end) {
  std::string lines;
  for (std::size_t i = begin; i < end; ++i) lines += texts[i] + "\n";
  return lines;
}

// Of an absolute path.
std::string file_url(std::string_view path) {
  std::string url = "file://";
  path.remove_prefix(1);
  while (!path.empty()) url += "/" + percent_encoded(std::string(take_field(path, '/')));
  return url;
}

std::string kept_ref(const std::string& commit) {
  return "refs/imagewright/" + commit;
}

}  // namespace

GitMirror::GitMirror(GitProgram& program, const fs::path& cache, GitRemote remote,
                     const GitFetches* fetches)
    : program_(program),
      fetches_(fetches),
      remote_(std::move(remote)),
      path_(cache / "git" / (hex(sha256(remote_.url)) + ".git")) {}

// Git on the mirror. An interrupted one has said nothing about the mirror.
Output GitMirror::run(const std::vector<std::string>& arguments, std::string_view input) const {
  Output output = program_.work(path_, arguments, input);
  if (output.exit.interrupted) {
    throw git_failure(fmt::format("cannot read the mirror of '{}'", remote_.shown), remote_,
                      output);
  }
  return output;
}

// Is there a mirror that is safe to use? `--git-dir` makes git skip its own check of the owner.
bool GitMirror::exists() const {
  struct stat status = {};
  if (lstat(path_.c_str(), &status) != 0) return false;
  if (status.st_uid != geteuid()) {
    throw Error(Error::Kind::Source,
                fmt::format("the mirror '{}' of '{}' belongs to another user; remove it",
                            path_.string(), remote_.shown));
  }
  return S_ISDIR(status.st_mode) && (status.st_mode & 022) == 0;
}

const GitObjects* GitMirror::objects() const {
  if (!objects_) objects_ = GitObjects::open(path_);
  return objects_->get();
}

// The root's tree of what is kept under that id; nullopt: it is not kept, or cannot be read.
std::optional<std::string> GitMirror::root_of(const GitObjects& objects,
                                              const std::string& id) const {
  if (objects.ref(kept_ref(id)) != id) return std::nullopt;
  std::string root;
  objects.read(id, [&](std::string_view type, std::string_view content) {
    constexpr std::string_view kTree = "tree ";
    if (type == "tree") root = id;
    if (type == "commit" && content.starts_with(kTree))
      root = content.substr(kTree.size(), content.find('\n') - kTree.size());
  });
  if (objects.type_of(root) != "tree") return std::nullopt;
  return root;
}

// nullopt: not all can be found.
std::optional<std::vector<GitMirror::Object>> GitMirror::look_up(
    const GitObjects& objects, const std::string& root,
    const std::vector<std::string>& paths) const {
  std::vector<Object> found;
  for (const std::string& path : paths) {
    Object object{root, "tree"};
    for (std::string_view rest = path; !rest.empty();) {
      const std::string_view name = take_field(rest, '/');
      std::string next;
      objects.read(object.id, [&](std::string_view type, std::string_view content) {
        if (type != "tree") return;
        for (Entry entry; take_entry(content, object.id.size() / 2, entry);) {
          if (entry.name == name) next = std::move(entry.id);
        }
      });
      object = {next, objects.type_of(next)};
      if (object.type.empty()) return std::nullopt;
    }
    found.push_back(std::move(object));
  }
  return found;
}

std::optional<std::vector<GitMirror::Object>> GitMirror::look_up(
    const std::string& commit, const std::vector<std::string>& paths) const {
  if (!exists()) return std::nullopt;
  if (const GitObjects* const objects = this->objects()) {
    if (!objects->ref(kept_ref(commit))) return std::nullopt;
    const auto root = root_of(*objects, commit);
    auto found = root ? look_up(*objects, *root, paths) : std::nullopt;
    if (found) {
      note_use(commit);
      return found;
    }
  }
  std::string names = kept_ref(commit) + "^{tree}\n";
  for (const std::string& path : paths) names.append(commit).append(":").append(path).append("\n");
  const Output output = run({"cat-file", "--batch-check"}, names);
  std::string_view rest = output.out;
  if (!output.exit.ok() || parse_header(take_field(rest, '\n')).object.id.empty())
    return std::nullopt;
  note_use(commit);
  std::vector<Object> objects;
  for (std::size_t i = 0; i < paths.size(); ++i)
    objects.push_back(parse_header(take_field(rest, '\n')).object);
  return objects;
}

std::vector<bool> GitMirror::hold(const std::vector<std::string>& ids) const {
  std::vector<bool> held(ids.size());
  if (!exists()) return held;
  if (const GitObjects* const objects = this->objects()) {
    bool is_certain = true;
    for (std::size_t i = 0; i < ids.size() && is_certain; ++i) {
      held[i] = root_of(*objects, ids[i]).has_value();
      // (A tag, or something that cannot be read.)
      is_certain = held[i] || !objects->ref(kept_ref(ids[i]));
    }
    if (is_certain) return held;
  }
  std::string names;
  for (const std::string& id : ids) names += kept_ref(id) + "^{tree}\n";
  const Output output = run({"cat-file", "--batch-check"}, names);
  if (!output.exit.ok()) return held;
  std::string_view rest = output.out;
  for (std::size_t i = 0; i < ids.size(); ++i)
    held[i] = !parse_header(take_field(rest, '\n')).object.id.empty();
  return held;
}

// The newest.
std::vector<std::string> GitMirror::kept_commits(const GitObjects& objects) const {
  constexpr std::size_t kMost = 16;
  std::vector<std::pair<fs::file_time_type, std::string>> all;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_ / "refs" / "imagewright", error)) {
    const std::string id = entry.path().filename().string();
    const auto used = entry.last_write_time(error);
    if (!error && is_full_git_id(id)) all.emplace_back(used, id);
  }
  std::sort(all.rbegin(), all.rend());
  std::vector<std::string> commits;
  for (const auto& [used, id] : all) {
    if (commits.size() >= kMost) break;
    if (objects.type_of(id) == "commit" && root_of(objects, id)) commits.push_back(id);
  }
  return commits;
}

// With the lock held. What the commit has that those before it had not, by one request of ours.
// False: git is to fetch it.
bool GitMirror::fetch_news(const std::string& commit) {
  const GitObjects* const objects = fetches_ != nullptr && exists() ? this->objects() : nullptr;
  if (objects == nullptr) return false;
  FetchQuestion question;
  question.want = commit;
  question.have = kept_commits(*objects);
  if (question.have.empty()) return false;
  const fs::path shallow = path_ / "shallow";
  std::error_code error;
  std::string known = fs::exists(shallow, error) ? read_file(shallow) : "";
  if (error) return false;
  std::set<std::string, std::less<>> all;
  for (std::string_view rest = known; !rest.empty();) all.emplace(take_field(rest, '\n'));
  std::copy_if(question.have.begin(), question.have.end(), std::back_inserter(question.shallow),
               [&](const std::string& id) { return all.contains(id); });
  const auto pack = fetches_->fetch(remote_, question);
  if (!pack) return false;
  sweep();
  try {
    if (pack->is_shallow && !all.contains(commit)) known += commit + "\n";
    const fs::path new_shallow = path_ / "new-shallow.lock";
    write_file(new_shallow, known);
    // It looks at all of it, and that all is there which what came leads to; but for the parents of
    // what is shallow.
    if (!run({"--shallow-file", new_shallow.string(), "index-pack", "--stdin", "--fix-thin",
              "--strict"},
             pack->bytes)
             .exit.ok())
      return false;
    objects_.reset();
    if (this->objects() == nullptr || this->objects()->type_of(commit) != "commit") return false;
    // (A file without a line would make it shallow, too.)
    if (pack->is_shallow) {
      fs::rename(new_shallow, shallow);
    } else {
      fs::remove(new_shallow);
    }
    // (In the making it is none yet.)
    const fs::path ref = path_ / "new-ref.lock";
    write_file(ref, commit + "\n");
    fs::rename(ref, path_ / kept_ref(commit));
  } catch (const Error& failure) {
    if (failure.kind() != Error::Kind::Missing) throw;
    return false;
  } catch (const fs::filesystem_error&) {
    return false;
  }
  return hold({commit}).front();
}

// With the lock held. Makes the mirror if there is none, and once more if it is damaged.
Output GitMirror::fetch_whole(const std::vector<std::string>& ids) {
  const bool fresh = !exists();
  if (fresh) make(ids.front());
  sweep();
  std::vector<std::string> refspecs;
  for (const std::string& id : ids) refspecs.push_back(id + ":" + kept_ref(id));
  Output output = fetch_as(refspecs);
  if (!fresh && looks_damaged(output)) {
    make(ids.front());
    output = fetch_as(refspecs);
  }
  return output;
}

void GitMirror::fetch(const std::string& commit, const std::string& ref,
                      const std::string& history) {
  make_places();
  const MirrorLock lock(beside(path_, ".lock"));
  if (hold({commit}).front()) return;  // another run was faster
  if (fetch_news(commit)) return tidy();
  Output output = fetch_whole({commit});
  const bool is_refused = is_refusal(output);
  if (is_refused && !ref.empty()) output = fetch_ref(commit, ref);
  if (is_refused && ref.empty() && !history.empty()) output = fetch_history(commit, history);
  const std::string what = fmt::format("cannot fetch {} from '{}'", commit, remote_.shown);
  if (!output.exit.ok()) throw git_failure(what, remote_, output);
  if (!hold({commit}).front()) throw Error(Error::Kind::Source, what + ": it is not a commit");
  tidy();
}

std::vector<bool> GitMirror::fetch_trees(const std::vector<std::string>& ids) {
  make_places();
  const MirrorLock lock(beside(path_, ".lock"));
  std::vector<std::string> missing;
  const std::vector<bool> held = hold(ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!held[i]) missing.push_back(ids[i]);
  }
  if (missing.empty()) return held;
  const auto fetch = [&](const std::vector<std::string>& some) {
    Output output = fetch_whole(some);
    if (output.exit.interrupted || output.exit.timed_out)
      throw git_failure(fmt::format("cannot fetch from '{}'", remote_.shown), remote_, output);
    return output;
  };
  // (One that it lacks fails all.)
  if (is_refusal(fetch(missing)) && missing.size() > 1) {
    for (const std::string& id : missing) fetch({id});
  }
  tidy();
  return hold(ids);
}

// (Without success it is taken for unused earlier, and fetched again then.)
void GitMirror::note_use(const std::string& id) const {
  std::error_code ignored;
  fs::last_write_time(path_ / kept_ref(id), fs::file_time_type::clock::now(), ignored);
  fs::last_write_time(beside(path_, ".lock"), fs::file_time_type::clock::now(), ignored);
}

void GitMirror::make_places() const {
  std::error_code ignored;  // what is missing then shows at the next step
  fs::create_directories(path_.parent_path().parent_path(), ignored);
  make_private_directory(path_.parent_path());
}

// An empty mirror in the place of whatever is there. The lock is ours, so a mirror in the making is
// a dead run's.
void GitMirror::make(const std::string& commit) {
  const fs::path fresh = beside(path_, ".new");
  remove_tree(fresh);
  make_private_directory(fresh);
  const Output output = program_.make_repository(fresh, commit);
  if (!output.exit.ok())
    throw git_failure(fmt::format("cannot make a mirror of '{}'", remote_.shown), remote_, output);
  if (chmod(fresh.c_str(), 0700) != 0) {
    throw Error(Error::Kind::Source,
                with_errno(fmt::format("cannot set the mode of '{}'", fresh.string())));
  }
  objects_.reset();
  remove_tree(path_);
  if (rename(fresh.c_str(), path_.c_str()) != 0) {
    throw Error(Error::Kind::Source, with_errno(fmt::format("cannot make '{}'", path_.string())));
  }
}

// With the lock held, now and then. What nobody looked up for long goes, and what stays becomes one
// pack: else a mirror would hold every state that its repository ever had. (Large files stay until
// the mirror goes.)
void GitMirror::tidy() {
  std::error_code ignored;
  std::size_t packs = 0;
  for (const auto& entry : fs::directory_iterator(path_ / "objects" / "pack", ignored))
    packs += entry.path().extension() == ".pack" ? 1 : 0;
  if (packs < kManyPacks) return;
  const auto since = fs::file_time_type::clock::now() - kKept;
  for (const auto& entry : fs::directory_iterator(path_ / "refs" / "imagewright", ignored)) {
    std::error_code error;
    if (entry.last_write_time(error) < since && !error) fs::remove(entry.path(), error);
  }
  // (Without success there are only more packs. A reader that has an old one open keeps it.)
  if (run({"repack", "-a", "-d", "-q"}).exit.ok()) run({"prune", "--expire=now"});
}

void GitMirror::sweep() const {
  const auto is_lock = [](const std::string& name) {
    return name.ends_with(".lock") || name.find(".lock.") != std::string::npos;
  };
  remove_files(path_, is_lock);
  remove_files(path_ / "refs" / "imagewright", is_lock);
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(path_ / "refs" / "history", error)) {
    if (std::error_code ignored; is_lock(entry.path().filename().string()))
      fs::remove(entry.path(), ignored);
  }
  remove_files(path_ / "objects" / "pack",
               [](const std::string& name) { return name.starts_with("tmp_"); });
}

Output GitMirror::fetch_as(const std::vector<std::string>& refspecs) {
  std::vector<std::string> arguments = {"fetch",
                                        "-q",
                                        "--depth=1",
                                        "--no-tags",
                                        "--no-write-fetch-head",
                                        "--no-prune",
                                        "--no-recurse-submodules",
                                        "--end-of-options",
                                        remote_.url};
  arguments.insert(arguments.end(), refspecs.begin(), refspecs.end());
  Output output = program_.speak(remote_, path_, arguments, kFetchTime);
  objects_.reset();
  return output;
}

// Takes what the ref means now, if that is still the commit.
Output GitMirror::fetch_ref(const std::string& commit, const std::string& ref) {
  const std::string incoming = "refs/imagewright/incoming";
  Output output = fetch_as({"+" + ref + ":" + incoming});
  if (!output.exit.ok()) return output;
  const Output now = run({"rev-parse", "--verify", "-q", incoming + "^{}"});
  if (now.out != commit + "\n") {
    throw Error(
        Error::Kind::Source,
        fmt::format("'{}' of '{}' moved while it was fetched; run again", ref, remote_.shown));
  }
  return run({"update-ref", kept_ref(commit), commit});
}

// Refs are kept, so that the next commit of the same history costs no more than what is new.
Output GitMirror::fetch_history(const std::string& commit, const std::string& refs) {
  // (By their own names, a branch and one that is called like its directory would be in the way of
  // each other.)
  const std::string kept =
      "refs/history/" + hex(sha256(refs)).substr(0, 32) + (refs.ends_with('*') ? "/*" : "/tip");
  Output output = program_.speak(
      remote_, path_,
      // (As many as there are: also what an earlier fetch of a single commit left out.)
      {"fetch", "-q", "--depth=2147483647", "--no-tags", "--no-write-fetch-head", "--prune",
       "--no-recurse-submodules", "--end-of-options", remote_.url, "+" + refs + ":" + kept},
      kFetchTime);
  objects_.reset();
  if (!output.exit.ok()) return output;
  if (!run({"cat-file", "-e", commit + "^{tree}"}).exit.ok()) {
    throw Error(Error::Kind::Source, fmt::format("'{}' has no commit {} in the history of '{}'",
                                                 remote_.shown, commit, refs));
  }
  return run({"update-ref", kept_ref(commit), commit});
}

void GitMirror::read_trees(const std::vector<std::string>& ids, const OnTree& on_tree) {
  read(ids, "tree", [&](std::size_t index, std::string_view content) {
    std::vector<Entry> entries;
    for (Entry entry; take_entry(content, ids[index].size() / 2, entry);)
      entries.push_back(std::move(entry));
    if (!content.empty()) {
      throw Error(Error::Kind::Source,
                  fmt::format("the tree {} of '{}' is malformed", ids[index], remote_.shown));
    }
    on_tree(index, entries);
  });
}

std::string GitMirror::settings(const std::string& commit, const std::string& file,
                                const std::string& pattern) const {
  const auto found = look_up(commit, {file});
  if (!found || found->front().id.empty()) return "";
  Output output = run({"config", "--blob=" + found->front().id, "-z", "--get-regexp", pattern});
  constexpr int kNone = 1;
  if (!output.exit.ok() && output.exit.status != kNone) {
    throw git_failure(
        fmt::format("cannot read '{}' of {} in '{}'", file, commit.substr(0, 12), remote_.shown),
        remote_, output);
  }
  return std::move(output.out);
}

std::vector<bool> GitMirror::have_filter(const std::string& commit,
                                         const std::vector<std::string>& paths,
                                         const std::string& filter, const fs::path& index) const {
  const auto failed = [&](const Output& output) {
    return git_failure(fmt::format("cannot read the attributes of '{}'", remote_.shown), remote_,
                       output);
  };
  const Output read = program_.work(path_, {"read-tree", commit}, {}, index);
  if (!read.exit.ok()) throw failed(read);
  std::string input;
  for (const std::string& path : paths) input.append(path).push_back('\0');
  const Output output = program_.work(
      path_,
      {"-c", "core.attributesFile=/dev/null", "check-attr", "--cached", "-z", "--stdin", "filter"},
      input, index);
  if (!output.exit.ok()) throw failed(output);
  std::vector<bool> have;
  std::string_view rest = output.out;
  while (!rest.empty()) {  // path, attribute, value
    take_field(rest, '\0');
    take_field(rest, '\0');
    have.push_back(take_field(rest, '\0') == filter);
  }
  have.resize(paths.size());
  return have;
}

void GitMirror::drop_large_file(const std::string& id) const {
  std::error_code ignored;
  fs::remove(large_file(id), ignored);
}

fs::path GitMirror::large_file(const std::string& id) const {
  return path_ / "lfs" / "objects" / id.substr(0, 2) / id.substr(2, 2) / id;
}

void GitMirror::fetch_large_files(const std::string& commit, const std::string& directory,
                                  const std::vector<std::string>& ids) {
  const MirrorLock lock(beside(path_, ".lock"));
  const auto are_there = [&] {
    std::error_code ignored;
    return std::all_of(ids.begin(), ids.end(),
                       [&](const std::string& id) { return fs::exists(large_file(id), ignored); });
  };
  if (are_there()) return;
  sweep();
  GitProgram::Settings server;
  // (Git LFS reads it in a checkout, and there is none. It may lead to any other host.)
  const std::string told = settings(commit, ".lfsconfig", "^lfs\\.url$");
  std::string value;
  for (std::string_view rest = told; !rest.empty();) {  // the last one counts
    std::string_view one = take_field(rest, '\0');
    take_field(one, '\n');
    value = one;
  }
  if (!value.empty()) {
    const auto source = parse_git_remote(value);
    if (!source || !(value.starts_with("https://") || value.starts_with("http://"))) {
      throw Error(
          Error::Kind::Source,
          fmt::format("'{}': .lfsconfig names the server '{}', which is none at http or https",
                      remote_.shown, redacted(value)));
    }
    server.emplace_back("lfs.url", value);
  }
  std::vector<std::string> arguments = {
      "lfs", "fetch", remote_.local ? file_url(remote_.url) : remote_.url, commit};
  // (It takes it for patterns: what is not plain has all of them fetched.)
  if (!directory.empty() && directory.find_first_of(",*?[]!#\\ ") == std::string::npos)
    arguments.insert(arguments.end(), {"-I", directory});
  const Output output = program_.speak(remote_, path_, arguments, kFetchTime, server);
  // (It also wants what only looks like a pointer.)
  if (output.exit.ok() || are_there()) return;
  if (contains_any(output.err, {"'lfs' is not a git command"})) {
    throw Error(
        Error::Kind::Source,
        fmt::format("'{}' has large files of Git LFS, and there is no git-lfs", remote_.shown));
  }
  throw git_failure(fmt::format("cannot fetch large files of {} from '{}'", commit, remote_.shown),
                    remote_, output);
}

std::string GitMirror::read_commit(const std::string& id) {
  std::string commit;
  read({id}, "commit", [&](std::size_t, std::string_view content) { commit = content; });
  return commit;
}

void GitMirror::read_blobs(const std::vector<std::string>& ids, const OnBlob& on_blob) {
  read(ids, "blob", on_blob);
}

// Asks for the sizes first, so that what is asked for at once is bounded.
void GitMirror::read(const std::vector<std::string>& ids, const char* type,
                     const OnBlob& on_content) {
  std::size_t done = 0;
  while (done < ids.size() && read_one(ids[done], done, type, on_content)) ++done;
  for (std::size_t begin = done; begin < ids.size(); begin += kObjectsAtOnce) {
    const std::size_t end = std::min(begin + kObjectsAtOnce, ids.size());
    const Output sizes = run({"cat-file", "--batch-check"}, lines_of(ids, begin, end));
    if (!sizes.exit.ok()) give_up(sizes.err);

    std::string_view headers = sizes.out;
    std::size_t first = begin;
    std::size_t bytes = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t size = parse_header(take_field(headers, '\n')).size;
      if (i > first && bytes + size > kBytesAtOnce) {
        read_some(ids, first, i, type, on_content);
        first = i;
        bytes = 0;
      }
      bytes += size;
    }
    read_some(ids, first, end, type, on_content);
  }
}

// False: git is to be asked.
bool GitMirror::read_one(const std::string& id, std::size_t index, const char* type,
                         const OnBlob& on_content) {
  const GitObjects* const objects = this->objects();
  if (objects == nullptr) return false;
  if (interrupted() != 0) {
    throw Error(Error::Kind::Source,
                fmt::format("cannot read the mirror of '{}': interrupted", remote_.shown));
  }
  return objects->read(id, [&](std::string_view is, std::string_view content) {
    if (is != type) fail_as_other(id, is, type);
    on_content(index, content);
  });
}

void GitMirror::fail_as_other(const std::string& id, std::string_view is,
                              std::string_view wanted) const {
  throw Error(Error::Kind::Source,
              fmt::format("{} of '{}' is a {}, not a {}", id, remote_.shown, is, wanted));
}

void GitMirror::read_some(const std::vector<std::string>& ids, std::size_t begin, std::size_t end,
                          const char* type, const OnBlob& on_content) {
  const Output output = run({"cat-file", "--batch", "--buffer"}, lines_of(ids, begin, end));
  std::string_view rest = output.out;
  for (std::size_t i = begin; i < end; ++i) {
    const Header header = parse_header(take_field(rest, '\n'));
    if (header.object.id != ids[i] || header.size >= rest.size()) {
      give_up(output.err.empty() ? "it lacks the object " + ids[i] : output.err);
    }
    if (header.object.type != type) fail_as_other(ids[i], header.object.type, type);
    on_content(i, rest.substr(0, header.size));
    rest.remove_prefix(header.size + 1);
  }
}

void GitMirror::give_up(const std::string& why) {
  Output said;
  said.exit.status = 1;
  said.err = why;
  const MirrorLock lock(beside(path_, ".lock"));
  remove_tree(path_);
  throw git_failure(
      fmt::format("the mirror of '{}' was damaged and has been removed; run again", remote_.shown),
      remote_, said);
}

namespace {

bool is_used_since(const fs::path& mirror, fs::file_time_type since) {
  std::error_code error;
  auto used = fs::last_write_time(beside(mirror, ".lock"), error);
  if (error) used = fs::last_write_time(mirror, error);
  return !error && used >= since;
}

}  // namespace

std::vector<fs::path> unused_mirrors(const fs::path& cache, fs::file_time_type since) {
  std::vector<fs::path> unused;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(cache / "git", ignored)) {
    if (entry.path().extension() == ".git" && !is_used_since(entry.path(), since))
      unused.push_back(entry.path());
  }
  return unused;
}

std::string remove_mirror(const fs::path& mirror, fs::file_time_type since) {
  try {
    const fs::path path = beside(mirror, ".lock");
    std::error_code error;
    const bool was_there = fs::exists(path, error);
    const MirrorLock lock(path);
    // (A lock that is made now is dated now.)
    if (was_there && is_used_since(mirror, since)) return "it is used";
    // At once for whoever looks: it is a mirror, or there is none.
    const fs::path old = beside(mirror, ".new");
    remove_tree(old);
    fs::rename(mirror, old, error);
    if (error) return error.message();
    remove_tree(old);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace imagewright
