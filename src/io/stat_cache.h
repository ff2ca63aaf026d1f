// What is known of a context's files from an earlier look, so that only what was touched since has
// to be read again. Two levels: a small record a directory, by which one that was not touched is
// recognised, and its list of entries, read only where the record does not fit. Knows nothing of
// walking, of reading files or of ignore rules. The files' format is in docs/formats.md; a damaged
// or foreign one is as good as none.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/context.h"
#include "io/fd.h"

namespace imagewright {

/// What the file system says of an entry. If all of it is as before, so is the content
/// (git's Documentation/technical/racy-git.adoc has the one exception: ListedEntry::trusted).
struct FileStat {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::uint64_t mtime = 0;  ///< nanoseconds since 1970, modulo 2^64
  std::uint64_t ctime = 0;  ///< the same
  std::uint32_t mode = 0;   ///< with the type
  bool operator==(const FileStat&) const = default;
};

/// 128 bits that can be added up in any order: of a directory's entries, or of directories.
struct Sum {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const Sum&) const = default;
  auto operator<=>(const Sum&) const = default;
  Sum& operator+=(const Sum& other);
  Sum& operator-=(const Sum& other);
};

/// One entry of a directory, with all that its digest needs.
struct ListedEntry {
  /// What only few entries have.
  struct Extra {
    std::string target;
    std::uint64_t device = 0;
    std::vector<std::pair<std::string, std::string>> xattrs;
  };

  FileStat stat;
  std::uint32_t name_at = 0;  ///< in Listing::names
  std::uint16_t name_size = 0;
  EntryType type = EntryType::File;
  /// The stat was old enough when the content was read: a later write would have moved it.
  bool trusted = false;
  /// A directory that the ignore rules leave out, listed for what a `!` rule may bring back below.
  bool ignored = false;
  Digest content{};
  std::unique_ptr<Extra> extra;  ///< null: nothing of it
};

/// A directory's entries. Small for what it holds: a directory can have millions.
struct Listing {
  std::string names;
  std::deque<ListedEntry> entries;

  std::string_view name(const ListedEntry& entry) const {
    return {names.data() + entry.name_at, entry.name_size};
  }
  ListedEntry& add(std::string_view name);
  void sort();  ///< by name, bytewise
  /// As a value of core/context; its path is left alone.
  static void fill(const ListedEntry& listed, Entry& entry);
};

/// What recognises a directory, and what it came to. Plain bytes, as on the disk.
struct DirectoryRecord {
  enum Flags : std::uint32_t {
    kUntrusted = 1,          ///< an entry is not trusted: look at it again, even if the sum fits
    kHasIgnored = 2,         ///< it has ignored directories that were looked into
    kIncludesSomething = 4,  ///< there is something below that is not ignored
  };
  Sum key;                   ///< of its path
  Sum sum;                   ///< over its entries
  Digest own{};              ///< its own digest (core/context)
  Digest tree{};             ///< its tree digest
  std::uint64_t offset = 0;  ///< of its list
  std::uint64_t bytes = 0;   ///< of its list in all
  std::uint32_t count = 0;   ///< entries
  std::uint32_t flags = 0;

  bool includes_something() const { return (flags & kIncludesSomething) != 0; }
};

/// A list that is not what was once written. Whoever reads one looks at everything anew.
struct CacheDamaged {};

/// The cache of one context, in memory, and where it is kept between runs. While records are
/// replaced (`commit`) nobody else may use it; all else may be done by several threads.
class StatCache {
 public:
  /// Where it is kept: two files, this path with `.dirs` and `.files` behind it. Empty: nowhere,
  /// what is written goes into an unnamed file and is gone with this object.
  explicit StatCache(std::filesystem::path place, std::string identity);
  ~StatCache();
  StatCache(const StatCache&) = delete;
  StatCache& operator=(const StatCache&) = delete;

  /// Reads the records. `identity` says what it is a cache of: one of another is as good as none.
  /// False: there is none that is of use, and this one is empty. Never an error.
  bool load();

  /// What was kept at a place, of whatever it was. nullptr: nothing that is of use.
  static std::unique_ptr<StatCache> open_kept(const std::filesystem::path& place);

  /// One that knows nothing and keeps nothing: only its sums are of use.
  static std::unique_ptr<StatCache> for_stamps(std::uint64_t seed);

  /// Forgets everything, and will write everything anew.
  void reset();

  std::uint64_t seed() const { return seed_; }  ///< of its sums
  Sum key_of(std::string_view path) const;
  /// Of an entry as the walk saw it, for a directory's sum.
  Sum sum_of(std::string_view name, const FileStat& stat, bool ignored) const;
  /// Of a directory, for the sum over a whole context.
  Sum sum_of(const DirectoryRecord& record) const;

  const std::vector<DirectoryRecord>& records() const { return records_; }  ///< by key
  /// nullptr: not known. Valid until `commit` or `reset`.
  const DirectoryRecord* find(const Sum& key) const;

  /// The record of a path that must be known. Throws CacheDamaged.
  const DirectoryRecord& record_of(std::string_view path) const;

  /// The entries of a directory, by name. Throws CacheDamaged.
  Listing read(const DirectoryRecord& record) const;
  /// The same of a path, those that count: an ignored directory does only for what is below it.
  Listing read_counting(const std::string& path) const;

  /// Writes a directory's list (by name) and sets `offset` and `bytes` of its record, whose key is
  /// set. `old` is what was known of it (or nullptr): parts that are the same stay where they are.
  void append(const Listing& listing, const DirectoryRecord* old, DirectoryRecord& record);

  /// From now on these are the records (in any order); and they are kept, if that is possible now.
  /// A cache that cannot be written costs time, nothing else. Throws CacheDamaged.
  void commit(std::vector<DirectoryRecord> records);

  /// Keeps what the cache says now under another place, which is replaced, whatever comes later.
  /// Costs next to nothing where the file system has links. False: it could not be done.
  bool keep(const std::filesystem::path& place) const;

 private:
  class Spool;
  struct Header;

  StatCache() = default;
  bool load(bool any_identity);
  std::filesystem::path file(const char* extension) const;
  bool open_lists() const;
  std::string bytes_at(std::uint64_t offset, std::uint64_t size) const;
  std::pair<std::uint32_t, std::string> block_at(const DirectoryRecord& record,
                                                 std::uint64_t offset) const;
  bool save();
  bool append_to_file();
  bool is_lean() const;
  bool write_all(const std::filesystem::path& place, StatCache& into) const;
  bool write_records(const std::filesystem::path& place);

  std::filesystem::path place_;
  std::string identity_;
  std::uint64_t seed_ = 0;
  std::vector<DirectoryRecord> records_;
  Sum lists_id_;              // of the file of lists
  Sum saved_;                 // checksum of the records' file, as it was read or written last
  std::uint64_t base_ = 0;    // where the spool's bytes begin; before that: the file
  mutable std::mutex mutex_;  // for the two below, to be made when needed
  mutable Fd lists_;          // the file
  std::unique_ptr<Spool> spool_;
};

}  // namespace imagewright
