#include "cli/project.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "cli/import_command.h"
#include "core/digest.h"
#include "core/platform_images.h"
#include "core/reference.h"
#include "core/suggest.h"
#include "io/environment.h"
#include "io/error.h"
#include "io/fd.h"
#include "io/host_platform.h"
#include "io/memo_file.h"
#include "service/fleet_engine.h"

namespace imagewright {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& message) {
  throw Error(Error::Kind::Usage, message);
}

[[noreturn]] void cannot_read(const Options& options, int error) {
  std::string message = with_errno("cannot read the configuration '" + options.config + "'", error);
  std::error_code ignored;
  if (error == ENOENT && fs::is_regular_file(options.image, ignored)) {
    message +=
        "; '" + options.image + "' was taken for the image: the configuration comes behind it";
  } else if (error == ENOENT && options.original_form) {
    message += did_you_mean(options.config, command_words());
  } else if (error == ENOENT && options.config == Options().config) {
    message += "; name another one behind the command";
  }
  fail(message);
}

// A long configuration as it was read the last time, in a file a configuration.
tl::expected<Yaml, ParseError> read_with_memo(const std::string& text, const fs::path& path) {
  constexpr std::size_t kShort = 4096;
  if (text.size() < kShort) return read_yaml(text);
  const MemoFile memo(path, text);
  if (const auto packed = memo.recall()) {
    if (auto yaml = Yaml::unpacked(*packed)) return std::move(*yaml);
  }
  auto yaml = read_yaml(text);
  if (yaml) memo.remember(yaml->packed());
  return yaml;
}

}  // namespace

// No more of it than a configuration may be long: it could grow without end.
std::string read_configuration(const Options& options) {
  const bool is_input = options.command == CommandName::Import && options.config == "-";
  const Fd fd(is_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                       : open(options.config.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) cannot_read(options, errno);
  struct stat status = {};
  if (!is_input && fstat(fd.get(), &status) == 0 && !S_ISREG(status.st_mode)) {
    fail("the configuration '" + options.config + "' is " +
         (S_ISDIR(status.st_mode) ? "a directory" : "not a file"));
  }
  std::string text;
  while (text.size() <= kMaxConfigBytes) {
    std::array<char, 16384> bytes;
    const ssize_t got = read(fd.get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(options, errno);
    if (got == 0) break;
    text.append(bytes.data(), static_cast<std::size_t>(got));
  }
  return text;
}

Project locate_project(const Options& options) {
  Project project;
  std::error_code error;
  project.config_path = fs::canonical(options.config, error);
  project.places = Places::find();
  const fs::path working_directory = fs::current_path(error);
  if (error) fail(with_errno("cannot tell the working directory", error.value()));
  project.base =
      options.original_form ? working_directory : fs::absolute(options.config).parent_path();
  project.state_directory =
      options.state_directory.empty() ? project.base : fs::absolute(options.state_directory);
  project.database = options.database;
  return project;
}

Project load_project(const Options& options) {
  std::string text = read_configuration(options);
  Project project = locate_project(options);
  auto imported = import_text(text, options.config, "");
  if (imported && imported->images == 0) fail(imported->warnings.back());
  if (imported) {
    text = std::move(imported->yaml);
    project.warnings = std::move(imported->warnings);
  }
  auto yaml = read_with_memo(text, project.places.cache / "configs" /
                                       hex(sha256(project.config_path.string())).substr(0, 32));
  if (!yaml) fail(describe(yaml.error(), options.config));
  auto config = parse_config(*yaml, variable_if_set,
                             {options.platform, host_platform(), options.constraints});
  // (The lines of what was made of it are nobody's.)
  if (!config && imported) fail(options.config + ": " + config.error().message);
  if (!config) fail(describe(config.error(), options.config));
  // (That one shows what the file says.)
  if (options.command != CommandName::Config) {
    auto images = one_for_each_platform(std::move(config->images), host_platform());
    if (!images && imported) fail(options.config + ": " + images.error().message);
    if (!images) fail(describe(images.error(), options.config));
    config->images = *std::move(images);
  }
  project.config = std::move(*config);
  if (options.git_jobs > 0) project.config.git.jobs = static_cast<std::size_t>(options.git_jobs);
  return project;
}

const ImageConfig& find_image(const Project& project, const std::string& name) {
  std::vector<std::string> names;
  for (const ImageConfig& image : project.config.images) {
    if (image.name == name) return image;
    names.push_back(image.name);
  }
  // Any spelling of the same reference, then the name without its tag.
  const auto wanted = parse_reference(name);
  for (const ImageConfig& image : project.config.images) {
    const auto reference = parse_reference(image.name);
    if (wanted && reference && normalized(*reference) == normalized(*wanted)) return image;
  }
  for (const ImageConfig& image : project.config.images) {  // of an index, the one that leads it
    const auto reference = parse_reference(image.index);
    if (image.leads_index &&
        (image.index == name || (wanted && normalized(*reference) == normalized(*wanted))))
      return image;
  }
  for (const ImageConfig& image : project.config.images) {
    if (image.leads_index && parse_reference(image.index)->repository == name) return image;
  }
  for (const ImageConfig& image : project.config.images) {
    const auto reference = parse_reference(image.name);
    if (reference && reference->repository == name) return image;
  }
  for (const LeftOut& image : project.config.left_out) {
    const auto reference = parse_reference(image.name);
    if (image.name == name ||
        (wanted && reference && normalized(*reference) == normalized(*wanted)))
      fail("the image '" + name + "' is left out here: " + image.why);
  }
  fail("there is no image '" + name + "' in " + project.config_path.string() +
       did_you_mean(name, names));
}

RunOptions looking_options(const Options& options, const Project& project) {
  RunOptions run = options.run;
  run.is_last = true;
  if (run.engine.empty()) run.make_engine = fleet_engine_of(project, run.push);
  return run;
}

}  // namespace imagewright
