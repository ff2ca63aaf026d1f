// Reads the tree of core/yaml. Only what stands under `builder` is walked.
#include "core/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/config_options.h"
#include "core/config_reader.h"
#include "core/config_source.h"
#include "core/config_values.h"
#include "core/matrix.h"
#include "core/platform_images.h"
#include "core/reference.h"
#include "core/shown.h"
#include "core/suggest.h"
#include "core/tags.h"

namespace imagewright {

namespace {

const Keys& builder_keys() {
  static const Keys keys{"'builder'",
                         {"images", "engine", "vars", "defaults", "insecure_registries", "publish",
                          "git", "platform"}};
  return keys;
}

const Keys& git_keys() {
  static const Keys keys{"'git'", {"jobs", "connect_timeout", "idle_timeout"}};
  return keys;
}

const Keys& image_keys() {
  static const Keys keys{"an image", {"name",       "from",        "dockerfile",
                                      "target",     "args",        "labels",
                                      "matrix",     "depends_on",  "dockerfile_inline",
                                      "platforms",  "constraints", "secrets",
                                      "ssh",        "cache_from",  "cache_to",
                                      "network",    "extra_hosts", "shm_size",
                                      "ulimits",    "no_cache",    "pull",
                                      "privileged", "timeout",     "retries",
                                      "weight",     "narrow",      "additional_contexts",
                                      "track_base", "max_age",     "tags",
                                      "push",       "oci_labels",  "submodules",
                                      "lfs"}};
  return keys;
}

/// All keys of an image but what makes it this one.
const Keys& default_keys() {
  static const Keys keys = [] {
    Keys result = image_keys();
    result.where = "'defaults'";
    const auto is_own = [](const std::string& key) { return key == "name" || key == "matrix"; };
    result.known.erase(std::remove_if(result.known.begin(), result.known.end(), is_own),
                       result.known.end());
    return result;
  }();
  return keys;
}

class Parser {
 public:
  Parser(Yaml& yaml, const Environment& environment, const Selection& selection)
      : yaml_(yaml),
        environment_(environment),
        selection_(selection),
        platform_(selection.platform),
        reader_(yaml, [this](const std::string& name) { return variable(name); }) {}

  Config config() {
    const YamlValue builder = find_builder();
    Config config;
    std::optional<YamlValue> images;
    std::optional<YamlEntry> vars, defaults;
    for (const YamlEntry& entry : reader_.known_entries(builder, builder_keys())) {
      if (entry.key == "engine") config.engine = engine(entry);
      if (entry.key == "insecure_registries") config.insecure_registries = registries(entry);
      if (entry.key == "publish") config.publish = publish(entry);
      if (entry.key == "git") config.git = git(entry.value);
      if (entry.key == "platform") read_platform(entry);
      if (entry.key == "images") images = entry.value;
      if (entry.key == "vars") vars = entry;
      if (entry.key == "defaults") defaults = entry;
    }
    if (!images) fail(builder.place, "'builder' has no list 'images'");
    if (vars) read_vars(*vars);
    if (defaults) read_defaults(*defaults);
    config.images = read_images(*images);
    config.left_out = std::move(left_out_);
    config.other_names = std::move(other_names_);
    return config;
  }

 private:
  /// An image with what is only known while it is read.
  struct Draft {
    ImageConfig image;
    Place name_place;
    std::string full_name;  ///< normalized
    std::vector<std::string> constraints;
    std::optional<bool> submodules;
    bool lfs = false;
    bool has_from = false;
    std::optional<YamlEntry> depends_on;
    bool depends_by_default = false;
  };
  /// What an image depends on, until all images are known.
  struct Wish {
    std::size_t image = 0;
    std::string full;  ///< normalized
    std::string name;
    Place place;
  };

  /// (The user's own wins.)
  void read_platform(const YamlEntry& entry) {
    std::string platform = reader_.filled_text(entry);
    if (!is_selectable_platform(platform)) {
      fail(entry.value.place,
           fmt::format("'platform' must be native or a platform like linux/arm64, and not {}",
                       shown(platform)));
    }
    if (platform_.empty()) platform_ = std::move(platform);
  }

  GitLimits git(const YamlValue& value) {
    GitLimits limits;
    for (const YamlEntry& entry : reader_.known_entries(value, git_keys())) {
      if (entry.key == "jobs")
        limits.jobs = static_cast<std::size_t>(number(entry, 1, kMaxGitJobs));
      if (entry.key == "connect_timeout") limits.connect_time = seconds(entry);
      if (entry.key == "idle_timeout") limits.idle_time = seconds(entry);
    }
    return limits;
  }

