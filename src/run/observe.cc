#include "run/observe.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "core/context.h"
#include "core/reference.h"
#include "core/suggest.h"
#include "io/error.h"
#include "io/host_platform.h"
#include "io/reached_links.h"
#include "io/store.h"
#include "io/tree_changes.h"
#include "run/look_ahead.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) {
  throw Error(Error::Kind::Source, message);
}

// A symlink that leads nowhere is there: what reads it says so. What cannot be looked at is an
// error.
bool is_there(const std::string& path) {
  struct stat status = {};
  if (lstat(path.c_str(), &status) == 0) return true;
  if (errno != ENOENT && errno != ENOTDIR) fail(with_errno("cannot read '" + path + "'"));
  return false;
}

// Is it this directory, or below it? Of canonical paths.
bool is_within(const fs::path& directory, const fs::path& path) {
  const auto [end, ignored] =
      std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
  return end == directory.end();
}

// A path from a repository, with all symlinks followed, must still be inside what was checked out.
fs::path inside(const fs::path& checkout, const fs::path& path) {
  std::error_code error;
  const fs::path root = fs::canonical(checkout, error);
  const fs::path real = fs::weakly_canonical(path, error);
  if (error || !is_within(root, real)) {
    fail("'" + path.lexically_relative(checkout).string() +
         "' leads out of the repository's directory");
  }
  return real;
}

// Where a checkout is in its scratch directory, whose private mode is not the context's.
fs::path directory_in(const ScratchDirectory& scratch) {
  return scratch.path() / "tree";
}

std::string dockerfile_path(const ImageConfig& image, const std::string& context) {
  if (!image.dockerfile.empty()) {
    const fs::path path = fs::path(context) / image.dockerfile;
    if (!is_there(path.string()))
      fail("the Dockerfile '" + path.lexically_normal().string() + "' does not exist");
    return path.string();
  }
  for (const char* name : {"/Dockerfile", "/dockerfile"}) {
    std::string path = context + name;
    if (is_there(path)) return path;
  }
  fail("there is no Dockerfile in '" + context + "'");
}

// The ignore file beside the Dockerfile (where it is a file) wins over the context's; they are not
// merged. "": none.
std::string ignore_path(const std::string& dockerfile, const std::string& context) {
  if (!dockerfile.empty() && is_there(dockerfile + ".dockerignore"))
    return dockerfile + ".dockerignore";
  const std::string path = context + "/.dockerignore";
  return is_there(path) ? path : "";
}

// Of the ignore file in `path`, which errors call by `name`.
IgnoreRules rules_of(const fs::path& path, const std::string& name) {
  auto rules = IgnoreRules::parse(read_file(path));
  if (!rules) fail(describe(rules.error(), name));
  return std::move(*rules);
}

// What an engine is told to leave out: the rules, then our own files wherever they stand.
std::string engine_ignore(const IgnoreRules& rules, const std::vector<std::string>& own_paths) {
  std::string text = rules.text();
  for (const std::string& name : Store::file_names()) text += "**/" + name + "\n";
  for (const std::string& path : own_paths) {
    text += '/';
    for (const char byte : path) {
      if (std::string_view("*?[]\\").find(byte) != std::string_view::npos) text += '\\';
      text += byte;
    }
    text += '\n';
  }
  return text;
}

// Where what is known of a context's files is kept. One for each ignore file and reach that a
// directory is read with: images that differ in them do not drive out each other's.
std::string stat_cache(const fs::path& cache, const std::string& context, const std::string& ignore,
                       const std::string& reach) {
  Sha256 key;
  key.update_field("imagewright context");
  key.update_field(context);
  key.update_field(ignore);
  if (!reach.empty()) key.update_field(reach);
  return cache.string() + "/contexts/" + hex(key.finish()).substr(0, 32);
}

// Is a stamp of it worth keeping? For more, the stat cache alone is as fast.
bool is_small(const Snapshot& snapshot) {
  constexpr std::size_t kMostDirectories = 100;
  constexpr std::size_t kMostEntries = 10'000;
  const auto& records = snapshot.cache().records();
  std::size_t entries = 0;
  for (const DirectoryRecord& record : records) entries += record.count;
  return records.size() <= kMostDirectories && entries <= kMostEntries;
}

// By which Dockerfile a git tree's digests are known: a path, or, behind what no path holds, a
// text.
std::string dockerfile_key(const ImageConfig& image) {
  if (image.dockerfile_inline.empty()) return image.dockerfile;
  return std::string(1, '\0') + image.dockerfile_inline;
}

// By which name a directory is known, as far as that much of it counts. (No path holds a null.)
std::string known_name(const std::string& directory, const std::string& reach) {
  return reach.empty() ? directory : directory + '\0' + reach;
}

