// Fuzzes the configuration: whatever the text, it is read within bounds, an error is one line with
// a place in the text, and what is accepted keeps its promises and reads back from its own values.
#include "core/config.h"

#include <set>

#include "check.h"
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

// nullopt: a source that the map form has no keys for.
std::optional<std::string> written(const Source& source) {
  if (const auto* directory = std::get_if<DirectorySource>(&source)) {
    return "{dir: " + quoted(directory->path) + "}";
  }
  const auto& git = std::get<GitSource>(source);
  if (!git.checksum.empty()) return std::nullopt;
  std::string text = "{git: " + quoted(git.remote);
  if (!git.ref.empty()) text += ", ref: " + quoted(git.ref);
  if (!git.subdir.empty()) text += ", subdir: " + quoted(git.subdir);
  return text + "}";
}

std::optional<std::string> written(const Config& config) {
  std::string text = "builder:\n";
  if (!config.engine.empty()) text += "  engine: " + config.engine + "\n";
  text += "  images:\n";
  for (const ImageConfig& image : config.images) {
    const auto source = written(image.source);
    if (!source) return std::nullopt;
    text += "  - name: " + quoted(image.name) + "\n    from: " + *source + "\n";
    if (!image.dockerfile.empty()) text += "    dockerfile: " + quoted(image.dockerfile) + "\n";
    if (!image.target.empty()) text += "    target: " + quoted(image.target) + "\n";
    text += "    args: " + written(image.args) + "\n";
    text += "    labels: " + written(image.labels) + "\n";
  }
  return text;
}

bool is_same(const ImageConfig& a, const ImageConfig& b) {
  return a.name == b.name && a.source == b.source && a.dockerfile == b.dockerfile &&
         a.target == b.target && a.args == b.args && a.labels == b.labels;
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
  for (const ImageConfig& image : config->images) {
    check_image(image, text);
    FUZZ_CHECK(names.insert(normalized(*parse_reference(image.name))).second, text, image.name);
  }
  const auto own = written(*config);
  if (!own || own->size() > kMaxConfigBytes) return;
  const auto again = parse_config(*own, environment);
  FUZZ_CHECK(again.has_value(), text, *own, again ? "" : describe(again.error(), ""));
  FUZZ_CHECK(again->engine == config->engine, text, *own);
  FUZZ_CHECK(std::equal(config->images.begin(), config->images.end(), again->images.begin(),
                        again->images.end(), is_same),
             text, *own);
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  imagewright::fuzz::run(imagewright::fuzz::as_text(data, size));
  return 0;
}
