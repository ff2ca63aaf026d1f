#include "core/config_source.h"

#include <fmt/format.h>

#include <optional>

#include "core/lower_case.h"

namespace imagewright {

namespace {

const Keys& from_keys() {
  static const Keys keys{
      "'from'",
      {"dir", "git", "ref", "branch", "tag", "commit", "subdir", "checksum", "fetch"},
      false};
  return keys;
}

template <typename T>
T placed(tl::expected<T, ParseError> result, Place place) {
  if (!result) fail(place, std::move(result.error().message));
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

std::string full_ref(ConfigReader& reader, const YamlEntry& entry) {
  std::string ref = reader.filled_text(entry);
  if (entry.key == "branch") return "refs/heads/" + ref;
  if (entry.key == "tag") return "refs/tags/" + ref;
  if (entry.key == "ref") return ref;
  if (!is_full_git_id(ref)) {
    fail(entry.value.place, "'commit' must be a full commit id of 40 or 64 hexadecimal digits");
  }
  return lower_case(ref);
}

/// The keys of a map, each at most once.
struct Parts {
  std::optional<YamlEntry> dir, git, ref, subdir, checksum, fetch;
};

GitSource git_source(ConfigReader& reader, const Parts& parts) {
  GitSource source =
      placed(parse_git_remote(reader.filled_text(*parts.git)), parts.git->value.place);
  if (parts.ref) {
    source.ref = full_ref(reader, *parts.ref);
    placed(check_git_source(source), parts.ref->value.place);
  }
  if (parts.subdir) {
    source.subdir = reader.filled_text(*parts.subdir);
    placed(check_git_source(source), parts.subdir->value.place);
  }
  if (parts.checksum) {
    source.checksum = reader.filled_text(*parts.checksum);
    placed(check_git_source(source), parts.checksum->value.place);
  }
  if (parts.fetch) {
    if (!is_full_git_id(source.ref)) {
      fail(parts.fetch->place, "'fetch' says where to find a 'commit', and there is none here");
    }
    source.fetch = reader.filled_text(*parts.fetch);
    placed(check_git_source(source), parts.fetch->value.place);
  }
  return source;
}

Source source_from_map(ConfigReader& reader, const YamlValue& map) {
  Parts parts;
  for (const YamlEntry& entry : reader.known_entries(map, from_keys())) {
    std::optional<YamlEntry>& slot = entry.key == "dir"        ? parts.dir
                                     : entry.key == "git"      ? parts.git
                                     : entry.key == "subdir"   ? parts.subdir
                                     : entry.key == "checksum" ? parts.checksum
                                     : entry.key == "fetch"    ? parts.fetch
                                                               : parts.ref;
    if (slot) ConfigReader::exclude(*slot, entry);  // two of ref, branch, tag, commit
    slot = entry;
  }
  if (!parts.dir && !parts.git) fail(map.place, "'from' needs 'dir' or 'git'");
  if (!parts.dir) return git_source(reader, parts);
  for (const auto& other : {parts.git, parts.ref, parts.subdir, parts.checksum, parts.fetch}) {
    if (other) ConfigReader::exclude(*parts.dir, *other);
  }
  return DirectorySource{reader.filled_text(*parts.dir)};
}

}  // namespace

Source read_source(ConfigReader& reader, const YamlEntry& from) {
  if (from.value.is_map()) return source_from_map(reader, from.value);
  if (from.value.is_list()) fail(from.value.place, "'from' must be text or a map");
  return placed(parse_source(reader.filled_text(from)), from.value.place);
}

}  // namespace imagewright
