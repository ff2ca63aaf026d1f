#include "core/stackbrew.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/lower_case.h"
#include "core/reference.h"
#include "core/selection.h"
#include "core/shown.h"
#include "core/suggest.h"
#include "core/take_field.h"

namespace imagewright {

namespace {

using Texts = std::vector<std::string>;

constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kPlatforms = {{
    {"amd64", "linux/amd64"},
    {"arm32v5", "linux/arm/v5"},
    {"arm32v6", "linux/arm/v6"},
    {"arm32v7", "linux/arm/v7"},
    {"arm64v8", "linux/arm64"},
    {"i386", "linux/386"},
    {"loong64", "linux/loong64"},
    {"mips64le", "linux/mips64le"},
    {"ppc64le", "linux/ppc64le"},
    {"riscv64", "linux/riscv64"},
    {"s390x", "linux/s390x"},
    {"windows-amd64", "windows/amd64"},
}};
// Fields with a list, and those with one text, which an architecture may have for itself
// (`amd64-Directory`).
const Texts kLists = {"Maintainers", "Tags", "SharedTags", "Architectures", "Constraints"};
const Texts kValues = {"GitRepo", "GitFetch", "GitCommit", "Directory", "File", "Builder"};

struct Failure {
  ParseError error;
};

[[noreturn]] void fail(int line, std::string message) {
  throw Failure{{std::move(message), line, 0}};
}

bool among(const Texts& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

Texts list_of(std::string_view value) {
  Texts list;
  while (!value.empty()) {
    const std::string_view item = trimmed(take_field(value, ','));
    if (!item.empty() && !among(list, item)) list.emplace_back(item);
  }
  return list;
}

struct Field {
  std::string name;
  std::string value;
  int line = 0;
};
using Paragraph = std::vector<Field>;

struct Line {
  std::string_view text;
  int number = 0;
};

// Without comments, which may stand anywhere.
std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = take_field(text, '\n');
    if (!trimmed(line).starts_with('#')) lines.push_back({line, number});
  }
  return lines;
}

std::vector<Paragraph> paragraphs_of(std::string_view text) {
  std::vector<Paragraph> paragraphs;
  bool is_open = false;
  for (const auto& [line, number] : lines_of(text)) {
    if (trimmed(line).empty()) {
      is_open = false;
      continue;
    }
    if (line.front() == ' ' || line.front() == '\t') {
      if (!is_open) fail(number, "this line goes on with a field, and there is none above it");
      paragraphs.back().back().value.append("\n").append(trimmed(line));
      continue;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos)
      fail(number, fmt::format("{} is no 'Field: value'", shown(trimmed(line))));
    if (!std::exchange(is_open, true)) paragraphs.emplace_back();
    Field field{std::string(trimmed(line.substr(0, colon))),
                std::string(trimmed(line.substr(colon + 1))), number};
    for (const Field& other : paragraphs.back()) {
      if (other.name == field.name)
        fail(number, fmt::format("the field {} is given twice", shown(field.name)));
    }
    paragraphs.back().push_back(std::move(field));
  }
  return paragraphs;
}

// An entry with what the first paragraph says for all.
struct Entry {
  Texts tags, shared_tags, architectures, constraints;
  std::map<std::string, Field, std::less<>> values;  // also "amd64-Directory"
  int line = 0;

  // What the architecture has for itself, else what all have.
  const Field* find(std::string_view architecture, std::string_view name) const {
    auto found = values.find(fmt::format("{}-{}", architecture, name));
    if (found == values.end()) found = values.find(name);
    return found == values.end() ? nullptr : &found->second;
  }
  std::string value(std::string_view architecture, std::string_view name) const {
    const Field* const field = find(architecture, name);
    return field == nullptr ? "" : field->value;
  }
};

// "./a/b/" is "a/b", "." the root.
std::string plain_directory(std::string directory) {
  while (directory.size() > 1 && directory.ends_with('/')) directory.pop_back();
  while (directory.starts_with("./")) directory.erase(0, 2);
  return directory == "." || directory == "/" ? "" : directory;
}

class Reader {
 public:
  StackbrewLibrary paragraphs(std::string_view text) {
    const std::vector<Paragraph> all = paragraphs_of(text);
    Entry global;
    global.architectures = {"amd64"};
    global.values["GitFetch"] = {"GitFetch", "refs/heads/master", 0};
    for (const Paragraph& paragraph : all) {
      const bool is_first = &paragraph == &all.front();
      Entry entry = global;
      entry.line = paragraph.front().line;
      read(paragraph, entry);
      if (!is_first) {
        add(std::move(entry));
        continue;
      }
      if (!entry.tags.empty()) {
        fail(entry.line, "the first paragraph is for all entries: it cannot have 'Tags'");
      }
      global = std::move(entry);
    }
    return finish();
  }

