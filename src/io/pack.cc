#include "io/pack.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "io/archive_library.h"
#include "io/error.h"
#include "io/fd.h"
#include "io/interrupt.h"

namespace imagewright {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kPart = std::size_t{256} << 10;

// Names are bytes, whatever the locale, and each that is no ASCII says so itself.
constexpr char kWriteOptions[] = "hdrcharset=BINARY,zstd:compression-level=3";

using ArchiveEntry = std::unique_ptr<archive_entry, decltype(&archive_entry_free)>;
using Writer = std::unique_ptr<::archive, decltype(&archive_write_free)>;
using Reader = std::unique_ptr<::archive, decltype(&archive_read_free)>;

std::string words_of(::archive* of) {
  const char* said = archive().error(of);
  return said == nullptr ? "no reason given" : said;
}

[[noreturn]] void changed(const fs::path& path) {
  throw Error(Error::Kind::Source, "'" + path.string() + "' changed while it was packed");
}

const std::map<mode_t, EntryType> kTypes = {{S_IFREG, EntryType::File},
                                            {S_IFDIR, EntryType::Directory},
                                            {S_IFLNK, EntryType::Symlink},
                                            {S_IFBLK, EntryType::Block},
                                            {S_IFCHR, EntryType::Character}};

mode_t type_of(EntryType type) {
  for (const auto& [mode, known] : kTypes) {
    if (known == type) return mode;
  }
  return S_IFREG;
}

class Packer {
 public:
  Packer(const fs::path& directory, const fs::path& file)
      : directory_(directory),
        file_(file),
        root_(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
        out_(open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)),
        writer_(archive().write_new(), archive().write_free),
        entry_(archive().entry_new(), archive().entry_free) {
    if (!root_)
      throw Error(Error::Kind::Source, with_errno("cannot read '" + directory.string() + "'"));
    if (!out_)
      throw Error(Error::Kind::Missing, with_errno("cannot write '" + file.string() + "'"));
    check(archive().write_format(writer_.get()));
    check(archive().write_filter(writer_.get()));
    check(archive().write_options(writer_.get(), kWriteOptions));
    check(archive().write_open(writer_.get(), out_.get()));
  }

