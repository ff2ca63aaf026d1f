#include "io/staging.h"

#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "core/digest.h"
#include "io/error.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr char kIgnoreFile[] = ".dockerignore";

}  // namespace

Staging::Staging(const fs::path& cache, const BuildRequest& request)
    : request_(request), directory_(cache / "staging") {
  Sha256 both;
  both.update_field(request.dockerfile);
  both.update_field(request.ignore);
  const std::string name = request.context_name + "-" + hex(both.finish()) + ".Dockerfile";
  dockerfile_ = directory_.path() / name;
  ignore_file_ = directory_.path() / (name + kIgnoreFile);
  write_file(dockerfile_, request.dockerfile);
  write_file(ignore_file_, request.ignore);
}

fs::path Staging::named_context() const {
  const fs::path link = directory_.path() / request_.context_name;
  std::error_code error;
  fs::create_directory_symlink(fs::absolute(request_.context), link, error);
  if (error)
    throw Error(Error::Kind::Missing,
                with_errno("cannot write '" + link.string() + "'", error.value()));
  return link;
}

fs::path Staging::copied_context() const {
  const fs::path copy = directory_.path() / "context";
  std::error_code error;
  fs::create_directory(copy, error);
  for (const Entry& entry : *request_.entries) {
    if (error) break;
    if (entry.path == kIgnoreFile) continue;
    const fs::path to = copy / entry.path;
    const fs::path from = request_.context / entry.path;
    switch (entry.type) {
      case EntryType::Directory:
        fs::create_directory(to, error);
        break;
      case EntryType::File:
        fs::copy_file(from, to, error);
        if (!error) fs::permissions(to, static_cast<fs::perms>(entry.mode), error);
        break;
      case EntryType::Symlink:
        fs::create_symlink(entry.target, to, error);
        break;
      case EntryType::Block:
      case EntryType::Character:
        if (mknod(to.c_str(), entry.mode | (entry.type == EntryType::Block ? S_IFBLK : S_IFCHR),
                  entry.device) != 0) {
          error = std::error_code(errno, std::generic_category());
        }
        break;
    }
    if (error)
      throw Error(Error::Kind::Source,
                  with_errno("cannot copy '" + from.string() + "'", error.value()));
  }
  if (error)
    throw Error(Error::Kind::Missing,
                with_errno("cannot write '" + copy.string() + "'", error.value()));
  // Modes of directories last: one without write permission takes no files.
  for (const Entry& entry : *request_.entries) {
    if (entry.type == EntryType::Directory)
      fs::permissions(copy / entry.path, static_cast<fs::perms>(entry.mode), error);
  }
  return copy;
}

std::string Staging::image_id() const {
  std::ifstream file(image_id_file());
  std::string id((std::istreambuf_iterator<char>(file)), {});
  constexpr std::string_view kPrefix = "sha256:";
  const bool valid = id.size() == kPrefix.size() + 64 &&
                     id.compare(0, kPrefix.size(), kPrefix) == 0 &&
                     id.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string::npos;
  return valid ? id : std::string();
}

void add_common_arguments(std::vector<std::string>& argv, const BuildRequest& request,
                          const Staging& staging) {
  argv.insert(argv.end(), {"-f", staging.dockerfile(), "-t", request.tag, "--iidfile",
                           staging.image_id_file()});
  if (!request.target.empty()) argv.insert(argv.end(), {"--target", request.target});
  for (const auto& [name, value] : request.args)
    argv.insert(argv.end(), {"--build-arg", name + "=" + value});
  for (const auto& [name, value] : request.labels)
    argv.insert(argv.end(), {"--label", name + "=" + value});
}

std::set<std::string> lines_of(const std::string& output) {
  std::set<std::string> lines;
  std::istringstream stream(output);
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) lines.insert(line);
  }
  return lines;
}

}  // namespace imagewright