// (Many images of a file reach the same, and to read rules costs more than a look at a small
// directory.)
const IgnoreRules& remembered_rules_for(std::set<std::string> paths) {
  thread_local std::set<std::string> last_paths;
  thread_local IgnoreRules last_rules = rules_for({});
  if (paths != last_paths) {
    last_rules = rules_for(paths);
    last_paths = std::move(paths);
  }
  return last_rules;
}

// Has the request leave out what is not reached.
void restrict_to(TreeRequest& request, const std::string& reach) {
  if (reach.empty()) return;
  request.reach = remembered_rules_for(with_links_followed(request.root, reach_paths(reach)));
}

// The same, where no link has to be followed.
void restrict_to_names(TreeRequest& request, const std::string& reach) {
  if (reach.empty()) return;
  const auto paths = reach_paths(reach);
  request.reach = remembered_rules_for({paths.begin(), paths.end()});
}

// Must links be followed at each look? Not where every path is one of the root's own names, and
// none of them a link: what becomes one is another entry.
bool must_follow_links(const std::string& root, const std::string& reach) {
  const auto paths = reach_paths(reach);
  const auto is_name = [](const std::string& path) { return path.find('/') == path.npos; };
  return !std::all_of(paths.begin(), paths.end(), is_name) ||
         with_links_followed(root, paths) != std::set<std::string>(paths.begin(), paths.end());
}

// Beside what counts of a directory without an ignore file: its Dockerfile, and what would be one.
const std::vector<std::string>& witnesses() {
  static const std::vector<std::string> names = {"Dockerfile", ".dockerignore",
                                                 "Dockerfile.dockerignore"};
  return names;
}

// Takes the directory's Dockerfile into a stamp. False: it is not the one that was read, or so
// young that a later write might not show.
bool add_dockerfile(TreeStamp& stamp, const std::string& directory, const std::string& text,
                    FileClock& clock) {
  const std::string& name = witnesses().front();
  const std::string path = path_below(directory, name);
  const auto stat = read_stat(AT_FDCWD, path.c_str());
  if (!stat) return false;
  const FileTick tick = clock.read(stat->stat.device);
  if (std::max(stat->mtime, stat->ctime) >= tick.now - tick.tick) return false;
  try {
    if (read_file_and_stat(path) != std::pair(text, stat->stat)) return false;
  } catch (const Error&) {
    return false;
  }
  stamp.add_witness(name, stat->stat);
  return true;
}

// Beside the Dockerfile; "" where that alone decides. (The machine's platform is the cache's, too.)
std::string what_links_depend_on(const ImageConfig& image) {
  if (image.target.empty() && image.args.empty() && image.additional_contexts.empty() &&
      image.depends_on.empty() && image.options.platforms.empty()) {
    return "";
  }
  Sha256 hash;
  hash.update_field(image.target);
  const auto add_pairs = [&](const std::map<std::string, std::string>& pairs) {
    hash.update_number(pairs.size());
    for (const auto& [name, value] : pairs) {
      hash.update_field(name);
      hash.update_field(value);
    }
  };
  add_pairs(image.args);
  add_pairs(image.additional_contexts);
  for (const std::vector<std::string>* list : {&image.depends_on, &image.options.platforms}) {
    hash.update_number(list->size());
    for (const std::string& text : *list) hash.update_field(text);
  }
  return hex(hash.finish());
}

// Of one with files.
ContextDigests digests_of(const Observation& observation) {
  return {observation.files->snapshot.digest(), sha256(observation.dockerfile)};
}

// What was observed. (To ask again what the ref means could lead to another commit meanwhile.)
ResolvedRef commit_of(const Origin& origin) {
  return {origin.commit, origin.ref};
}

Platforms platforms_of(const ImageConfig& image, const std::string& host) {
  const auto& wished = image.options.platforms;
  return {wished.empty() ? host : wished.front(), host};
}

}  // namespace

bool ContextFiles::touched() const {
  if (checkout) return false;
  try {
    return touched_since(request, snapshot);
  } catch (const Error&) {
    return true;
  }
}

std::vector<Entry> ContextFiles::entries_of_all() const {
  TreeRequest all = request;
  all.reach = IgnoreRules();
  all.cache.clear();
  return read_tree(all).entries(all);
}

bool Observation::touched() const {
  return files->touched() || std::any_of(named.begin(), named.end(), [](const auto& one) {
           return one.files && one.files->touched();
         });
}

void Observation::drop_files() {
  files.reset();
  named.clear();
}

void Observation::drop_files(Remembered* remembered) {
  if (remembered != nullptr && files && files->checkout)
    remembered->keep_checkout(files->tree, std::move(files->checkout));
  drop_files();
}

