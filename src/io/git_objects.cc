#include "io/git_objects.h"

#include <utility>

#include "core/lower_case.h"
#include "core/source.h"
#include "io/error.h"
#include "io/file_read.h"
#include "io/git_library.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kDigits = 40;

std::string_view word(git_object_t type) {
  switch (type) {
    case GIT_OBJECT_COMMIT:
      return "commit";
    case GIT_OBJECT_TREE:
      return "tree";
    case GIT_OBJECT_BLOB:
      return "blob";
    case GIT_OBJECT_TAG:
      return "tag";
    default:
      return "";
  }
}

std::optional<std::string> config_of(const fs::path& repository) {
  try {
    return lower_case(read_file(repository / "config"));
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

struct GitObjects::Database {
  explicit Database(const GitLibrary& its) : library(its) {}
  ~Database() {
    if (odb != nullptr) library.close(odb);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  bool parse(const std::string& id, git_oid& oid) const {
    return id.size() == kDigits && library.parse_id(&oid, id.c_str()) == 0;
  }

  const GitLibrary& library;
  git_odb* odb = nullptr;
};

GitObjects::GitObjects(fs::path repository, std::unique_ptr<Database> database)
    : repository_(std::move(repository)), database_(std::move(database)) {}
GitObjects::~GitObjects() = default;

std::unique_ptr<GitObjects> GitObjects::open(const fs::path& repository) {
  // (Refs that are not files, each its own, are git's business.)
  std::error_code error;
  if (fs::exists(repository / "packed-refs", error) || error ||
      fs::exists(repository / "reftable", error) || error ||
      !fs::is_directory(repository / "objects", error) || error) {
    return nullptr;
  }
  // (Nor are those that are extended, by SHA-256 above all.)
  if (const auto config = config_of(repository);
      !config || config->find("extensions") != config->npos)
    return nullptr;
  const GitLibrary* const library = git_library();
  if (library == nullptr) return nullptr;
  auto database = std::make_unique<Database>(*library);
  if (library->open(&database->odb, (repository / "objects").c_str()) != 0) return nullptr;
  return std::unique_ptr<GitObjects>(new GitObjects(repository, std::move(database)));
}

std::optional<std::string> GitObjects::ref(const std::string& name) const {
  try {
    std::string id = read_file(repository_ / name);
    if (id.ends_with('\n')) id.pop_back();
    if (id.size() == kDigits && is_full_git_id(id)) return id;
  } catch (const Error&) {
    // there is none
  }
  return std::nullopt;
}

std::string GitObjects::type_of(const std::string& id) const {
  git_oid oid;
  std::size_t size = 0;
  git_object_t type = GIT_OBJECT_INVALID;
  const bool is_there = database_->parse(id, oid) &&
                        database_->library.read_header(&size, &type, database_->odb, &oid) == 0;
  return is_there ? std::string(word(type)) : "";
}

bool GitObjects::read(const std::string& id, const OnObject& on_object) const {
  const GitLibrary& library = database_->library;
  git_oid oid;
  git_odb_object* found = nullptr;
  if (!database_->parse(id, oid) || library.read(&found, database_->odb, &oid) != 0) return false;
  const std::unique_ptr<git_odb_object, decltype(library.free)> object(found, library.free);
  on_object(word(library.type(found)),
            {static_cast<const char*>(library.data(found)), library.size(found)});
  return true;
}

}  // namespace imagewright