  // `TAG: REPOSITORY@COMMIT DIRECTORY`; what is no commit is a tag of the repository.
  StackbrewLibrary lines(std::string_view text) {
    for (const Line& line : lines_of(text)) {
      const int number = line.number;
      std::string_view rest = trimmed(line.text);
      if (rest.empty()) continue;
      Entry entry;
      entry.line = number;
      entry.architectures = {"amd64"};
      entry.tags = {std::string(trimmed(take_field(rest, ':')))};
      const std::size_t at = rest.rfind('@');
      if (at == std::string_view::npos)
        fail(number, fmt::format("{} is no 'TAG: REPOSITORY@COMMIT DIRECTORY'", shown(line.text)));
      std::string_view behind = rest.substr(at + 1);
      const std::string commit(trimmed(take_field(behind, ' ')));
      const auto set = [&](const std::string& name, std::string value) {
        entry.values[name] = {name, std::move(value), number};
      };
      set("GitRepo", std::string(trimmed(rest.substr(0, at))));
      set("Directory", std::string(trimmed(behind)));
      if (is_hexadecimal(commit)) {
        set("GitFetch", "refs/heads/*");
        set("GitCommit", commit);
      } else {
        set("GitFetch", "refs/tags/" + commit);
        set("GitCommit", "FETCH_HEAD");
      }
      add(std::move(entry));
    }
    return finish();
  }

 private:
  void warn(int line, std::string_view text) {
    library_.warnings.push_back(fmt::format("line {}: {}", line, text));
  }

  void read(const Paragraph& paragraph, Entry& entry) {
    for (const Field& field : paragraph) {
      if (field.name == "Maintainers") {
        for (std::string& one : list_of(field.value)) {
          if (!among(library_.maintainers, one)) library_.maintainers.push_back(std::move(one));
        }
      } else if (field.name == "Tags") {
        entry.tags = list_of(field.value);
      } else if (field.name == "SharedTags") {
        entry.shared_tags = list_of(field.value);
      } else if (field.name == "Architectures") {
        entry.architectures = list_of(field.value);
      } else if (field.name == "Constraints") {
        // (These alone are added to those of the first paragraph.)
        for (std::string& one : list_of(field.value)) {
          if (!among(entry.constraints, one)) entry.constraints.push_back(std::move(one));
        }
      } else if (is_value(field)) {
        entry.values[field.name] = field;
      }
    }
  }

  // False, with a warning: nobody knows what it means.
  bool is_value(const Field& field) {
    if (among(kValues, field.name)) return true;
    for (const std::string& name : kValues) {
      const std::string end = "-" + name;
      if (!field.name.ends_with(end)) continue;
      const std::string_view architecture =
          std::string_view(field.name).substr(0, field.name.size() - end.size());
      if (!platform_of(architecture).empty()) return true;
      warn(field.line, fmt::format("the architecture {} is not known, and what it has for itself "
                                   "is left out",
                                   shown(architecture)));
      return false;
    }
    Texts known = kLists;
    known.insert(known.end(), kValues.begin(), kValues.end());
    warn(field.line, fmt::format("the field {} is not known, and left out{}", shown(field.name),
                                 did_you_mean(field.name, known)));
    return false;
  }

  static std::string_view platform_of(std::string_view architecture) {
    for (const auto& [name, platform] : kPlatforms) {
      if (name == architecture) return platform;
    }
    return {};
  }

  static std::string name_of(const Entry& entry) { return shown(entry.tags.front()); }

