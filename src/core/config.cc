// Reads the tree of core/yaml. Only what stands under `builder` is walked.
#include "core/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/lower_case.h"
#include "core/reference.h"
#include "core/shown.h"
#include "core/suggest.h"
#include "core/yaml.h"

namespace imagewright {

namespace {

/// The keys of one kind of map: those that work, and those that a later version will have.
struct Keys {
  std::string where;
  std::vector<std::string> now;
  std::vector<std::string> later;
  bool extensible = true;  ///< `x-…` is free
};

const Keys& builder_keys() {
  static const Keys keys{"'builder'", {"images", "engine"}, {"vars", "defaults", "publish"}};
  return keys;
}

const Keys& image_keys() {
  static const Keys keys{"an image",
                         {"name", "from", "dockerfile", "target", "args", "labels"},
                         {"dockerfile_inline",
                          "tags",
                          "platforms",
                          "additional_contexts",
                          "secrets",
                          "ssh",
                          "network",
                          "cache_from",
                          "cache_to",
                          "extra_hosts",
                          "ulimits",
                          "shm_size",
                          "no_cache",
                          "pull",
                          "privileged",
                          "depends_on",
                          "push",
                          "track_base",
                          "max_age",
                          "narrow",
                          "submodules",
                          "lfs",
                          "oci_labels",
                          "timeout",
                          "retries",
                          "weight",
                          "matrix"}};
  return keys;
}

const Keys& from_keys() {
  static const Keys keys{
      "'from'", {"dir", "git", "ref", "branch", "tag", "commit", "subdir"}, {}, false};
  return keys;
}

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

template <typename T>
T checked(tl::expected<T, ParseError> result, Place place) {
  if (!result) fail(place, std::move(result.error().message));
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

/// What `args` and `labels` make of a key without a value.
enum class Valueless { FromEnvironment, Empty };

class Reader {
 public:
  Reader(Yaml& yaml, const Environment& environment) : yaml_(yaml), environment_(environment) {}

  Config config() {
    const YamlValue builder = find_builder();
    Config config;
    std::optional<YamlValue> images;
    for (const YamlEntry& entry : known_entries(builder, builder_keys())) {
      if (entry.key == "engine") config.engine = engine(entry);
      if (entry.key == "images") images = entry.value;
    }
    if (!images) fail(builder.place, "'builder' has no list 'images'");
    config.images = read_images(*images);
    return config;
  }

 private:
  /// What stands beside `builder` is anybody's, and is not looked into.
  YamlValue find_builder() {
    if (yaml_.empty()) fail({}, "the file is empty; it needs a map 'builder' with a list 'images'");
    const YamlValue root = yaml_.root();
    std::optional<YamlEntry> slip;
    for (const YamlEntry& entry : yaml_.unmerged_entries(root, "the file")) {
      if (entry.key == "builder") return entry.value;
      if (!nearest(entry.key, {"builder"}).empty()) slip = entry;
    }
    if (slip) {
      fail(slip->place,
           fmt::format("unknown key {}{}", shown(slip->key), did_you_mean(slip->key, {"builder"})));
    }
    fail(root.place, "the file has no map 'builder' with a list 'images'");
  }

  /// The entries of a map that mean something.
  std::vector<YamlEntry> known_entries(const YamlValue& map, const Keys& keys) {
    std::vector<YamlEntry> known;
    for (const YamlEntry& entry : yaml_.entries(map, keys.where)) {
      if (contains(keys.now, entry.key)) {
        known.push_back(entry);
      } else if (!keys.extensible || entry.key.substr(0, 2) != "x-") {
        refuse(entry, keys);
      }
    }
    return known;
  }

  [[noreturn]] static void refuse(const YamlEntry& entry, const Keys& keys) {
    if (contains(keys.later, entry.key)) {
      fail(entry.place,
           fmt::format("'{}' is not available in this version of imagewright", entry.key));
    }
    std::string hint = did_you_mean(entry.key, keys.now);
    if (hint.empty()) hint = fmt::format("; known are {}", fmt::join(keys.now, ", "));
    fail(entry.place, fmt::format("unknown key {} in {}{}", shown(entry.key), keys.where, hint));
  }

  std::vector<ImageConfig> read_images(const YamlValue& list) {
    std::vector<ImageConfig> images;
    std::unordered_map<std::string, int> lines;  // by normalized name
    for (const YamlValue& item : yaml_.items(list, "'images'")) {
      images.push_back(image(item, lines));
    }
    if (images.empty()) fail(list.place, "'images' is empty; it needs at least one image");
    return images;
  }

  ImageConfig image(const YamlValue& map, std::unordered_map<std::string, int>& lines) {
    ImageConfig image;
    bool has_from = false;
    for (const YamlEntry& entry : known_entries(map, image_keys())) {
      if (entry.key == "name") {
        image.name = name(entry, lines);
        image.line = entry.value.place.line;
      } else if (entry.key == "from") {
        image.source = source(entry);
        has_from = true;
      } else if (entry.key == "dockerfile") {
        image.dockerfile = filled_text(entry);
      } else if (entry.key == "target") {
        image.target = filled_text(entry);
      } else if (entry.key == "args") {
        image.args = pairs(entry, Valueless::FromEnvironment);
      } else if (entry.key == "labels") {
        image.labels = pairs(entry, Valueless::Empty);
      }
    }
    if (image.name.empty()) fail(map.place, "an image has no 'name'");
    if (!has_from) fail(map.place, fmt::format("the image '{}' has no 'from'", image.name));
    return image;
  }

  /// `lines`: the names so far, normalized, and where they stand.
  std::string name(const YamlEntry& entry, std::unordered_map<std::string, int>& lines) {
    const Place place = entry.value.place;
    std::string name = filled_text(entry);
    const auto reference = parse_reference(name);
    if (!reference) fail(place, reference.error().message);
    if (!reference->digest.empty()) {
      fail(place, "'name' cannot have a digest: an image has one only once it is built");
    }
    // In full it is what the engines take it for, and not all that is a name is one then.
    const std::string full = normalized(*reference);
    if (const auto good = parse_reference(full); !good) fail(place, good.error().message);
    const auto [first, fresh] = lines.try_emplace(full, place.line);
    if (!fresh) {
      fail(place,
           fmt::format("the image '{}' is defined already, in line {}", name, first->second));
    }
    return name;
  }

  std::string engine(const YamlEntry& entry) {
    static const std::vector<std::string> kEngines = {"docker", "podman", "buildah"};
    std::string name = filled_text(entry);
    if (contains(kEngines, name)) return name;
    std::string hint = did_you_mean(name, kEngines);
    if (hint.empty()) hint = fmt::format("; known are {}", fmt::join(kEngines, ", "));
    fail(entry.value.place, fmt::format("unknown engine {}{}", shown(name), hint));
  }

  Source source(const YamlEntry& from) {
    if (from.value.is_map()) return source_from_map(from.value);
    if (from.value.is_list()) fail(from.value.place, "'from' must be text or a map");
    return checked(parse_source(filled_text(from)), from.value.place);
  }

  Source source_from_map(const YamlValue& map) {
    std::optional<YamlEntry> dir, git, ref, subdir;
    for (const YamlEntry& entry : known_entries(map, from_keys())) {
      std::optional<YamlEntry>& slot = entry.key == "dir"      ? dir
                                       : entry.key == "git"    ? git
                                       : entry.key == "subdir" ? subdir
                                                               : ref;
      if (slot) exclude(*slot, entry);  // two of ref, branch, tag, commit
      slot = entry;
    }
    if (!dir && !git) fail(map.place, "'from' needs 'dir' or 'git'");
    if (!dir) return git_source(*git, ref, subdir);
    for (const std::optional<YamlEntry>& other : {git, ref, subdir}) {
      if (other) exclude(*dir, *other);
    }
    return DirectorySource{filled_text(*dir)};
  }

  GitSource git_source(const YamlEntry& git, const std::optional<YamlEntry>& ref,
                       const std::optional<YamlEntry>& subdir) {
    GitSource source = checked(parse_git_remote(filled_text(git)), git.value.place);
    if (ref) {
      source.ref = full_ref(*ref);
      checked(check_git_source(source), ref->value.place);
    }
    if (subdir) {
      source.subdir = filled_text(*subdir);
      checked(check_git_source(source), subdir->value.place);
    }
    return source;
  }

  std::string full_ref(const YamlEntry& entry) {
    std::string ref = filled_text(entry);
    if (entry.key == "branch") return "refs/heads/" + ref;
    if (entry.key == "tag") return "refs/tags/" + ref;
    if (entry.key == "ref") return ref;
    if ((ref.size() != 40 && ref.size() != 64) ||
        ref.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      fail(entry.value.place, "'commit' must be a full commit id of 40 or 64 hexadecimal digits");
    }
    return lower_case(ref);
  }

  /// `{KEY: VALUE}` or `[KEY=VALUE]`, with or without the values.
  std::map<std::string, std::string> pairs(const YamlEntry& entry, Valueless valueless) {
    std::map<std::string, std::string> result;
    if (entry.value.is_map()) {
      for (const YamlEntry& pair : yaml_.entries(entry.value, shown(entry.key))) {
        std::optional<std::string> given;
        if (!pair.value.is_null()) given = yaml_.text(pair);
        add_pair(result, entry.key, {std::string(pair.key), given}, valueless, pair.place);
      }
    } else if (entry.value.is_list()) {
      std::unordered_set<std::string> seen;
      for (const YamlValue& item : yaml_.items(entry.value, shown(entry.key))) {
        Pair pair = split(yaml_.text(item, fmt::format("an item of '{}'", entry.key)));
        if (!seen.insert(pair.key).second) {
          fail(item.place, fmt::format("the key {} is given twice", shown(pair.key)));
        }
        add_pair(result, entry.key, std::move(pair), valueless, item.place);
      }
    } else if (!entry.value.is_null()) {
      fail(entry.value.place, fmt::format("'{}' must be a map, or a list of KEY=VALUE", entry.key));
    }
    return result;
  }

  struct Pair {
    std::string key;
    std::optional<std::string> value;
  };

  static Pair split(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) return {text, std::nullopt};
    return {text.substr(0, equals), text.substr(equals + 1)};
  }

  void add_pair(std::map<std::string, std::string>& pairs, std::string_view where, Pair pair,
                Valueless valueless, Place place) {
    // The engines take KEY=VALUE: another `=` would move the border.
    if (pair.key.empty() || pair.key.find('=') != std::string::npos) {
      fail(place, fmt::format("a key in '{}' cannot be empty or hold '='", where));
    }
    if (!pair.value && valueless == Valueless::Empty) pair.value = "";
    if (!pair.value && environment_) pair.value = environment_(pair.key);
    if (pair.value) pairs.emplace(std::move(pair.key), *std::move(pair.value));
  }

  std::string filled_text(const YamlEntry& entry) {
    if (entry.value.is_null() || (entry.value.is_text() && entry.value.node->text.empty())) {
      fail(entry.value.place, fmt::format("'{}' is empty", entry.key));
    }
    return yaml_.text(entry);
  }

  [[noreturn]] static void exclude(const YamlEntry& first, const YamlEntry& second) {
    fail(second.place, fmt::format("'{}' cannot stand beside '{}'", second.key, first.key));
  }

  Yaml& yaml_;
  const Environment& environment_;
};

// What `read` gives, with whatever it throws as a value.
template <typename T, typename Read>
tl::expected<T, ParseError> with_errors(const Read& read) {
  try {
    return read();
  } catch (YamlError& found) {
    return tl::unexpected(std::move(found.error));
  } catch (const std::exception& error) {
    return tl::unexpected(ParseError{fmt::format("the file cannot be read: {}", error.what())});
  } catch (...) {
    return tl::unexpected(ParseError{"the file cannot be read"});
  }
}

}  // namespace

tl::expected<Yaml, ParseError> read_yaml(std::string_view text) {
  return with_errors<Yaml>([&] {
    if (text.size() > kMaxConfigBytes) {
      fail({}, fmt::format("the file has more than {} bytes, which no configuration needs",
                           kMaxConfigBytes));
    }
    return Yaml(text);
  });
}

tl::expected<Config, ParseError> parse_config(Yaml& yaml, const Environment& environment) {
  return with_errors<Config>([&] { return Reader(yaml, environment).config(); });
}

tl::expected<Config, ParseError> parse_config(std::string_view text,
                                              const Environment& environment) {
  auto yaml = read_yaml(text);
  if (!yaml) return tl::unexpected(std::move(yaml.error()));
  return parse_config(*yaml, environment);
}

}  // namespace imagewright