// The images, looked at in their order; those from git by themselves, as they wait for others more
// than they compute.
class Observer::Ahead {
 public:
  Ahead(Observer& observer, const std::vector<std::size_t>& images, std::size_t git_jobs) {
    for (const std::size_t number : images) {
      const ImageConfig& image = observer.images_[number];
      auto& group = std::holds_alternative<GitSource>(image.source) ? from_git_ : directories_;
      places_[image.name] = {&group, group.images.size()};
      group.images.push_back(&image);
    }
    // The thread that takes them is one more.
    const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
    directories_.look(threads - 1, [&](const ImageConfig& image) {
      return observer.observe_directory(image, std::get<DirectorySource>(image.source));
    });
    const bool keep_files = from_git_.images.size() <= kMostCheckouts;
    from_git_.look(git_jobs, [&observer, keep_files](const ImageConfig& image) {
      auto seen = observer.observe_git(image, observer.absolute(std::get<GitSource>(image.source)));
      if (!keep_files) seen.drop_files(observer.remembered_);
      return seen;
    });
  }

  // nullopt: not looked at, or asked for before.
  std::optional<Observation> take(const ImageConfig& image) {
    const auto found = places_.find(image.name);
    if (found == places_.end()) return std::nullopt;
    const auto [group, number] = found->second;
    places_.erase(found);
    return group->looks->take(number);
  }

 private:
  // So many checked out trees may lie about until they are needed.
  static constexpr std::size_t kMostCheckouts = 4;

  struct Group {
    std::vector<const ImageConfig*> images;
    std::optional<LookAhead<Observation>> looks;

    void look(std::size_t threads, std::function<Observation(const ImageConfig&)> look_at) {
      looks.emplace(images.size(), images.size() < 2 ? 0 : threads,
                    [this, look_at = std::move(look_at)](std::size_t number) {
                      return look_at(*images[number]);
                    });
    }
  };

  std::unordered_map<std::string, std::pair<Group*, std::size_t>> places_;
  Group directories_;
  Group from_git_;
};

Observer::Observer(const Project& project, Look look)
    : images_(project.config.images),
      look_(look),
      host_(host_platform()),
      base_(project.base.lexically_normal()),
      cache_(project.places.cache),
      own_({project.places.cache, project.places.logs, project.places.sockets}),
      secrets_(base_, [&project] { return secret_key(project); }),
      kept_(cache_ / "contexts", state_key(project)),
      known_(cache_ / "contexts" / ("known-" + state_key(project)),
             project.places.cache.string() + '\n' + project.places.logs.string()),
      clock_({cache_}),
      git_jobs_(project.config.git.jobs),
      git_(cache_, project.config.git) {}

Observer::~Observer() {
  ahead_.reset();
  known_.save();
}

void Observer::ask_ahead(const std::vector<std::size_t>& images) {
  for (const std::size_t number : images) {
    const auto* source = std::get_if<GitSource>(&images_[number].source);
    if (source != nullptr && !known_ref(absolute(*source))) git_.want(absolute(*source));
  }
  git_.ask_ahead();
  if (look_ == Look::Inputs) known_.load_ahead();
}

void Observer::look_ahead(const std::vector<std::size_t>& images) {
  ahead_.reset();
  ahead_ = std::make_unique<Ahead>(*this, images, git_jobs_);
}

Observation Observer::make_observation(const ImageConfig& image, const ContextDigests& digests,
                                       std::string dockerfile) {
  auto links = find_links(dockerfile, image, platforms_of(image, host_));
  if (!links) {
    fail(describe(links.error(), !image.dockerfile_inline.empty() ? "dockerfile_inline"
                                 : image.dockerfile.empty()       ? "Dockerfile"
                                                                  : image.dockerfile));
  }
  return make_observation(image, digests, std::move(dockerfile), std::move(*links));
}

Observation Observer::make_observation(const ImageConfig& image, KnownContext known) {
  if (known.links_of != what_links_depend_on(image))
    return make_observation(image, known.digests, std::move(known.dockerfile));
  return make_observation(image, known.digests, std::move(known.dockerfile),
                          std::move(known.links));
}

Observation Observer::make_observation(const ImageConfig& image, const ContextDigests& digests,
                                       std::string dockerfile, std::vector<Link> links) {
  Observation observation;
  observation.context_digest = hex(digests.context);
  auto options = deciding_options(image.options);
  // (Of a directory, what is in it counts.)
  for (const auto& [name, value] : image.additional_contexts) {
    if (image_of_context(value)) options["additional_contexts"] += name + '=' + value + '\n';
  }
  observation.inputs =
      list_inputs({observation.context_digest, hex(digests.dockerfile), image.target, image.args,
                   image.labels, std::move(options), secrets_.digests(image.options.secrets)});
  observation.links = std::move(links);
  observation.dockerfile = std::move(dockerfile);
  if (look_ == Look::Inputs) look_at_named(observation);
  return observation;
}