  void add(Entry entry) {
    if (entry.tags.empty()) fail(entry.line, "this entry has no 'Tags'");
    claim_tags(entry);
    std::vector<StackbrewImage> images;
    for (const std::string& architecture : entry.architectures) {
      const std::string platform(platform_of(architecture));
      if (platform.empty()) {
        warn(entry.line, fmt::format("the architecture {} of {} is not known, and left out",
                                     shown(architecture), name_of(entry)));
        continue;
      }
      auto image = image_for(entry, architecture);
      if (!image) continue;
      const auto same = std::find_if(images.begin(), images.end(), [&](const auto& other) {
        return other.source == image->source && other.dockerfile == image->dockerfile;
      });
      if (same != images.end()) {
        same->platforms.push_back(platform);
      } else {
        image->platforms = {platform};
        images.push_back(*std::move(image));
      }
    }
    for (StackbrewImage& image : images) add(std::move(image));
  }

  // Two entries that are built alike are one image.
  void add(StackbrewImage image) {
    for (StackbrewImage& other : library_.images) {
      if (other.source != image.source || other.dockerfile != image.dockerfile ||
          other.platforms != image.platforms || other.constraints != image.constraints)
        continue;
      other.tags.insert(other.tags.end(), image.tags.begin(), image.tags.end());
      for (std::string& tag : image.shared_tags) {
        if (!among(other.shared_tags, tag)) other.shared_tags.push_back(std::move(tag));
      }
      return;
    }
    library_.images.push_back(std::move(image));
  }

  void claim_tags(const Entry& entry) {
    const auto check = [&](const std::string& tag) {
      if (tag.find(':') != std::string::npos || !parse_reference("image:" + tag))
        fail(entry.line, fmt::format("{} can be no tag", shown(tag)));
    };
    for (const std::string& tag : entry.tags) {
      check(tag);
      if (shared_.contains(tag))
        fail(entry.line, fmt::format("the tag {} is a shared tag already", shown(tag)));
      if (!tags_.insert(tag).second)
        fail(entry.line, fmt::format("the tag {} is given twice", shown(tag)));
    }
    for (const std::string& tag : entry.shared_tags) {
      check(tag);
      if (tags_.contains(tag))
        fail(entry.line, fmt::format("the shared tag {} is an image's own already", shown(tag)));
      shared_.insert(tag);
    }
  }

  // nullopt, with a warning: our configuration cannot say it.
  std::optional<StackbrewImage> image_for(const Entry& entry, const std::string& architecture) {
    const auto value = [&](std::string_view name) { return entry.value(architecture, name); };
    const auto left_out = [&](const std::string& why) {
      warn(entry.line, fmt::format("{} is left out for {}: {}", name_of(entry), architecture, why));
      return std::nullopt;
    };
    const std::string builder = value("Builder");
    if (builder != "" && builder != "buildkit" && builder != "classic") {
      return left_out(fmt::format("the builder {} makes an image otherwise than from a Dockerfile",
                                  shown(builder)));
    }
    if (builder == "classic" && warned_of_classic_.insert(entry.line).second) {
      warn(entry.line,
           fmt::format("'Builder: classic' of {} cannot be said: the engine decides what "
                       "it builds with",
                       name_of(entry)));
    }
    StackbrewImage image{entry.tags, entry.shared_tags, {}, entry.constraints, {}, value("File")};
    if (image.dockerfile == "Dockerfile") image.dockerfile.clear();
    const std::string commit = value("GitCommit");
    image.source = source_for(entry, architecture);
    image.source.fetch = value("GitFetch");
    if (commit == "FETCH_HEAD") {
      image.source.ref = std::exchange(image.source.fetch, "");
    } else if (is_full_git_id(commit)) {
      image.source.ref = lower_case(commit);
    } else if (is_hexadecimal(commit)) {
      return left_out(fmt::format("the commit {} is not its full id", shown(commit)));
    } else {
      fail(entry.line, fmt::format("'GitCommit' of {} must be a commit's id, and not {}",
                                   name_of(entry), shown(commit)));
    }
    if (auto good = check_git_source(image.source); !good)
      fail(entry.line, fmt::format("{}: {}", name_of(entry), good.error().message));
    return image;
  }

