// Fuzzes the configuration: whatever the text, it is read within bounds, an error is one line with
// a place in the text, and what is accepted keeps its promises and reads back from its own values.
#include "core/config.h"

#include <map>
#include <set>
#include <vector>

#include "check.h"
#include "core/config_values.h"
#include "core/platform_images.h"
#include "core/reference.h"

namespace imagewright::fuzz {
namespace {

using Pairs = std::map<std::string, std::string>;

std::optional<std::string> environment(const std::string& name) {
  if (name.size() % 2 == 0) return std::nullopt;
  return "value of " + name;
}

// A text between double quotes. All that is not printable ASCII is written as an escape or, beyond
// ASCII, as it is.
std::string quoted(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      result += "\\x";
      result += kDigits[byte / 16];
      result += kDigits[byte % 16];
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string written(const Pairs& pairs) {
  std::string text = "{";
  for (const auto& [key, value] : pairs) text += quoted(key) + ": " + quoted(value) + ", ";
  return text + "}";
}

std::string written(const std::vector<std::string>& list) {
  std::string text = "[";
  for (const std::string& item : list) text += quoted(item) + ", ";
  return text + "]";
}

std::string written(const Source& source) {
  if (const auto* directory = std::get_if<DirectorySource>(&source)) {
    return "{dir: " + quoted(directory->path) + "}";
  }
  const auto& git = std::get<GitSource>(source);
  std::string text = "{git: " + quoted(git.remote);
  if (!git.ref.empty()) text += ", ref: " + quoted(git.ref);
  if (!git.subdir.empty()) text += ", subdir: " + quoted(git.subdir);
  if (!git.checksum.empty()) text += ", checksum: " + quoted(git.checksum);
  if (!git.fetch.empty()) text += ", fetch: " + quoted(git.fetch);
  text += "}";
  // (Keys beside it.)
  if (git.submodules) text += "\n    submodules: true";
  if (git.lfs) text += "\n    lfs: true";
  return text;
}

std::string written(const BuildOptions& options) {
  std::string text = "    platforms: " + written(options.platforms) + "\n    secrets: [";
  for (const Secret& secret : options.secrets) {
    text += "{id: " + quoted(secret.id) +
            (secret.file.empty() ? ", environment: " + quoted(secret.environment)
                                 : ", file: " + quoted(secret.file)) +
            "}, ";
  }
  text += "]\n    ssh: " + written(options.ssh) +
          "\n    cache_from: " + written(options.cache_from) +
          "\n    cache_to: " + written(options.cache_to) + "\n    extra_hosts: [";
  for (const auto& [host, address] : options.extra_hosts) {
    text += quoted(host + "=" + address) + ", ";
  }
  text += "]\n    ulimits: {";
  for (const auto& [name, limit] : options.ulimits) {
    text += name + ": {soft: " + std::to_string(limit.soft) +
            ", hard: " + std::to_string(limit.hard) + "}, ";
  }
  text += "}\n";
  if (!options.network.empty()) text += "    network: " + quoted(options.network) + "\n";
  if (options.shm_size != 0) text += "    shm_size: " + std::to_string(options.shm_size) + "\n";
  if (options.no_cache) text += "    no_cache: true\n";
  if (options.pull) text += "    pull: true\n";
  if (options.privileged) text += "    privileged: true\n";
  return text;
}

std::string written(const Config& config) {
  std::string text = "builder:\n";
  if (!config.engine.empty()) text += "  engine: " + config.engine + "\n";
  text += "  images:\n";
  for (const ImageConfig& image : config.images) {
    text += "  - name: " + quoted(image.name) + "\n    from: " + written(image.source) + "\n";
    if (!image.dockerfile.empty()) text += "    dockerfile: " + quoted(image.dockerfile) + "\n";
    if (!image.dockerfile_inline.empty()) {
      text += "    dockerfile_inline: " + quoted(image.dockerfile_inline) + "\n";
    }
    if (!image.target.empty()) text += "    target: " + quoted(image.target) + "\n";
    text += "    args: " + written(image.args) + "\n";
    text += "    labels: " + written(image.labels) + "\n";
    text += "    additional_contexts: " + written(image.additional_contexts) + "\n";
    text += "    depends_on: " + written(image.depends_on) + "\n";
    text += "    tags: " + written(image.tags) + "\n";
    if (image.push) text += std::string("    push: ") + (*image.push ? "true\n" : "false\n");
    if (image.oci_labels) text += "    oci_labels: true\n";
    if (!image.narrow) text += "    narrow: false\n";
    text += std::string("    track_base: ") + word(image.track_base) + "\n";
    if (image.max_age.count() > 0) text += "    max_age: " + duration_text(image.max_age) + "\n";
    text += "    timeout: " + duration_text(image.timeout) + "\n";
    text += "    retries: " + std::to_string(image.retries) + "\n";
    text += "    weight: " + std::to_string(image.weight) + "\n";
    text += written(image.options);
  }
  return text;
}

bool is_same(ImageConfig a, const ImageConfig& b) {
  a.line = b.line;
  return a == b;
}

void check_pairs(const Pairs& pairs, std::string_view text) {
  for (const auto& [key, value] : pairs) {
    FUZZ_CHECK(!key.empty() && !contains(key, "="), text, key);
    // A program's argument ends at a NUL.
    FUZZ_CHECK(!contains(key, std::string_view("\0", 1)), text, key);
    FUZZ_CHECK(!contains(value, std::string_view("\0", 1)), text, value);
  }
}

void check_image(const ImageConfig& image, std::string_view text) {
  const auto reference = parse_reference(image.name);
  FUZZ_CHECK(reference && reference->digest.empty(), text, image.name);
  if (const auto* git = std::get_if<GitSource>(&image.source)) {
    FUZZ_CHECK(check_git_source(*git).has_value(), text, git->remote);
  } else {
    const std::string& path = std::get<DirectorySource>(image.source).path;
    FUZZ_CHECK(!path.empty() && !contains(path, std::string_view("\0", 1)), text, path);
  }
  FUZZ_CHECK(!contains(image.dockerfile, std::string_view("\0", 1)), text);
  FUZZ_CHECK(!contains(image.target, std::string_view("\0", 1)), text);
  check_pairs(image.args, text);
  check_pairs(image.labels, text);
  check_pairs(image.additional_contexts, text);
  FUZZ_CHECK(image.dockerfile.empty() || image.dockerfile_inline.empty(), text);
  FUZZ_CHECK(image.timeout.count() >= 0 && image.retries >= 0 && image.retries <= kMaxRetries &&
                 image.weight >= 1 && image.weight <= kMaxWeight,
             text, image.name);
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  FUZZ_CHECK(image.line >= 1 && image.line <= lines, text, image.name);
}

void check_error(const ParseError& error, std::string_view text) {
  check_message(error.message);
  FUZZ_CHECK(error.line >= 0 && error.column >= 0, text, error.message);
  FUZZ_CHECK(error.line > 0 || error.column == 0, text, error.message);
  if (error.line == 0) return;
  const auto lines = split(text, "\n");
  FUZZ_CHECK(static_cast<std::size_t>(error.line) <= lines.size(), text, error.message);
  const std::string_view line = lines[static_cast<std::size_t>(error.line) - 1];
  FUZZ_CHECK(static_cast<std::size_t>(error.column) <= line.size() + 1, text, error.message);
}

// Each for one platform at most, no two of one name, and one that leads each index.
void check_platforms(const Config& config, std::string_view text) {
  const auto images = one_for_each_platform(config.images, "linux/amd64");
  if (!images) return check_error(images.error(), text);
  std::set<std::string> names;
  std::map<std::string, int> leaders;
  for (const ImageConfig& image : *images) {
    FUZZ_CHECK(image.options.platforms.size() <= 1, text, image.name);
    FUZZ_CHECK(names.insert(normalized(*parse_reference(image.name))).second, text, image.name);
    if (!image.index.empty()) leaders[image.index] += image.leads_index ? 1 : 0;
    FUZZ_CHECK(!image.leads_index || !image.index.empty(), text, image.name);
  }
  for (const auto& [index, count] : leaders) FUZZ_CHECK(count == 1, text, index);
}

void run(std::string_view text) {
  const auto config = parse_config(text, environment);
  if (!config) {
    check_error(config.error(), text);
    return;
  }
  FUZZ_CHECK(!config->images.empty(), text);
  const std::string& engine = config->engine;
  FUZZ_CHECK(engine.empty() || engine == "docker" || engine == "podman" || engine == "buildah",
             text, engine);
  std::set<std::string> names;
  std::map<std::string, std::vector<std::string>> platforms;  // by full name
  for (const ImageConfig& image : config->images) {
    check_image(image, text);
    names.insert(image.name);
    const auto [known, fresh] =
        platforms.try_emplace(normalized(*parse_reference(image.name)), image.options.platforms);
    if (fresh) continue;
    FUZZ_CHECK(are_disjoint(known->second, image.options.platforms), text, image.name);
    known->second.insert(known->second.end(), image.options.platforms.begin(),
                         image.options.platforms.end());
  }
  check_platforms(*config, text);
  for (const ImageConfig& image : config->images) {
    for (const std::string& other : image.depends_on) {
      FUZZ_CHECK(other != image.name && names.count(other) == 1, text, image.name, other);
    }
  }
  const std::string own = written(*config);
  if (own.size() > kMaxConfigBytes || config->images.size() > 1000) return;
  const auto again = parse_config(own, environment);
  // What a matrix or aliases made can be too much for a file that has none.
  if (!again && contains(again.error().message, "aliases expanded")) return;
  FUZZ_CHECK(again.has_value(), text, own, again ? "" : describe(again.error(), ""));
  FUZZ_CHECK(again->engine == config->engine, text, own);
  FUZZ_CHECK(std::equal(config->images.begin(), config->images.end(), again->images.begin(),
                        again->images.end(), is_same),
             text, own);
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  imagewright::fuzz::run(imagewright::fuzz::as_text(data, size));
  return 0;
}