// Each directory that the Dockerfile takes files from is an input of its own.
void Observer::look_at_named(Observation& observation) {
  std::map<std::string, std::string> directories;
  for (const Link& link : observation.links) {
    if (!link.directory.empty()) directories[link.written] = link.directory;
  }
  observation.named.clear();
  std::erase_if(observation.inputs, [](const Input& input) {
    return input.kind == InputKind::Context && !input.name.empty();
  });
  auto place = observation.inputs.begin() + (directories.empty() ? 0 : 1);
  for (const auto& [name, written] : directories) {
    NamedDirectory& named = observation.named.emplace_back();
    named.name = name;
    named.directory = path_of({written});
    named.files = read_named(named.directory);
    place = observation.inputs.insert(
                place, {InputKind::Context, name, hex(named.files->snapshot.digest())}) +
            1;
  }
}

// Looks once more, until a later write would show.
void Observer::settle_named(Observation& observation) {
  look_at_named(observation);
  bool waited = false;
  for (const NamedDirectory& named : observation.named)
    waited = wait_until_settled(named.files->request, named.files->snapshot) || waited;
  if (waited) look_at_named(observation);
}

std::unique_ptr<ContextFiles> Observer::read_named(const std::string& directory) {
  auto files = std::make_unique<ContextFiles>();
  files->request.root = directory;
  files->request.excluded = Store::file_names();
  struct stat root = {};
  if (stat(directory.c_str(), &root) == 0)
    files->request.excluded_paths = own_.inside(root.st_dev, root.st_ino);
  const std::string ignore = ignore_path("", directory);
  if (!ignore.empty()) files->request.rules = rules_of(ignore, ignore);
  files->ignore = engine_ignore(files->request.rules, files->request.excluded_paths);
  files->request.cache = stat_cache(cache_, directory, ignore, "");
  files->request.clock = &clock_;
  files->snapshot = read_tree(files->request);
  return files;
}

KnownContext Observer::known_context(const ImageConfig& image, const ContextDigests& digests,
                                     const Observation& observation) const {
  return {digests, observation.dockerfile, what_links_depend_on(image), observation.links};
}

GitSource Observer::absolute(GitSource source) const {
  if (source.local) source.remote = (base_ / source.remote).lexically_normal().string();
  return source;
}

Observation Observer::observe(const ImageConfig& image) {
  if (ahead_) {
    if (auto observation = ahead_->take(image)) return std::move(*observation);
  }
  if (const auto* source = std::get_if<GitSource>(&image.source))
    return observe_git(image, absolute(*source));
  return observe_directory(image, std::get<DirectorySource>(image.source));
}

std::string Observer::path_of(const DirectorySource& source) const {
  const std::string_view path = source.path;
  // (Most are plain; normalizing costs more than looking at a small directory.)
  constexpr std::string_view kSpecial = "./";
  if (!path.empty() && kSpecial.find(path.front()) == kSpecial.npos &&
      kSpecial.find(path.back()) == kSpecial.npos && path.find("//") == path.npos &&
      path.find("/.") == path.npos && base_.native().back() != '/') {
    return path_below(base_.native(), path);
  }
  return (base_ / path).lexically_normal().string();
}

const std::string* Observer::expected_reach(const ImageConfig& image) const {
  static const std::string kWhole;
  if (!image.narrow) return &kWhole;
  return last_reach_ ? last_reach_(image.name) : nullptr;
}

std::string Observer::platform_of(const ImageConfig& image) const {
  return platforms_of(image, host_).target;
}

Observation Observer::observe_directory(const ImageConfig& image, const DirectorySource& source) {
  if (auto known = recall_directory(image, source)) return std::move(*known);
  return look_at_directory(image, source, nullptr);
}

// nullopt: it is not as it was, or not known.
std::optional<Observation> Observer::recall_directory(const ImageConfig& image,
                                                      const DirectorySource& source) {
  const std::string* const reach = expected_reach(image);
  if (!image.dockerfile.empty() || !image.dockerfile_inline.empty() || reach == nullptr ||
      look_ == Look::Links) {
    return std::nullopt;
  }
  const std::string directory = path_of(source);
  auto known = known_.find(known_name(directory, *reach));
  if (!known) return std::nullopt;
  const auto begun = std::chrono::steady_clock::now();
  TreeRequest request;
  request.root = directory;
  request.excluded = Store::file_names();
  request.clock = &clock_;
  if (!reach->empty()) request.witnesses = witnesses();
  if (known->follows_links) {
    restrict_to(request, *reach);
  } else {
    restrict_to_names(request, *reach);
  }
  if (touched_since(request, known->stamp)) return std::nullopt;
  Observation observation = make_observation(image, std::move(known->context));
  observation.named.clear();  // as there are no files
  observation.reach = *reach;
  observation.origin.source = "directory " + directory;
  observation.begun = begun;
  return observation;
}

