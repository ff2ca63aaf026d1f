#include "run/observe.h"

#include <fnmatch.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "core/reference.h"
#include "core/suggest.h"
#include "io/error.h"
#include "io/store.h"
#include "run/look_ahead.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) {
  throw Error(Error::Kind::Source, message);
}

// A symlink that leads nowhere is there: what reads it says so. What cannot be looked at is an
// error.
bool is_there(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  if (type == fs::file_type::none)
    fail(with_errno("cannot read '" + path.string() + "'", error.value()));
  return type != fs::file_type::not_found;
}

// A path from a repository, with all symlinks followed, must still be inside what was checked out.
fs::path inside(const fs::path& checkout, const fs::path& path) {
  std::error_code error;
  const fs::path root = fs::canonical(checkout, error);
  const fs::path real = fs::weakly_canonical(path, error);
  const auto [end, ignored] = std::mismatch(root.begin(), root.end(), real.begin(), real.end());
  if (error || end != root.end()) {
    fail("'" + path.lexically_relative(checkout).string() +
         "' leads out of the repository's directory");
  }
  return real;
}

fs::path dockerfile_path(const ImageConfig& image, const fs::path& context) {
  if (!image.dockerfile.empty()) {
    const fs::path path = context / image.dockerfile;
    if (!is_there(path))
      fail("the Dockerfile '" + path.lexically_normal().string() + "' does not exist");
    return path;
  }
  for (const char* name : {"Dockerfile", "dockerfile"}) {
    if (is_there(context / name)) return context / name;
  }
  fail("there is no Dockerfile in '" + context.string() + "'");
}