  // At least one.
  std::chrono::seconds seconds(const YamlEntry& entry) {
    const auto time = ConfigReader::checked(parse_duration(reader_.text(entry)),
                                            fmt::format("'{}'", entry.key), entry.value.place);
    return std::max(std::chrono::ceil<std::chrono::seconds>(time), std::chrono::seconds(1));
  }

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

  // --- Variables

  std::optional<std::string> variable(const std::string& name) const {
    if (combination_ != nullptr) {
      if (const auto own = combination_->find(name); own != combination_->end()) return own->second;
    }
    if (environment_) {
      if (auto value = environment_(name)) return value;
    }
    const auto var = vars_.find(name);
    return var != vars_.end() ? std::optional(var->second) : std::nullopt;
  }

  static void check_variable(const YamlEntry& entry, std::string_view where) {
    if (is_variable_name(entry.key)) return;
    fail(entry.place, fmt::format("{} cannot be a key of '{}'; it must be letters, digits and '_', "
                                  "no digit first",
                                  shown(entry.key), where));
  }

  /// Each may use those above it. Without a value it has to come from the environment.
  void read_vars(const YamlEntry& vars) {
    reader_.variables = true;
    if (vars.value.is_null()) return;
    for (const YamlEntry& entry : yaml_.entries(vars.value, "'vars'")) {
      check_variable(entry, "vars");
      if (!entry.value.is_null()) vars_[std::string(entry.key)] = reader_.text(entry);
    }
  }

  // --- Defaults

  void read_defaults(const YamlEntry& defaults) {
    for (const YamlEntry& entry : yaml_.entries(defaults.value, "'defaults'")) {
      if (entry.key == "name") {
        fail(entry.place, "'name' cannot be in 'defaults': no two images have one name");
      }
      if (entry.key == "matrix") {
        fail(entry.place,
             "'matrix' cannot be in 'defaults'; give it to each image, or to one with "
             "an anchor and to the others with an alias");
      }
    }
    default_entries_ = reader_.known_entries(defaults.value, default_keys());
  }

  /// An image before its own keys are read. With a matrix, defaults can differ from image to image.
  Draft draft() {
    if (combination_ == nullptr && defaults_) return *defaults_;
    Draft made;
    read(default_entries_, made);
    made.depends_by_default = true;
    if (combination_ == nullptr) defaults_ = made;
    return made;
  }

  // --- Images

  std::vector<ImageConfig> read_images(const YamlValue& list) {
    const std::vector<YamlValue> items = yaml_.items(list, "'images'");
    images_.reserve(items.size());
    for (const YamlValue& item : items) add(item);
    if (images_.empty()) {
      if (left_out_.empty()) fail(list.place, "'images' is empty; it needs at least one image");
      const LeftOut& first = left_out_.front();
      fail(list.place, fmt::format("no image is left to build: of '{}', {}{}", first.name,
                                   first.why, left_out_.size() > 1 ? "; and so on" : ""));
    }
    for (const Wish& wish : wishes_) grant(wish);
    check_names();
    return std::move(images_);
  }

  void add(const YamlValue& map) {
    const std::vector<YamlEntry> entries = reader_.known_entries(map, image_keys());
    const auto matrix = std::find_if(entries.begin(), entries.end(),
                                     [](const YamlEntry& entry) { return entry.key == "matrix"; });
    if (matrix == entries.end()) return add(map, entries);
    const std::vector<Combination> all = read_combinations(*matrix);
    yaml_.allow_repeats();
    const bool variables = std::exchange(reader_.variables, true);
    for (const Combination& combination : all) {
      combination_ = &combination;
      add(map, entries);
    }
    combination_ = nullptr;
    reader_.variables = variables;
  }