Observation Observer::look_at_directory(const ImageConfig& image, const DirectorySource& source,
                                        const std::string* reach) {
  const auto begun = std::chrono::steady_clock::now();
  const std::string directory = path_of(source);
  Observation observation = read_context(image, directory, false, reach);
  remember(image, directory, observation);
  observation.origin.source = "directory " + directory;
  observation.begun = begun;
  return observation;
}

bool Observer::is_seen(const fs::path& directory, const ImageConfig& image) const {
  const auto* source = std::get_if<DirectorySource>(&image.source);
  if (source == nullptr) return false;
  std::error_code ignored;
  const fs::path context = fs::weakly_canonical(path_of(*source), ignored);
  const fs::path below = fs::weakly_canonical(directory, ignored);
  return below != context && is_within(context, below);
}

void Observer::observe_again(const ImageConfig& image, Observation& observation,
                             std::chrono::steady_clock::time_point since) {
  const auto* source = std::get_if<DirectorySource>(&image.source);
  if (source != nullptr) {
    const std::string reach = observation.reach;
    if (!observation.files) observation = look_at_directory(image, *source, &reach);
    bool again = observation.begun < since;
    // (A second time is enough: what is written over and over is never settled.)
    for (int i = 0; i < 2; ++i) {
      const ContextFiles& seen = *observation.files;
      if (!wait_until_settled(seen.request, seen.snapshot) && !again) break;
      again = false;
      observation = look_at_directory(image, *source, &reach);
    }
  }
  settle_named(observation);
}

// By which name a git tree is known. What is written in the place of submodules and of pointers
// depends on files above a subdirectory, too.
std::string Observer::name_of_tree(const GitSource& source, const ResolvedRef& at,
                                   const std::string& tree) {
  if (!source.submodules && !source.lfs) return tree;
  GitSource root = source;
  root.subdir.clear();
  return fmt::format("{} of {}{}{} in {}", tree, git_.tree(root, at),
                     source.submodules ? " with submodules" : "",
                     source.lfs ? " with large files" : "", source.subdir);
}

std::optional<Remembered::Ref> Observer::known_ref(const GitSource& source) const {
  if (remembered_ == nullptr) return std::nullopt;
  return remembered_->ref(source, ask_anew_ ? Remembered::kJustNow : Remembered::kAnyAge);
}

// One answer for all images of a run, whatever becomes known meanwhile.
ResolvedRef Observer::resolve(const GitSource& source) {
  if (remembered_ == nullptr) return git_.resolve(source);
  const std::string key = source.remote + '\0' + source.ref + '\0' + source.checksum;
  {
    const std::lock_guard lock(resolved_mutex_);
    if (const auto known = resolved_.find(key); known != resolved_.end()) return known->second;
  }
  const ResolvedRef at = resolve_now(source);
  const std::lock_guard lock(resolved_mutex_);
  return resolved_.emplace(key, at).first->second;
}

ResolvedRef Observer::resolve_now(const GitSource& source) {
  if (const auto known = known_ref(source)) {
    if (!known->failure.empty()) fail(known->failure);
    return known->at;
  }
  try {
    ResolvedRef at = git_.resolve(source);
    remembered_->keep(source, {at, ""}, asking_);
    return at;
  } catch (const Error& error) {
    if (error.kind() == Error::Kind::Source) remembered_->keep(source, {{}, error.what()}, asking_);
    throw;
  }
}

Observation Observer::observe_git(const ImageConfig& image, const GitSource& source) {
  const ResolvedRef at = resolve(source);
  const std::string tree = git_.tree(source, at);
  const std::string known_tree = name_of_tree(source, at, tree);
  const std::string dockerfile = dockerfile_key(image);
  // (What an image is built from is the same whatever counts of its context.)
  static const std::string kLinks = "links";
  const std::string* const reach = look_ == Look::Links ? &kLinks : expected_reach(image);
  Observation observation;
  std::optional<KnownContext> known;
  if (reach != nullptr) known = KnownTree(cache_, known_tree, dockerfile, *reach).find();
  if (known) {
    observation = make_observation(image, *std::move(known));
    observation.named.clear();  // as there are no files
    observation.reach = *reach;
  } else {
    observation = check_out(image, source, at, tree, nullptr);
    if (look_ == Look::Links) {
      KnownTree(cache_, known_tree, dockerfile, kLinks)
          .remember(known_context(image, {}, observation));
    } else {
      KnownTree(cache_, known_tree, dockerfile, observation.reach)
          .remember(known_context(image, digests_of(observation), observation));
    }
  }
  observation.origin = {"git " + describe(Source(source)) + " at " + at.commit, at.commit, tree,
                        at.branch.empty() ? at.ref : at.branch};
  return observation;
}

