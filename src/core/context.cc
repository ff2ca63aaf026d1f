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

void add_entry(Sha256& hash, const Entry& entry) {
  hash.update_field(name_of(entry.path));
  hash.update_field(word(entry.type));
  hash.update_number(entry.mode);
  hash.update_number(entry.size);
  hash.update_field(entry.target);
  hash.update_number(entry.device);
  if (entry.type == EntryType::File) {
    hash.update({reinterpret_cast<const char*>(entry.content.data()), entry.content.size()});
  }
  hash.update_number(entry.xattrs.size());
  for (const auto& [name, value] : entry.xattrs) {
    hash.update_field(name);
    hash.update_field(value);
  }
}

Digest tree_digest(std::string_view directory, const Children& children) {
  const auto found = children.find(directory);
  Sha256 own;
  own.update_field("imagewright context 1");
  if (found != children.end()) {
    for (const Entry* entry : found->second) add_entry(own, *entry);
  }
  Sha256 tree;
  const Digest own_digest = own.finish();
  tree.update({reinterpret_cast<const char*>(own_digest.data()), own_digest.size()});
  if (found != children.end()) {
    for (const Entry* entry : found->second) {
      if (entry->type != EntryType::Directory) continue;
      const Digest below = tree_digest(entry->path, children);
      tree.update({reinterpret_cast<const char*>(below.data()), below.size()});
    }
  }
  return tree.finish();
}

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

void sort_by_path(std::vector<Entry>& entries) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.path < b.path; });
}

Digest context_digest(const std::vector<Entry>& entries) {
  // In path order the entries of one directory come by name, though not one after the other.
  Children children;
  for (const Entry& entry : entries) children[parent_of(entry.path)].push_back(&entry);
  return tree_digest({}, children);
}

}  // namespace imagewright
