// Fuzzes the ignore file: whatever the text, it is read and asked in bounded time; what `text()`
// gives reads back to the same answers, and what is below a directory that may be left unread is
// ignored. The input is the file; paths to ask about stand behind two NULs, and in its own lines.
#include "core/ignore.h"

#include "check.h"

namespace imagewright::fuzz {
namespace {

// Enough to find something, and little enough for many inputs a second.
constexpr std::size_t kMaxPaths = 12;
constexpr std::size_t kMaxDepth = 8;

using Names = std::vector<std::string>;

// The path's names, without what no path of a context has.
Names names_of(std::string_view path) {
  Names names;
  for (const std::string_view name : split(path, "/")) {
    if (name.empty() || name == "." || name == ".." || contains(name, std::string_view("\0", 1))) {
      continue;
    }
    if (names.size() < kMaxDepth) names.emplace_back(name);
  }
  return names;
}

// A path that a pattern could mean: the same text with letters where its wildcards are.
std::string path_like(std::string_view pattern) {
  std::string path;
  for (const char c : pattern) {
    if (c == '*' || c == '?') {
      path += 'a';
    } else if (c != '!' && c != '[' && c != ']' && c != '\\') {
      path += c;
    }
  }
  return path;
}

std::vector<Names> paths_of(std::string_view file, std::string_view further) {
  std::vector<Names> paths;
  const auto add = [&](std::string_view path) {
    Names names = names_of(path);
    if (!names.empty() && paths.size() < kMaxPaths) paths.push_back(std::move(names));
  };
  for (const std::string_view path : split(further, "\n")) add(path);
  for (const std::string_view line : split(file, "\n")) {
    add(line);
    add(path_like(line));
    add(path_like(line) + "/b");
  }
  return paths;
}

// Is each directory on the way, and then the path, ignored? As a walk from the root asks it.
std::vector<bool> answers(const IgnoreRules& rules, const Names& names) {
  std::vector<bool> found;
  IgnoreRules::Matched parent;
  std::string path;
  bool pruned = false;
  for (const std::string& name : names) {
    path += (path.empty() ? "" : "/") + name;
    IgnoreRules::Matched matched;
    const bool ignored = rules.match(path, parent, &matched);
    FUZZ_CHECK(rules.match(path, parent, nullptr) == ignored, rules.text(), path);
    FUZZ_CHECK(ignored || !pruned, rules.text(), path);
    pruned = pruned || (ignored && rules.can_prune(path));
    found.push_back(ignored);
    parent = std::move(matched);
  }
  return found;
}

// A pattern alone ignores by itself, or by a directory above, what it ignores in a walk.
void check_alone(std::string_view pattern, const Names& names, bool ignored) {
  // Those at its ends are the file's, not the pattern's.
  if (pattern.starts_with('/') || pattern.ends_with('/')) return;
  std::string path;
  for (const std::string& name : names) path += (path.empty() ? "" : "/") + name;
  const auto alone = glob_match(pattern, path);
  FUZZ_CHECK(alone && *alone == ignored, pattern, path);
}

void run(std::string_view input) {
  const std::size_t end = input.find(std::string_view("\0\0", 2));
  const std::string_view file = input.substr(0, end);
  const std::string_view further =
      end == std::string_view::npos ? std::string_view() : input.substr(end + 2);
  for (const std::string_view line : split(file.substr(0, 200), "\n")) {
    (void)glob_match(line, path_like(line));
  }
  const auto rules = IgnoreRules::parse(file);
  if (!rules) {
    FUZZ_CHECK(!rules.error().message.empty());
    FUZZ_CHECK(rules.error().line >= 1 &&
               static_cast<std::size_t>(rules.error().line) <= split(file, "\n").size());
    return;
  }
  const std::string text = rules->text();
  const auto again = IgnoreRules::parse(text);
  FUZZ_CHECK(again.has_value(), file, text);
  FUZZ_CHECK(again->text() == text, file, text, again->text());
  FUZZ_CHECK(again->warnings().empty(), file, text);
  FUZZ_CHECK(!rules->empty() || text.empty(), file, text);
  const bool is_one = !text.empty() && text.find('\n') == text.size() - 1 && text[0] != '!';
  for (const Names& names : paths_of(file, further)) {
    const std::vector<bool> ignored = answers(*rules, names);
    FUZZ_CHECK(ignored == answers(*again, names), file, text, names.back());
    FUZZ_CHECK(!rules->empty() || !ignored.back(), file, text, names.back());
    if (is_one)
      check_alone(std::string_view(text).substr(0, text.size() - 1), names, ignored.back());
  }
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  imagewright::fuzz::run(imagewright::fuzz::as_text(data, size));
  return 0;
}