  void add(const YamlValue& map, const std::vector<YamlEntry>& entries) {
    Draft made;
    if (!default_entries_.empty()) made = draft();
    read(entries, made);
    if (made.image.name.empty()) fail(map.place, "an image has no 'name'");
    if (!made.has_from) {
      fail(map.place, fmt::format("the image '{}' has no 'from'", made.image.name));
    }
    if (made.image.options.pull && made.image.track_base == TrackBase::Local) {
      fail(map.place, fmt::format("the image '{}' has 'pull' with 'track_base: local', which never "
                                  "pulls",
                                  made.image.name));
    }
    complete_source(made, entries);
    for (const std::string& platform : made.image.options.platforms)
      other_names_.push_back(name_for_platform(made.image.name, platform));
    if (!made.image.options.platforms.empty()) other_names_.push_back(made.image.name);
    if (std::string why = imagewright::why_left_out(selection_, platform_, made.constraints,
                                                    made.image.options.platforms);
        !why.empty()) {
      left_out_.push_back({std::move(made.image.name), std::move(why)});
      return;
    }
    claim_name(made);
    if (made.depends_on) wish(made);
    images_.push_back(std::move(made.image));
  }

  /// What keys beside `from` say of it. (Of a directory they may be in `defaults`.)
  static void complete_source(Draft& made, const std::vector<YamlEntry>& entries) {
    if (auto* git = std::get_if<GitSource>(&made.image.source)) {
      if (made.submodules) git->submodules = *made.submodules;
      git->lfs = made.lfs;
      return;
    }
    for (const YamlEntry& entry : entries) {
      if ((entry.key == "submodules" && *made.submodules) || (entry.key == "lfs" && made.lfs))
        fail(entry.place,
             fmt::format("'{}' is for a git source, and 'from' is a directory", entry.key));
    }
  }

  void claim_name(const Draft& made) {
    const ImageConfig& image = made.image;
    const auto [first, fresh] = numbers_.try_emplace(made.full_name, images_.size());
    if (fresh) return;
    const ImageConfig* other = &images_[first->second];
    if (!image.options.platforms.empty() && !other->options.platforms.empty()) {
      // Those of one name are for other platforms each, or one of them is in the way.
      const auto in_the_way =
          std::find_if(images_.begin() + static_cast<std::ptrdiff_t>(first->second), images_.end(),
                       [&](const ImageConfig& one) {
                         return full_name(one.name, {}) == made.full_name &&
                                !are_disjoint(image.options.platforms, one.options.platforms);
                       });
      if (in_the_way == images_.end()) return;
      other = &*in_the_way;
    }
    std::string message =
        fmt::format("the image '{}' is defined already, in line {}", image.name, other->line);
    if (combination_ != nullptr)
      message += "; with a matrix, 'name' must hold ${KEY} of each key that makes a difference";
    fail(made.name_place, std::move(message));
  }

  /// What `entries` say, over what `made` has.
  void read(const std::vector<YamlEntry>& entries, Draft& made) {
    ImageConfig& image = made.image;
    std::optional<YamlEntry> dockerfile;
    for (const YamlEntry& entry : entries) {
      if (entry.key == "name") {
        image.name = name(entry, made.full_name);
        made.name_place = entry.value.place;
        image.line = entry.value.place.line;
      } else if (entry.key == "from") {
        image.source = read_source(reader_, entry);
        made.has_from = true;
      } else if (entry.key == "dockerfile" || entry.key == "dockerfile_inline") {
        if (dockerfile) ConfigReader::exclude(*dockerfile, entry);
        dockerfile = entry;
        image.dockerfile.clear();
        image.dockerfile_inline.clear();
        const bool is_path = entry.key == "dockerfile";
        (is_path ? image.dockerfile : image.dockerfile_inline) = reader_.filled_text(entry);
      } else if (entry.key == "target") {
        image.target = reader_.filled_text(entry);
      } else if (entry.key == "args") {
        merge(entry, image.args, Valueless::FromEnvironment);
      } else if (entry.key == "labels") {
        merge(entry, image.labels, Valueless::Empty);
      } else if (entry.key == "additional_contexts") {
        merge(entry, image.additional_contexts, Valueless::Refused);
      } else if (entry.key == "depends_on") {
        made.depends_on = entry;
        made.depends_by_default = false;
      } else if (entry.key == "timeout") {
        image.timeout = ConfigReader::checked(parse_duration(reader_.text(entry)), "'timeout'",
                                              entry.value.place);
      } else if (entry.key == "max_age") {
        image.max_age = ConfigReader::checked(parse_duration(reader_.text(entry)), "'max_age'",
                                              entry.value.place);
      } else if (entry.key == "retries") {
        image.retries = number(entry, 0, kMaxRetries);
      } else if (entry.key == "weight") {
        image.weight = number(entry, 1, kMaxWeight);
      } else if (entry.key == "track_base") {
        image.track_base = track_base(entry);
      } else if (entry.key == "tags") {
        image.tags = tags(entry);
      } else if (entry.key == "constraints") {
        made.constraints = constraints(entry);
      } else if (entry.key == "push") {
        image.push = reader_.flag(entry);
      } else if (entry.key == "submodules") {
        made.submodules = reader_.flag(entry);
      } else if (entry.key == "lfs") {
        made.lfs = reader_.flag(entry);
      } else if (entry.key == "oci_labels") {
        image.oci_labels = reader_.flag(entry);
      } else if (entry.key == "narrow") {
        image.narrow = reader_.flag(entry);
      } else {
        read_option(reader_, entry, image.options);
      }
    }
  }