const ContextFiles& Observer::files(const ImageConfig& image, Observation& observation) {
  if (const auto* directory = std::get_if<DirectorySource>(&image.source);
      directory != nullptr && !observation.files) {
    const std::string reach = observation.reach;
    observation = look_at_directory(image, *directory, &reach);
  }
  if (!observation.files) {
    const GitSource source = absolute(std::get<GitSource>(image.source));
    const std::string reach = observation.reach;
    Observation whole =
        check_out(image, source, commit_of(observation.origin), observation.origin.tree, &reach);
    observation.files = std::move(whole.files);
    if (observation.named.empty()) observation.named = std::move(whole.named);
  }
  return *observation.files;
}

void Observer::name_changes(const ImageConfig& image, Observation& observation,
                            const std::string& before, Verdict& verdict) {
  for (Reason& reason : verdict.reasons) {
    if (reason.kind != ReasonKind::InputChanged || reason.input != InputKind::Context ||
        !reason.name.empty()) {
      continue;
    }
    const auto kept = kept_.find(before);
    if (!kept) return;
    if (auto changes = changes_since(*kept, before, files(image, observation).snapshot))
      reason.changes = std::move(*changes);
  }
}

void Observer::keep(const Observation& observation) const {
  if (observation.files) kept_.keep(observation.context_digest, observation.files->snapshot);
}

std::optional<Link> Observer::base_of(const ImageConfig& image,
                                      const Observation& observation) const {
  return base_of_target(observation.dockerfile, image, platforms_of(image, host_));
}

std::string Observer::time_of_commit(const ImageConfig& image, const Observation& observation) {
  if (observation.origin.commit.empty()) return "";
  return git_.commit_time(absolute(std::get<GitSource>(image.source)),
                          commit_of(observation.origin));
}

GitCommits Observer::commits_since(const ImageConfig& image, const Observation& observation,
                                   const std::string& before) {
  return git_.commits_between(absolute(std::get<GitSource>(image.source)), before,
                              observation.origin.commit);
}

// The next look at it need not go into its files.
void Observer::remember(const ImageConfig& image, const std::string& directory,
                        const Observation& observation) {
  if (!observation.files || !observation.files->self_contained) return;
  const ContextFiles& files = *observation.files;
  auto stamp = files.snapshot.stamp();
  const ContextDigests digests = digests_of(observation);
  const std::string& reach = observation.reach;
  // (It was read before the directory was looked at.)
  const bool has_dockerfile =
      stamp && (reach.empty() ? files.snapshot.content_of("Dockerfile") == digests.dockerfile
                              : add_dockerfile(*stamp, directory, observation.dockerfile, clock_));
  if (!has_dockerfile) return;
  known_.remember(known_name(directory, reach), {*stamp, known_context(image, digests, observation),
                                                 must_follow_links(directory, reach)});
}

void Observer::add_watched(const ImageConfig& image, WatchedPaths& all) const {
  // `dockerfile`: gives the path of the one beside which its ignore file can be.
  const auto add_tree = [&](const std::string& root, const auto& dockerfile) {
    WatchedTree tree{root, {}};
    all.files.push_back(fs::path(root) / ".dockerignore");
    try {
      if (const std::string ignore = ignore_path(dockerfile(), root); !ignore.empty()) {
        all.files.emplace_back(ignore);
        tree.rules = rules_of(ignore, ignore);
      }
    } catch (const Error&) {
      // (All of it, then. What is wrong is told by the look.)
    }
    all.trees.push_back(std::move(tree));
  };
  const auto no_dockerfile = [] { return std::string(); };
  if (const auto* source = std::get_if<DirectorySource>(&image.source)) {
    const std::string context = path_of(*source);
    if (!image.dockerfile_inline.empty()) {
      add_tree(context, no_dockerfile);
    } else {
      const fs::path root = context;
      const std::vector<std::string> names =
          image.dockerfile.empty() ? std::vector<std::string>{"Dockerfile", "dockerfile"}
                                   : std::vector<std::string>{image.dockerfile};
      for (const std::string& name : names) {
        all.files.push_back(root / name);
        all.files.push_back(root / (name + ".dockerignore"));
      }
      add_tree(context, [&] { return dockerfile_path(image, context); });
    }
  } else if (const GitSource git = absolute(std::get<GitSource>(image.source)); git.local) {
    // Where its refs are, of a checkout or a bare repository.
    for (const fs::path& root : {fs::path(git.remote) / ".git", fs::path(git.remote)}) {
      std::error_code ignored;
      if (!fs::is_directory(root / "refs", ignored)) continue;
      all.trees.push_back({root / "refs", {}});
      all.files.push_back(root / "HEAD");
      all.files.push_back(root / "packed-refs");
      break;
    }
  }
  for (const auto& [name, value] : image.additional_contexts) {
    if (!directory_of_context(value)) continue;
    add_tree(path_of({value}), no_dockerfile);
  }
  for (const Secret& secret : image.options.secrets) {
    if (!secret.file.empty()) all.files.push_back(base_ / secret.file);
  }
}

