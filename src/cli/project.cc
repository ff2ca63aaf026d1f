#include "cli/project.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "core/reference.h"
#include "core/suggest.h"
#include "io/error.h"
#include "io/fd.h"

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
    message += did_you_mean(options.config, {"build", "status", "context", "config", "log"});
  } else if (error == ENOENT && options.config == Options().config) {
    message += "; name another one behind the command";
  }
  fail(message);
}

// No more of it than a configuration may be long: the file could be a device.
std::string read_configuration(const Options& options) {
  const Fd fd(open(options.config.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) cannot_read(options, errno);
  struct stat status = {};
  if (fstat(fd.get(), &status) == 0 && !S_ISREG(status.st_mode)) {
    fail("the configuration '" + options.config + "' is " +
         (S_ISDIR(status.st_mode) ? "a directory" : "not a file"));
  }
  std::string text(kMaxConfigBytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(options, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

std::optional<std::string> environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace

Project load_project(const Options& options) {
  auto config = parse_config(read_configuration(options), environment);
  if (!config) fail(describe(config.error(), options.config));
  Project project;
  project.config = std::move(*config);
  std::error_code error;
  project.config_path = fs::canonical(options.config, error);
  const fs::path working_directory = fs::current_path(error);
  if (error) fail(with_errno("cannot tell the working directory", error.value()));
  project.base =
      options.original_form ? working_directory : fs::absolute(options.config).parent_path();
  project.state_directory =
      options.state_directory.empty() ? project.base : fs::absolute(options.state_directory);
  project.places = Places::find();
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
  for (const ImageConfig& image : project.config.images) {
    const auto reference = parse_reference(image.name);
    if (reference && reference->repository == name) return image;
  }
  fail("there is no image '" + name + "' in " + project.config_path.string() +
       did_you_mean(name, names));
}

}  // namespace imagewright