  void add(const Entry& entry) {
    const fs::path path = directory_ / entry.path;
    Fd file;
    struct stat status = {};
    if (entry.type == EntryType::File) {
      file = Fd(openat(root_.get(), entry.path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
      if (!file) cannot_read(path);
      if (fstat(file.get(), &status) != 0) cannot_read(path);
    } else if (fstatat(root_.get(), entry.path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      cannot_read(path);
    }
    if ((status.st_mode & S_IFMT) != type_of(entry.type)) changed(path);
    if (entry.type == EntryType::File && static_cast<std::uint64_t>(status.st_size) != entry.size)
      changed(path);
    describe(entry, status);
    check(archive().write_header(writer_.get(), entry_.get()));
    if (entry.type == EntryType::File) add_bytes(entry, file, path);
  }

  void finish() {
    check(archive().write_close(writer_.get()));
    if (fsync(out_.get()) != 0)
      throw Error(Error::Kind::Missing, with_errno("cannot write '" + file_.string() + "'"));
  }

 private:
  [[noreturn]] static void cannot_read(const fs::path& path) {
    if (errno == ENOENT || errno == ELOOP || errno == ENOTDIR) changed(path);
    throw Error(Error::Kind::Source, with_errno("cannot read '" + path.string() + "'"));
  }

  void check(int result) const {
    if (result == ARCHIVE_OK) return;
    throw Error(Error::Kind::Missing,
                fmt::format("cannot write '{}': {}", file_.string(), words_of(writer_.get())));
  }

  void describe(const Entry& entry, const struct stat& status) {
    const Archive& lib = archive();
    entry_ = ArchiveEntry(lib.entry_new(), lib.entry_free);
    archive_entry* const of = entry_.get();
    lib.set_path(of, entry.path.c_str());
    lib.set_type(of, type_of(entry.type));
    lib.set_mode(of, entry.mode);
    lib.set_size(of, entry.type == EntryType::File ? static_cast<la_int64_t>(entry.size) : 0);
    lib.set_time(of, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    if (entry.type == EntryType::Symlink) lib.set_symlink(of, entry.target.c_str());
    if (entry.type == EntryType::Block || entry.type == EntryType::Character)
      lib.set_device(of, entry.device);
    for (const auto& [name, value] : entry.xattrs)
      lib.add_xattr(of, name.c_str(), value.data(), value.size());
  }

  void add_bytes(const Entry& entry, const Fd& file, const fs::path& path) {
    Sha256 hash;
    std::uint64_t left = entry.size;
    while (left > 0) {
      if (interrupted() != 0) throw Error(Error::Kind::Source, "interrupted");
      const ssize_t got = read(file.get(), buffer_.data(), buffer_.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) cannot_read(path);
      if (got == 0 || static_cast<std::uint64_t>(got) > left) changed(path);
      const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
      hash.update(bytes);
      if (archive().write_data(writer_.get(), bytes.data(), bytes.size()) != got)
        check(ARCHIVE_FATAL);
      left -= bytes.size();
    }
    if (hash.finish() != entry.content) changed(path);
  }

  fs::path directory_;
  fs::path file_;
  Fd root_;
  Fd out_;
  Writer writer_;
  ArchiveEntry entry_;
  std::vector<char> buffer_ = std::vector<char>(kPart);
};

// Whether a path stays where it is unpacked, by its words alone.
bool stays_below(const std::string& path) {
  if (path.empty() || path.front() == '/') return false;
  for (const fs::path& part : fs::path(path)) {
    if (part == "..") return false;
  }
  return true;
}

class Unpacker {
 public:
  Unpacker(const fs::path& file, const fs::path& directory)
      : file_(file),
        reader_(archive().read_new(), archive().read_free),
        disk_(archive().disk_new(), archive().write_free) {
    std::error_code error;
    if (!fs::create_directory(directory, error) || error) {
      throw Error(Error::Kind::Missing, with_errno("cannot make '" + directory.string() + "'",
                                                   error ? error.value() : EEXIST));
    }
    // (Each part of a path is held to be no symlink, ours above it, too.)
    directory_ = fs::canonical(directory);
    archive().read_format(reader_.get());
    archive().read_filter(reader_.get());
    check_read(archive().read_open(reader_.get(), file.c_str(), kPart));
    archive().disk_options(disk_.get(), ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM |
                                            ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_NO_OVERWRITE |
                                            ARCHIVE_EXTRACT_SECURE_SYMLINKS);
  }

  std::vector<Entry> go() {
    archive_entry* entry = nullptr;
    for (int result = archive().read_header(reader_.get(), &entry); result != ARCHIVE_EOF;
         result = archive().read_header(reader_.get(), &entry)) {
      check_read(result);
      if (interrupted() != 0) throw Error(Error::Kind::Source, "interrupted");
      add(entry);
    }
    check_written(archive().write_close(disk_.get()), directory_);
    // (These it leaves out, where it does not set the owner.)
    for (auto special = special_modes_.rbegin(); special != special_modes_.rend(); ++special) {
      if (fchmodat(AT_FDCWD, special->first.c_str(), special->second, 0) != 0)
        throw Error(Error::Kind::Missing,
                    with_errno("cannot write '" + special->first.string() + "'"));
    }
    sort_by_path(entries_);
    return std::move(entries_);
  }

 private:
  [[noreturn]] void refuse(const std::string& path, const char* why) const {
    throw Error(Error::Kind::Source,
                fmt::format("'{}' is no context: '{}' {}", file_.string(), path, why));
  }

  void check_read(int result) const {
    if (result == ARCHIVE_OK) return;
    throw Error(Error::Kind::Source,
                fmt::format("'{}' is no context: {}", file_.string(), words_of(reader_.get())));
  }

  void check_written(int result, const fs::path& path) const {
    if (result == ARCHIVE_OK) return;
    throw Error(Error::Kind::Missing,
                fmt::format("cannot write '{}': {}", path.string(), words_of(disk_.get())));
  }

  Entry entry_of(const std::string& path, archive_entry* from) const {
    const Archive& lib = archive();
    Entry entry;
    entry.path = path;
    while (entry.path.ends_with('/')) entry.path.pop_back();
    entry.mode = lib.mode(from);
    const auto type = kTypes.find(lib.type(from));
    if (type == kTypes.end()) refuse(path, "is of no kind that a context has");
    entry.type = type->second;
    if (entry.type == EntryType::File) entry.size = static_cast<std::uint64_t>(lib.size(from));
    if (entry.type == EntryType::Symlink && lib.symlink(from) != nullptr)
      entry.target = lib.symlink(from);
    entry.device = lib.device(from);
    lib.first_xattr(from);
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    // (Each is written in two ways, for whoever reads only one of them.)
    std::map<std::string, std::string> xattrs;
    while (lib.next_xattr(from, &name, &value, &size) == ARCHIVE_OK)
      xattrs[name] = std::string(static_cast<const char*>(value), size);
    entry.xattrs.assign(xattrs.begin(), xattrs.end());
    return entry;
  }

  void add(archive_entry* entry) {
    const char* const raw = archive().path(entry);
    const std::string path = raw == nullptr ? "" : raw;
    if (!stays_below(path)) refuse(path, "leads out of it");
    if (archive().hard_link(entry) != nullptr) refuse(path, "is a hard link");
    entries_.push_back(entry_of(path, entry));
    const fs::path full = directory_ / path;
    struct stat there = {};
    if (lstat(full.c_str(), &there) == 0) refuse(path, "is in it twice");
    archive().set_path(entry, full.c_str());
    check_written(archive().write_header(disk_.get(), entry), full);
    const void* bytes = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    for (int result = archive().read_block(reader_.get(), &bytes, &size, &offset);
         result != ARCHIVE_EOF;
         result = archive().read_block(reader_.get(), &bytes, &size, &offset)) {
      check_read(result);
      if (archive().disk_block(disk_.get(), bytes, size, offset) < ARCHIVE_OK)
        check_written(ARCHIVE_FATAL, full);
    }
    check_written(archive().disk_finish(disk_.get()), full);
    const auto mode = archive().mode(entry);
    if ((mode & (S_ISUID | S_ISGID | S_ISVTX)) != 0 && archive().type(entry) != S_IFLNK)
      special_modes_.emplace_back(full, mode);
  }

  fs::path file_;
  fs::path directory_;
  Reader reader_;
  Writer disk_;
  std::vector<Entry> entries_;
  std::vector<std::pair<fs::path, mode_t>> special_modes_;
};

}  // namespace

void pack_context(const fs::path& directory, const std::vector<Entry>& entries,
                  const fs::path& file) {
  Packer packer(directory, file);
  try {
    for (const Entry& entry : entries) packer.add(entry);
    packer.finish();
  } catch (...) {
    std::error_code ignored;
    fs::remove(file, ignored);
    throw;
  }
}

std::pair<std::string, std::uint64_t> pack_digest(const fs::path& file) {
  const Fd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw Error(Error::Kind::Missing, with_errno("cannot read '" + file.string() + "'"));
  Sha256 hash;
  std::uint64_t size = 0;
  for (std::string part = read_at(fd.get(), 0, kPart); !part.empty();
       part = read_at(fd.get(), size, kPart)) {
    hash.update(part);
    size += part.size();
  }
  return {"sha256:" + hex(hash.finish()), size};
}

std::vector<Entry> unpack_context(const fs::path& file, const fs::path& directory) {
  return Unpacker(file, directory).go();
}

}  // namespace imagewright