  int number(const YamlEntry& entry, int least, int most) {
    return static_cast<int>(ConfigReader::checked(parse_number(reader_.text(entry), least, most),
                                                  fmt::format("'{}'", entry.key),
                                                  entry.value.place));
  }

  /// What pairs make of a key without a value.
  enum class Valueless { FromEnvironment, Empty, Refused };

  void merge(const YamlEntry& entry, std::map<std::string, std::string>& pairs,
             Valueless valueless) {
    const auto add = [&](std::string key, std::optional<std::string> value, Place place) {
      if (!value && valueless == Valueless::Empty) value = "";
      if (!value && valueless == Valueless::Refused) {
        fail(place, fmt::format("the key {} in '{}' has no value", shown(key), entry.key));
      }
      if (!value && environment_) value = environment_(key);
      if (value) {
        pairs.insert_or_assign(std::move(key), *std::move(value));
      } else {
        pairs.erase(key);
      }
    };
    reader_.pairs(entry, std::ref(add));  // (a copy of it would be allocated)
  }

  /// `full` becomes what it is, normalized.
  std::string name(const YamlEntry& entry, std::string& full) {
    const Place place = entry.value.place;
    std::string name = reader_.filled_text(entry);
    const auto reference = parse_reference(name);
    if (!reference) {
      std::string message = reference.error().message;
      if (!reader_.variables && name.find("${") != std::string::npos) {
        message += "; variables are read in a file with 'vars', and in an image with a 'matrix'";
      }
      fail(place, std::move(message));
    }
    if (!reference->digest.empty()) {
      fail(place, "'name' cannot have a digest: an image has one only once it is built");
    }
    // In full it is what the engines take it for, and not all that is a name is one then.
    full = normalized(*reference);
    if (const auto good = parse_reference(full); !good) fail(place, good.error().message);
    return name;
  }

  std::vector<std::string> constraints(const YamlEntry& entry) {
    std::vector<std::string> result;
    for (auto& [text, place] : reader_.texts(entry)) {
      if (!is_plain_word(text.substr(text.starts_with('!') ? 1 : 0))) {
        fail(place, fmt::format("{} is no constraint; one is of letters, digits, '.', '_' and '-', "
                                "with or without '!' before it",
                                shown(text)));
      }
      result.push_back(std::move(text));
    }
    return result;
  }

  std::string engine(const YamlEntry& entry) {
    static const std::vector<std::string> kEngines = {"docker", "podman", "buildah"};
    std::string name = reader_.filled_text(entry);
    if (contains(kEngines, name)) return name;
    fail(entry.value.place, fmt::format("unknown engine {}{}", shown(name), hint(name, kEngines)));
  }

  TrackBase track_base(const YamlEntry& entry) {
    static const std::vector<std::string> kWords = {"digest", "local", "off"};
    // (A bare `off` is what it is, and no boolean: values here are texts.)
    const std::string text = reader_.filled_text(entry);
    for (const TrackBase track : {TrackBase::Digest, TrackBase::Local, TrackBase::Off}) {
      if (text == word(track)) return track;
    }
    fail(entry.value.place,
         fmt::format("'track_base' cannot be {}{}", shown(text), hint(text, kWords)));
  }

  PublishWhen publish(const YamlEntry& entry) {
    static const std::vector<std::string> kWords = {"each", "together"};
    const std::string text = reader_.filled_text(entry);
    for (const PublishWhen when : {PublishWhen::Each, PublishWhen::Together}) {
      if (text == word(when)) return when;
    }
    fail(entry.value.place,
         fmt::format("'publish' cannot be {}{}", shown(text), hint(text, kWords)));
  }