  static GitSource source_for(const Entry& entry, const std::string& architecture) {
    for (const std::string_view name : {"GitRepo", "GitCommit"}) {
      if (entry.value(architecture, name).empty())
        fail(entry.line, fmt::format("{} has no '{}'", name_of(entry), name));
    }
    const Field& repository = *entry.find(architecture, "GitRepo");
    auto source = parse_git_remote(repository.value);
    if (source && source->local) {
      source = tl::unexpected(
          ParseError{fmt::format("{} is no git URL", shown(redacted(repository.value)))});
    }
    if (!source) fail(repository.line, source.error().message);
    source->subdir = plain_directory(entry.value(architecture, "Directory"));
    return *std::move(source);
  }

  // Can both be chosen, with the same constraints or without any?
  static bool go_together(const StackbrewImage& one, const StackbrewImage& other) {
    const auto wants_none = [](const StackbrewImage& image) {
      return std::all_of(image.constraints.begin(), image.constraints.end(),
                         [](const std::string& constraint) { return constraint.starts_with('!'); });
    };
    return !are_disjoint(one.platforms, other.platforms) &&
           (one.constraints == other.constraints || (wants_none(one) && wants_none(other)));
  }

  // A shared tag belongs to one image where two go together: to the first.
  void share_tags() {
    std::vector<StackbrewImage>& images = library_.images;
    for (std::size_t i = 0; i < images.size(); ++i) {
      std::erase_if(images[i].shared_tags, [&](const std::string& tag) {
        const auto owner =
            std::find_if(images.begin(), images.begin() + static_cast<std::ptrdiff_t>(i),
                         [&](const StackbrewImage& other) {
                           return among(other.shared_tags, tag) && go_together(other, images[i]);
                         });
        if (owner == images.begin() + static_cast<std::ptrdiff_t>(i)) return false;
        library_.warnings.push_back(
            fmt::format("the shared tag {} is that of {}, and not also that of {}: they can be "
                        "for one platform",
                        shown(tag), shown(owner->tags.front()), shown(images[i].tags.front())));
        return true;
      });
    }
  }

  StackbrewLibrary finish() {
    if (library_.images.empty()) library_.warnings.emplace_back("the file has no entry to build");
    share_tags();
    return std::move(library_);
  }

  StackbrewLibrary library_;
  std::set<std::string> tags_, shared_;
  std::set<int> warned_of_classic_;
};

bool is_field(std::string_view name) {
  if (among(kLists, name) || among(kValues, name)) return true;
  return std::any_of(kValues.begin(), kValues.end(),
                     [&](const std::string& value) { return name.ends_with("-" + value); });
}

bool is_old_line(std::string_view line) {
  std::string_view rest = trimmed(line);
  if (rest.empty() || line.front() == ' ') return rest.empty();
  const std::string tag(trimmed(take_field(rest, ':')));
  rest = trimmed(rest);
  return parse_reference("image:" + tag).has_value() &&
         rest.find("://") != std::string_view::npos && rest.find('@') != std::string_view::npos;
}

}  // namespace

bool is_stackbrew(std::string_view text) {
  bool has_field = false;
  bool has_line = false;
  bool only_lines = true;
  while (!text.empty()) {
    const std::string_view line = take_field(text, '\n');
    if (line.starts_with("builder:")) return false;
    if (trimmed(line).empty() || trimmed(line).starts_with('#')) continue;
    std::string_view name = line;
    has_field = has_field || is_field(take_field(name, ':'));
    if (has_field) continue;
    has_line = true;
    only_lines = only_lines && is_old_line(line);
  }
  return has_field || (has_line && only_lines);
}

tl::expected<StackbrewLibrary, ParseError> parse_stackbrew(std::string_view text) {
  const std::vector<Line> lines = lines_of(text);
  const auto is_field_line = [](const Line& line) {
    std::string_view rest = line.text;
    return is_field(take_field(rest, ':'));
  };
  const bool has_fields = std::any_of(lines.begin(), lines.end(), is_field_line);
  try {
    return has_fields ? Reader().paragraphs(text) : Reader().lines(text);
  } catch (Failure& failure) {
    return tl::unexpected(std::move(failure.error));
  }
}

}  // namespace imagewright