void Observer::forget(const std::string& context_digest) const {
  kept_.forget(context_digest);
}

// `confined`: it comes from a repository, and nothing may lead out of it; then nothing is kept of
// it.
Observation Observer::read_context(const ImageConfig& image, const std::string& context,
                                   bool confined, const std::string* reach) {
  auto files = std::make_unique<ContextFiles>();
  files->request.root = context;
  files->request.excluded = Store::file_names();
  struct stat root = {};
  if (stat(context.c_str(), &root) != 0 || !S_ISDIR(root.st_mode)) {
    // The walk says it better: missing, no directory, a loop of symlinks.
    read_tree(files->request);
  }
  if (!confined) files->request.excluded_paths = own_.inside(root.st_dev, root.st_ino);
  const bool is_inline = !image.dockerfile_inline.empty();
  const std::string dockerfile = is_inline ? "" : dockerfile_path(image, context);
  std::string text = is_inline
                         ? image.dockerfile_inline
                         : read_file(confined ? inside(context, dockerfile) : fs::path(dockerfile));
  const std::string ignore = ignore_path(dockerfile, context);
  if (!ignore.empty()) {
    files->request.rules = rules_of(confined ? inside(context, ignore) : fs::path(ignore), ignore);
  }
  if (look_ == Look::Links) return make_observation(image, {}, std::move(text));
  if (reach == nullptr) reach = expected_reach(image);
  std::string counts;
  if (reach != nullptr) {
    counts = *reach;
  } else {
    const BaseImages nothing_is_known = [](const Link&) { return std::nullopt; };
    counts = find_reach(text, image, platforms_of(image, host_), nothing_is_known).text;
  }
  restrict_to(files->request, counts);
  files->ignore = engine_ignore(files->request.rules, files->request.excluded_paths);
  if (!confined) {
    files->request.cache = stat_cache(cache_, context, ignore, counts);
    files->request.clock = &clock_;
  }
  files->snapshot = read_tree(files->request);
  files->self_contained = !confined && ignore.empty() && files->request.excluded_paths.empty() &&
                          dockerfile == context + "/Dockerfile" && is_small(files->snapshot);
  const ContextDigests digests = {files->snapshot.digest(), sha256(text)};
  Observation observation = make_observation(image, digests, std::move(text));
  observation.reach = std::move(counts);
  observation.files = std::move(files);
  return observation;
}

void Observer::look_again(const ImageConfig& image, Observation& observation,
                          const std::string& reach) {
  if (const auto* source = std::get_if<DirectorySource>(&image.source)) {
    observation = look_at_directory(image, *source, &reach);
    const ContextFiles& seen = *observation.files;
    if (wait_until_settled(seen.request, seen.snapshot))
      observation = look_at_directory(image, *source, &reach);
    settle_named(observation);
    return;
  }
  files(image, observation);
  auto checkout = std::move(observation.files->checkout);
  const std::string tree = observation.files->tree;
  Origin origin = std::move(observation.origin);
  observation = read_context(image, observation.files->request.root, true, &reach);
  observation.files->checkout = std::move(checkout);
  observation.files->tree = tree;
  observation.origin = std::move(origin);
  KnownTree(cache_, tree, dockerfile_key(image), reach)
      .remember(known_context(image, digests_of(observation), observation));
}

Reach Observer::narrow(const ImageConfig& image, Observation& observation,
                       const BaseImages& bases) {
  constexpr int kMostLooks = 3;
  for (int i = 0; i < kMostLooks; ++i) {
    Reach reach;
    if (image.narrow)
      reach = find_reach(observation.dockerfile, image, platforms_of(image, host_), bases);
    if (reach.text == observation.reach) return reach;
    // (The Dockerfile may have been changed meanwhile.)
    look_again(image, observation, reach.text);
  }
  look_again(image, observation, "");
  return {"", "its Dockerfile changes all the time"};
}

