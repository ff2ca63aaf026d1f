#include "core/context.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace imagewright {

namespace {

using Children = std::unordered_map<std::string_view, std::vector<const Entry*>>;

std::string_view parent_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

Digest tree_digest_of(std::string_view directory, const Children& children) {
  OwnDigest own;
  std::vector<Digest> below;
  const auto found = children.find(directory);
  if (found != children.end()) {
    for (const Entry* entry : found->second) {
      own.add(name_of(entry->path), *entry);
      if (entry->type == EntryType::Directory)
        below.push_back(tree_digest_of(entry->path, children));
    }
  }
  return tree_digest(own.finish(), below);
}

void add_number(std::string& bytes, std::uint64_t number) {
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>((number >> (8 * i)) & 0xff);
}

void add_field(std::string& bytes, std::string_view field) {
  add_number(bytes, field.size());
  bytes += field;
}

// Enough to make the cost of a call to the hash nothing beside its work.
constexpr std::size_t kGather = 16384;

}  // namespace

const char* word(EntryType type) {
  switch (type) {
    case EntryType::File:
      return "file";
    case EntryType::Directory:
      return "dir";
    case EntryType::Symlink:
      return "symlink";
    case EntryType::Block:
      return "block";
    case EntryType::Character:
      return "char";
  }
  return "";
}

OwnDigest::OwnDigest() {
  add_field(bytes_, "imagewright context 1");
}

void OwnDigest::add(std::string_view name, const Entry& entry) {
  add_field(bytes_, name);
  add_field(bytes_, word(entry.type));
  add_number(bytes_, entry.mode);
  add_number(bytes_, entry.size);
  add_field(bytes_, entry.target);
  add_number(bytes_, entry.device);
  if (entry.type == EntryType::File) {
    bytes_.append(reinterpret_cast<const char*>(entry.content.data()), entry.content.size());
  }
  add_number(bytes_, entry.xattrs.size());
  for (const auto& [key, value] : entry.xattrs) {
    add_field(bytes_, key);
    add_field(bytes_, value);
  }
  if (bytes_.size() < kGather) return;
  hash_.update(bytes_);
  bytes_.clear();
}

Digest OwnDigest::finish() {
  hash_.update(bytes_);
  bytes_.clear();
  add_field(bytes_, "imagewright context 1");
  return hash_.finish();
}

Digest tree_digest(const Digest& own, const std::vector<Digest>& subdirectories) {
  Sha256 hash;
  hash.update({reinterpret_cast<const char*>(own.data()), own.size()});
  for (const Digest& below : subdirectories) {
    hash.update({reinterpret_cast<const char*>(below.data()), below.size()});
  }
  return hash.finish();
}

std::string path_below(std::string_view directory, std::string_view name) {
  std::string path;
  path.reserve(directory.size() + 1 + name.size());
  if (!directory.empty()) path.append(directory).append(1, '/');
  return path.append(name);
}

void sort_by_path(std::vector<Entry>& entries) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.path < b.path; });
}

Digest context_digest(const std::vector<Entry>& entries) {
  // In path order the entries of one directory come by name, though not one after the other.
  Children children;
  for (const Entry& entry : entries) children[parent_of(entry.path)].push_back(&entry);
  return tree_digest_of({}, children);
}

}  // namespace imagewright