  std::vector<std::string> tags(const YamlEntry& entry) {
    std::vector<std::string> all;
    for (auto& [text, place] : reader_.texts(entry)) {
      if (const auto good = check_tag(text); !good) fail(place, good.error().message);
      all.push_back(std::move(text));
    }
    return all;
  }

  std::vector<std::string> registries(const YamlEntry& entry) {
    std::vector<std::string> all;
    for (auto& [text, place] : reader_.texts(entry)) {
      // (What a reference can begin with.)
      const auto reference = parse_reference(text + "/x");
      if (!reference || normalized(*reference) != text + "/x:latest") {
        fail(place, fmt::format("{} is no registry; it must be HOST or HOST:PORT, as image names "
                                "begin with it",
                                shown(text)));
      }
      all.push_back(std::move(text));
    }
    return all;
  }

  /// No name of an image may be another one's, whatever it is built from.
  void check_names() {
    std::unordered_map<std::string, const ImageConfig*> owners;
    for (const ImageConfig& image : images_) {
      if (image.tags.empty()) continue;
      if (owners.empty()) {
        for (const ImageConfig& other : images_)
          owners.emplace(normalized(*parse_reference(other.name)), &other);
      }
      const auto references = fixed_references(image.name, image.tags);
      if (!references) fail({image.line, 0}, references.error().message);
      for (const std::string& reference : *references) {
        const auto [owner, fresh] = owners.emplace(normalized(*parse_reference(reference)), &image);
        // (Those of one name are published as one.)
        if (!fresh && full_name(owner->second->name, {}) != full_name(image.name, {})) {
          fail({image.line, 0}, fmt::format("the images '{}' and '{}' cannot both be {}",
                                            owner->second->name, image.name, shown(reference)));
        }
      }
    }
  }

  // --- What an image depends on

  /// Notes it for the image that comes next. One that `defaults` names does not get it from there.
  void wish(const Draft& made) {
    const YamlEntry& entry = *made.depends_on;
    std::vector<std::pair<std::string, Place>> names;
    if (entry.value.is_list()) {
      names = reader_.texts(entry);
    } else {
      names.emplace_back(reader_.filled_text(entry), entry.value.place);
    }
    std::vector<Wish> wishes;
    for (auto& [name, place] : names) {
      wishes.push_back({images_.size(), full_name(name, place), std::move(name), place});
      const bool is_own = wishes.back().full == made.full_name;
      if (is_own && made.depends_by_default) return;
      if (is_own) {
        fail(place, fmt::format("the image {} cannot depend on itself", shown(wishes.back().name)));
      }
    }
    std::move(wishes.begin(), wishes.end(), std::back_inserter(wishes_));
  }

  static std::string full_name(const std::string& name, Place place) {
    const auto reference = parse_reference(name);
    if (!reference) fail(place, reference.error().message);
    return normalized(*reference);
  }

  void grant(const Wish& wish) {
    const auto found = numbers_.find(wish.full);
    if (found == numbers_.end()) {
      std::vector<std::string> names;
      for (const ImageConfig& image : images_) names.push_back(image.name);
      for (const LeftOut& other : left_out_) {
        if (normalized(*parse_reference(other.name)) == wish.full) {
          fail(wish.place, fmt::format("'depends_on' names {}, which is left out here: {}",
                                       shown(wish.name), other.why));
        }
      }
      fail(wish.place, fmt::format("'depends_on' must name images of this file, and {} is none{}",
                                   shown(wish.name), did_you_mean(wish.name, names)));
    }
    std::vector<std::string>& all = images_[wish.image].depends_on;
    const std::string& name = images_[found->second].name;
    if (!contains(all, name)) all.push_back(name);
  }

  // --- A matrix

  std::vector<Combination> read_combinations(const YamlEntry& entry) {
    Matrix matrix;
    std::optional<YamlEntry> exclude;
    for (const YamlEntry& part : yaml_.entries(entry.value, "'matrix'")) {
      if (part.key == "include") {
        matrix.include = read_parts(part);
      } else if (part.key == "exclude") {
        exclude = part;
      } else {
        check_variable(part, "matrix");
        matrix.axes.emplace_back(part.key, read_values(part));
      }
    }
    if (exclude) matrix.exclude = read_parts(*exclude, &matrix);
    constexpr std::size_t kMaxParts = 1000;
    if (!matrix.axes.empty() && matrix.exclude.size() + matrix.include.size() > kMaxParts) {
      fail(entry.value.place,
           fmt::format("'include' and 'exclude' have more than {} items", kMaxParts));
    }
    const std::size_t limit = kMaxImages - std::min(kMaxImages, images_.size());
    auto all = combinations(matrix, limit);
    if (!all) {
      fail(entry.value.place,
           fmt::format("this matrix brings the file to more than {} images", kMaxImages));
    }
    if (all->empty())
      fail(entry.value.place, "the matrix leaves no combination to make an image of");
    return *std::move(all);
  }