void Observer::narrow_afterwards(const ImageConfig& image, Observation& observation,
                                 const BaseImages& bases) {
  const Reach reach = find_reach(observation.dockerfile, image, platforms_of(image, host_), bases);
  if (reach.text.empty() || !observation.files) return;
  const ContextFiles& built = *observation.files;
  const auto paths = with_links_followed(built.request.root, reach_paths(reach.text));
  const std::string digest = hex(context_digest(reached(built.entries(), rules_for(paths))));
  std::vector<Input> inputs = observation.inputs;
  for (Input& input : inputs) {
    if (input.kind == InputKind::Context && input.name.empty()) input.digest = digest;
  }
  const std::vector<Link> links = observation.links;
  look_again(image, observation, reach.text);
  if (observation.inputs == inputs) return;
  // It was changed since: what was built is known, but not its files any more.
  observation.inputs = std::move(inputs);
  observation.context_digest = digest;
  observation.links = links;
  observation.drop_files();
}

Observation Observer::check_out(const ImageConfig& image, const GitSource& source,
                                const ResolvedRef& at, const std::string& tree,
                                const std::string* reach) {
  if (fs::path(image.dockerfile).is_absolute()) {
    fail("the Dockerfile of a git source cannot be an absolute path ('" + image.dockerfile + "')");
  }
  const std::string name = name_of_tree(source, at, tree);
  std::unique_ptr<ScratchDirectory> checkout;
  if (remembered_ != nullptr) checkout = remembered_->take_checkout(name);
  if (!checkout) checkout = written_tree(source, at, tree);
  Observation observation = read_context(image, directory_in(*checkout).string(), true, reach);
  if (observation.files) {
    observation.files->checkout = std::move(checkout);
    observation.files->tree = name;
  }
  return observation;
}

std::unique_ptr<ScratchDirectory> Observer::written_tree(const GitSource& source,
                                                         const ResolvedRef& at,
                                                         const std::string& tree) {
  const auto make_directory = [](const ScratchDirectory& scratch) {
    fs::path directory = directory_in(scratch);
    std::error_code error;
    fs::create_directory(directory, error);
    if (error) fail(with_errno("cannot make '" + directory.string() + "'", error.value()));
    return directory;
  };
  std::unique_ptr<ScratchDirectory> checkout;
  fs::path directory;
  // Thousands of small files are made, read and removed in a fraction of the time a disk takes.
  // (One after the other, as each takes of what the one before has left.)
  static std::mutex writing;
  if (const std::unique_lock lock(writing, std::try_to_lock); lock) {
    if (const auto memory = scratch_memory()) {
      try {
        checkout = std::make_unique<ScratchDirectory>(memory->parent);
        directory = make_directory(*checkout);
      } catch (const Error&) {
        checkout.reset();  // no room after all
      }
      if (checkout && !git_.write_tree(source, at, tree, directory, memory->most_bytes))
        checkout.reset();
    }
  }
  if (!checkout) {
    checkout = std::make_unique<ScratchDirectory>(cache_ / "checkouts");
    directory = make_directory(*checkout);
    git_.write_tree(source, at, tree, directory);
  }
  return checkout;
}

std::string Observer::with_references(const ImageConfig& image, const std::string& dockerfile,
                                      const References& references) const {
  return imagewright::with_references(dockerfile, image, platforms_of(image, host_), references);
}

std::vector<std::size_t> named_images(const std::vector<ImageConfig>& images,
                                      const std::vector<std::string>& names) {
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (std::find(names.begin(), names.end(), images[i].name) != names.end()) numbers.push_back(i);
  }
  return numbers;
}

std::vector<std::size_t> select_images(const std::vector<ImageConfig>& images,
                                       const std::vector<std::string>& globs) {
  std::vector<bool> selected(images.size(), globs.empty());
  for (const std::string& glob : globs) {
    bool found = false;
    std::vector<std::string> names;
    const auto wanted = parse_reference(glob);  // what is no glob may be another spelling of a name
    for (std::size_t i = 0; i < images.size(); ++i) {
      const std::string& name = images[i].name;
      const auto reference = parse_reference(name);
      names.push_back(name);
      std::vector<std::string> spellings = {name};
      if (const std::string& index = images[i].index; !index.empty()) {
        spellings.push_back(index);
        const auto its = parse_reference(index);
        spellings.push_back(its->repository);
        spellings.push_back(normalized(*its));
        if (wanted && normalized(*its) == normalized(*wanted)) selected[i] = found = true;
      }
      if (reference) {
        spellings.push_back(reference->repository);
        spellings.push_back(normalized(*reference));
        if (reference->tag.empty()) spellings.push_back(name + ":latest");
        if (wanted && normalized(*wanted) == normalized(*reference)) selected[i] = found = true;
      }
      for (const std::string& spelling : spellings) {
        if (fnmatch(glob.c_str(), spelling.c_str(), 0) == 0) selected[i] = found = true;
      }
    }
    if (!found) {
      throw Error(Error::Kind::Usage, "no image of the configuration matches '" + glob + "'" +
                                          did_you_mean(glob, names));
    }
  }
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (selected[i]) result.push_back(i);
  }
  return result;
}

}  // namespace imagewright