// The ignore file beside the Dockerfile wins over the context's; they are not merged.
std::optional<fs::path> ignore_path(const fs::path& dockerfile, const fs::path& context) {
  for (const fs::path& path :
       {fs::path(dockerfile.string() + ".dockerignore"), context / ".dockerignore"}) {
    if (is_there(path)) return path;
  }
  return std::nullopt;
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

// Which of our own directories lie in the context (the home directory can be one): their paths in
// it.
std::vector<std::string> paths_inside(const fs::path& context,
                                      const std::vector<fs::path>& directories) {
  std::vector<std::string> paths;
  std::error_code error;
  const fs::path root = fs::weakly_canonical(context, error);
  for (const fs::path& directory : directories) {
    const fs::path path = fs::weakly_canonical(directory, error).lexically_relative(root);
    if (!path.empty() && path != "." && *path.begin() != "..") paths.push_back(path.string());
  }
  return paths;
}

// Reads a Dockerfile or an ignore file. A FIFO would give nothing, a device no end.
std::string read_text(const fs::path& path) {
  std::error_code error;
  if (fs::is_other(path, error)) {
    fail("'" + path.string() + "' is a FIFO, a socket or a device, not a file");
  }
  return read_file(path);
}

// Where what is known of a context's files is kept. One for each ignore file that a directory is
// read with: images that differ in it do not drive out each other's.
fs::path stat_cache(const fs::path& cache, const fs::path& context,
                    const std::optional<fs::path>& ignore) {
  Sha256 key;
  key.update_field("imagewright context");
  key.update_field(context.string());
  key.update_field(ignore ? ignore->string() : "");
  return cache / "contexts" / hex(key.finish()).substr(0, 32);
}

// Reads a context. `confined`: it comes from a repository, and nothing may lead out of it; then
// nothing is kept of it, else in `cache`.
std::unique_ptr<ContextFiles> read_context(const ImageConfig& image, const fs::path& context,
                                           bool confined, const std::vector<fs::path>& own,
                                           const fs::path& cache, FileClock& clock) {
  auto files = std::make_unique<ContextFiles>();
  files->request.root = context;
  files->request.excluded = Store::file_names();
  files->request.excluded_paths = paths_inside(context, own);
  std::error_code error;
  if (!fs::is_directory(context, error)) {
    // The walk says it better: missing, no directory, a loop of symlinks.
    read_tree(files->request);
  }
  const fs::path dockerfile = dockerfile_path(image, context);
  files->dockerfile = read_text(confined ? inside(context, dockerfile) : dockerfile);
  const auto ignore = ignore_path(dockerfile, context);
  if (const auto& path = ignore) {
    auto rules = IgnoreRules::parse(read_text(confined ? inside(context, *path) : *path));
    if (!rules) fail(describe(rules.error(), path->string()));
    files->request.rules = std::move(*rules);
  }
  files->ignore = engine_ignore(files->request.rules, files->request.excluded_paths);
  if (!confined) {
    files->request.cache = stat_cache(cache, context, ignore);
    files->request.clock = &clock;
  }
  files->snapshot = read_tree(files->request);
  return files;
}

// The digests of a context from git, remembered by tree: the same tree under the same rules is the
// same context.
struct KnownTree {
  std::string context_digest;
  std::string dockerfile_digest;
};

class KnownTrees {
 public:
  KnownTrees(const fs::path& cache, const std::string& tree, const std::string& dockerfile) {
    Sha256 key;
    key.update_field("imagewright tree");
    key.update_number(kFingerprintFormat);
    key.update_field(tree);
    key.update_field(dockerfile);
    key_ = hex(key.finish());
    path_ = cache / "trees" / key_;
  }

  std::optional<KnownTree> find() const {
    std::ifstream file(path_);
    KnownTree known;
    std::string check;
    if (!(file >> known.context_digest >> known.dockerfile_digest >> check)) return std::nullopt;
    if (check != check_of(known)) return std::nullopt;
    return known;
  }

  void remember(const KnownTree& known) const {
    try {
      fs::create_directories(path_.parent_path());
      write_file(path_, known.context_digest + "\n" + known.dockerfile_digest + "\n" +
                            check_of(known) + "\n");
    } catch (const std::exception&) {
      // A cache that cannot be written costs time, nothing else.
    }
  }

 private:
  std::string check_of(const KnownTree& known) const {
    return hex(sha256(key_ + known.context_digest + known.dockerfile_digest));
  }

  std::string key_;
  fs::path path_;
};

Observation make_observation(const ImageConfig& image, const KnownTree& digests) {
  Observation observation;
  observation.context_digest = digests.context_digest;
  observation.manifest = make_manifest(
      {digests.context_digest, digests.dockerfile_digest, image.target, image.args, image.labels});
  return observation;
}

KnownTree digests_of(const ContextFiles& files) {
  return {hex(files.snapshot.digest()), hex(sha256(files.dockerfile))};
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

// The directories among the images, looked at in their order.
class Observer::Ahead {
 public:
  explicit Ahead(Observer& observer) {
    for (const ImageConfig& image : observer.images_) {
      if (!std::holds_alternative<DirectorySource>(image.source)) continue;
      numbers_[image.name] = images_.size();
      images_.push_back(&image);
    }
    // The thread that takes them is one more.
    const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
    looks_.emplace(images_.size(), images_.size() < 2 ? 0 : threads - 1, [&](std::size_t number) {
      const ImageConfig& image = *images_[number];
      return observer.observe_directory(image, std::get<DirectorySource>(image.source));
    });
  }

  // nullopt: not looked at, or asked for before.
  std::optional<Observation> take(const ImageConfig& image) {
    const auto found = numbers_.find(image.name);
    if (found == numbers_.end()) return std::nullopt;
    const std::size_t number = found->second;
    numbers_.erase(found);
    return looks_->take(number);
  }

 private:
  std::unordered_map<std::string, std::size_t> numbers_;
  std::vector<const ImageConfig*> images_;
  std::optional<LookAhead<Observation>> looks_;
};

Observer::Observer(const std::vector<ImageConfig>& images, const Project& project)
    : images_(images),
      base_(project.base),
      cache_(project.places.cache),
      logs_(project.places.logs),
      kept_(cache_ / "contexts", project.state_directory),
      clock_({cache_}),
      git_(cache_) {
  for (const ImageConfig& image : images) {
    if (const auto* source = std::get_if<GitSource>(&image.source)) git_.want(absolute(*source));
  }
}

Observer::~Observer() = default;

void Observer::look_ahead() {
  git_.ask_ahead();
  ahead_ = std::make_unique<Ahead>(*this);
}

GitSource Observer::absolute(GitSource source) const {
  if (source.local) source.remote = (base_ / source.remote).lexically_normal().string();
  return source;
}

Observation Observer::observe(const ImageConfig& image) {
  if (const auto* source = std::get_if<GitSource>(&image.source))
    return observe_git(image, absolute(*source));
  if (ahead_) {
    if (auto observation = ahead_->take(image)) return std::move(*observation);
  }
  return observe_directory(image, std::get<DirectorySource>(image.source));
}

Observation Observer::observe_directory(const ImageConfig& image, const DirectorySource& source) {
  const auto begun = std::chrono::steady_clock::now();
  const fs::path directory = (base_ / source.path).lexically_normal();
  auto files = read_context(image, directory, false, {cache_, logs_}, cache_, clock_);
  Observation observation = make_observation(image, digests_of(*files));
  observation.source = "directory " + directory.string();
  observation.begun = begun;
  observation.files = std::move(files);
  return observation;
}

bool Observer::observe_again(const ImageConfig& image, Observation& observation,
                             std::chrono::steady_clock::time_point since) {
  const auto* source = std::get_if<DirectorySource>(&image.source);
  if (source == nullptr || !observation.files) return false;
  bool again = observation.begun < since;
  // (A second time is enough: what is written over and over is never settled.)
  for (int i = 0; i < 2; ++i) {
    const bool waited = wait_until_settled(observation.files->request, observation.files->snapshot);
    if (!waited && !again) return i > 0;
    again = false;
    observation = observe_directory(image, *source);
  }
  return true;
}

Observation Observer::observe_git(const ImageConfig& image, const GitSource& source) {
  const ResolvedRef at = git_.resolve(source);
  const std::string tree = git_.tree(source, at);
  const KnownTrees trees(cache_, tree, image.dockerfile);
  Observation observation;
  if (const auto known = trees.find()) {
    observation = make_observation(image, *known);
  } else {
    auto files = check_out(image, source, tree);
    const KnownTree digests = digests_of(*files);
    trees.remember(digests);
    observation = make_observation(image, digests);
    observation.files = std::move(files);
  }
  observation.source = "git " + describe(Source(source)) + " at " + at.commit;
  return observation;
}

const ContextFiles& Observer::files(const ImageConfig& image, Observation& observation) {
  if (!observation.files) {
    const GitSource source = absolute(std::get<GitSource>(image.source));
    observation.files = check_out(image, source, git_.tree(source, git_.resolve(source)));
  }
  return *observation.files;
}

void Observer::name_changes(const ImageConfig& image, Observation& observation,
                            const std::string& before, Verdict& verdict) {
  for (Reason& reason : verdict.reasons) {
    if (reason.kind != ReasonKind::InputChanged || reason.input != InputKind::Context) continue;
    if (!kept_.has(before)) return;
    if (auto changes = kept_.changes_since(before, files(image, observation).snapshot))
      reason.changes = std::move(*changes);
  }
}

void Observer::keep(const Observation& observation) const {
  if (observation.files) kept_.keep(observation.context_digest, observation.files->snapshot);
}

void Observer::forget(const std::string& context_digest) const {
  kept_.forget(context_digest);
}

std::unique_ptr<ContextFiles> Observer::check_out(const ImageConfig& image, const GitSource& source,
                                                  const std::string& tree) {
  if (fs::path(image.dockerfile).is_absolute()) {
    fail("the Dockerfile of a git source cannot be an absolute path ('" + image.dockerfile + "')");
  }
  auto checkout = std::make_unique<ScratchDirectory>(cache_ / "checkouts");
  // Its own directory below: the scratch directory's private mode is not the context's.
  const fs::path directory = checkout->path() / "tree";
  std::error_code error;
  fs::create_directory(directory, error);
  if (error) fail(with_errno("cannot make '" + directory.string() + "'", error.value()));
  git_.write_tree(source, tree, directory);
  auto files = read_context(image, directory, true, {}, {}, clock_);
  files->checkout = std::move(checkout);
  return files;
}

std::vector<ImageConfig> select_images(const std::vector<ImageConfig>& images,
                                       const std::vector<std::string>& globs) {
  if (globs.empty()) return images;
  std::vector<bool> selected(images.size());
  for (const std::string& glob : globs) {
    bool found = false;
    std::vector<std::string> names;
    const auto wanted = parse_reference(glob);  // what is no glob may be another spelling of a name
    for (std::size_t i = 0; i < images.size(); ++i) {
      const std::string& name = images[i].name;
      const auto reference = parse_reference(name);
      names.push_back(name);
      std::vector<std::string> spellings = {name};
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
  std::vector<ImageConfig> result;
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (selected[i]) result.push_back(images[i]);
  }
  return result;
}

}  // namespace imagewright