  std::vector<std::string> read_values(const YamlEntry& axis) {
    std::vector<std::string> values;
    const std::string what = fmt::format("a value of '{}'", axis.key);
    for (const YamlValue& item : yaml_.items(axis.value, shown(axis.key))) {
      values.push_back(reader_.text(item, what));
    }
    if (values.empty()) {
      fail(axis.value.place, fmt::format("'{}' is empty; it needs at least one value", axis.key));
    }
    return values;
  }

  /// With `matrix`: only its keys may be in them.
  std::vector<Combination> read_parts(const YamlEntry& list, const Matrix* matrix = nullptr) {
    std::vector<std::string> keys;
    if (matrix != nullptr) {
      for (const auto& [key, values] : matrix->axes) keys.push_back(key);
    }
    std::vector<Combination> parts;
    const std::string what = fmt::format("an item of '{}'", list.key);
    for (const YamlValue& item : yaml_.items(list.value, fmt::format("'{}'", list.key))) {
      Combination part;
      for (const YamlEntry& entry : yaml_.entries(item, what)) {
        check_variable(entry, list.key);
        if (matrix != nullptr && !contains(keys, entry.key)) {
          fail(entry.place, fmt::format("'exclude' names {}, which is no key of this matrix{}",
                                        shown(entry.key), did_you_mean(entry.key, keys)));
        }
        part.emplace(entry.key, reader_.text(entry));
      }
      if (part.empty()) fail(item.place, fmt::format("{} is empty", what));
      parts.push_back(std::move(part));
    }
    return parts;
  }

  Yaml& yaml_;
  const Environment& environment_;
  const Selection& selection_;
  std::string platform_;  ///< that is built for; "": any
  ConfigReader reader_;
  std::map<std::string, std::string> vars_;
  const Combination* combination_ = nullptr;  ///< of the image that is being read
  std::vector<YamlEntry> default_entries_;
  std::optional<Draft> defaults_;  ///< as an image without a matrix has them
  std::vector<ImageConfig> images_;
  std::vector<LeftOut> left_out_;
  std::vector<std::string> other_names_;
  std::unordered_map<std::string, std::size_t> numbers_;  ///< of the images, by normalized name
  std::vector<Wish> wishes_;
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

const char* word(PublishWhen when) {
  return when == PublishWhen::Each ? "each" : "together";
}

std::vector<std::string> all_names(const Config& config) {
  std::vector<std::string> names;
  names.reserve(config.images.size() + config.left_out.size());
  for (const ImageConfig& image : config.images) names.push_back(image.name);
  for (const LeftOut& image : config.left_out) names.push_back(image.name);
  names.insert(names.end(), config.other_names.begin(), config.other_names.end());
  return names;
}

const char* word(TrackBase track) {
  switch (track) {
    case TrackBase::Digest:
      return "digest";
    case TrackBase::Local:
      return "local";
    case TrackBase::Off:
      return "off";
  }
  return "";
}

tl::expected<Yaml, ParseError> read_yaml(std::string_view text) {
  return with_errors<Yaml>([&] {
    if (text.size() > kMaxConfigBytes) {
      fail({}, fmt::format("the file has more than {} bytes, which no configuration needs",
                           kMaxConfigBytes));
    }
    return Yaml(text);
  });
}

tl::expected<Config, ParseError> parse_config(Yaml& yaml, const Environment& environment,
                                              const Selection& selection) {
  return with_errors<Config>([&] { return Parser(yaml, environment, selection).config(); });
}

tl::expected<Config, ParseError> parse_config(std::string_view text, const Environment& environment,
                                              const Selection& selection) {
  auto yaml = read_yaml(text);
  if (!yaml) return tl::unexpected(std::move(yaml.error()));
  return parse_config(*yaml, environment, selection);
}

}  // namespace imagewright
