#include "io/staging.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>

#include "core/digest.h"
#include "io/error.h"
#include "io/interrupt.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::json;

constexpr char kIgnoreFile[] = ".dockerignore";
// An ignore file that leaves nothing out. Where there is no rule at all, Podman takes the context's
// own file instead.
constexpr char kNothingIgnored[] = "!**\n";

// Copies one entry, without its mode and times. False: errno says why not.
bool copy_entry(const Entry& entry, const fs::path& from, const fs::path& to) {
  std::error_code error;
  switch (entry.type) {
    case EntryType::Directory:
      fs::create_directory(to, error);
      break;
    case EntryType::File:
      fs::copy_file(from, to, error);
      break;
    case EntryType::Symlink:
      fs::create_symlink(entry.target, to, error);
      break;
    case EntryType::Block:
    case EntryType::Character:
      return mknod(to.c_str(), (entry.type == EntryType::Block ? S_IFBLK : S_IFCHR) | 0600,
                   entry.device) == 0;
  }
  errno = error.value();
  return !error;
}

// Gives the copy the entry's attributes, mode and time. False: errno says why not.
bool copy_properties(const Entry& entry, const fs::path& from, const fs::path& to) {
  for (const auto& [name, value] : entry.xattrs) {
    if (lsetxattr(to.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) return false;
  }
  if (entry.type != EntryType::Symlink && chmod(to.c_str(), entry.mode) != 0) return false;
  struct stat status = {};
  if (lstat(from.c_str(), &status) != 0) return false;
  const timespec times[2] = {status.st_mtim, status.st_mtim};
  return utimensat(AT_FDCWD, to.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0;
}

void copy_context(const fs::path& context, const std::vector<Entry>& entries, const fs::path& copy,
                  bool without_ignore_file) {
  const auto check = [](bool done, const fs::path& from) {
    if (!done) throw Error(Error::Kind::Source, with_errno("cannot copy '" + from.string() + "'"));
  };
  std::error_code error;
  fs::create_directory(copy, error);
  errno = error.value();
  check(!error, copy);
  const auto left_out = [&](const Entry& entry) {
    return without_ignore_file && entry.path == kIgnoreFile;
  };
  for (const Entry& entry : entries) {
    if (left_out(entry)) continue;
    if (interrupted() != 0) throw Error(Error::Kind::Source, "interrupted");
    check(copy_entry(entry, context / entry.path, copy / entry.path), context / entry.path);
  }
  // Directories after what is in them: one without write permission takes no files, and each file
  // moves its time.
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (left_out(*entry)) continue;
    const fs::path from = context / entry->path;
    check(copy_properties(*entry, from, copy / entry->path), from);
  }
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

bool has_rules(const std::string& ignore) {
  const auto lines = lines_of(ignore);
  return std::any_of(lines.begin(), lines.end(),
                     [](const std::string& line) { return line[0] != '#'; });
}

bool is_digest(const std::string& text) {
  constexpr std::string_view kPrefix = "sha256:";
  return text.size() == kPrefix.size() + 64 && text.compare(0, kPrefix.size(), kPrefix) == 0 &&
         text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string::npos;
}

void make_link(const fs::path& link, const fs::path& target) {
  std::error_code error;
  fs::create_symlink(target, link, error);
  if (error) {
    throw Error(Error::Kind::Missing,
                with_errno("cannot write '" + link.string() + "'", error.value()));
  }
}

}  // namespace

Staging::Staging(const fs::path& cache, const BuildRequest& request, Context context)
    : request_(request), directory_(cache / "staging"), context_(fs::absolute(request.context)) {
  std::string ignore = request.ignore;
  if (context != Context::Directory) {
    context_ = directory_.path() / "context";
    copy_context(request.context, request.entries(), context_, context == Context::ClassicCopy);
    ignore.clear();
  }
  for (std::size_t i = 0; i < request.named_contexts.size(); ++i) {
    const NamedContext& named = request.named_contexts[i];
    copy_context(named.directory, named.entries(), named_context(i), false);
  }
  if (!has_rules(ignore)) ignore = kNothingIgnored;
  Sha256 both;
  both.update_field(request.dockerfile);
  both.update_field(ignore);
  const std::string name = request.context_name + "-" + hex(both.finish()) + ".Dockerfile";
  dockerfile_ = directory_.path() / name;
  ignore_file_ = directory_.path() / (name + kIgnoreFile);
  write_file(dockerfile_, request.dockerfile);
  write_file(ignore_file_, ignore);
  const std::vector<Secret>& secrets = request.options.secrets;
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    if (!secrets[i].file.empty()) make_link(secret_file(i), secrets[i].file);
  }
}

fs::path Staging::named_context() const {
  fs::path link = directory_.path() / request_.context_name;
  make_link(link, context_);
  return link;
}

std::string Staging::image_id() const {
  std::string id = bytes_of(image_id_file());
  return is_digest(id) ? id : std::string();
}

std::string Staging::image_digest() const {
  const Json metadata = Json::parse(bytes_of(metadata_file()), nullptr, false);
  if (!metadata.is_object()) return "";
  const auto digest = metadata.find("containerimage.digest");
  if (digest == metadata.end() || !digest->is_string()) return "";
  return is_digest(digest->get<std::string>()) ? digest->get<std::string>() : std::string();
}

void add_common_arguments(std::vector<std::string>& argv, const BuildRequest& request,
                          const Staging& staging) {
  argv.insert(argv.end(), {"-f", staging.dockerfile()});
  if (!request.tag.empty()) argv.insert(argv.end(), {"-t", request.tag});
  argv.insert(argv.end(), {"--iidfile", staging.image_id_file()});
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
