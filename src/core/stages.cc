#include "core/stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/dockerfile_words.h"
#include "core/lower_case.h"
#include "core/shown.h"

namespace imagewright {

namespace {

struct StageError {
  int line = 0;
  std::string message;
};

[[noreturn]] void fail(int line, std::string message) {
  throw StageError{line, std::move(message)};
}

std::optional<int> number_of(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number)
                                                                  : std::nullopt;
}

bool is_stage_name(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.front() >= 'a' && name.front() <= 'z' &&
         std::all_of(name.begin(), name.end(), fits);
}

// `linux/arm/v7` as the arguments that every Dockerfile can use: PREFIXPLATFORM, …OS, …ARCH,
// …VARIANT.
void add_platform(std::map<std::string, std::string>& args, const std::string& prefix,
                  const std::string& platform) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= platform.size();) {
    const std::size_t end = std::min(platform.find('/', at), platform.size());
    parts.push_back(platform.substr(at, end - at));
    at = end + 1;
  }
  parts.resize(3);
  args[prefix + "PLATFORM"] = platform;
  args[prefix + "OS"] = parts[0];
  args[prefix + "ARCH"] = parts[1];
  args[prefix + "VARIANT"] = parts[2];
}

// One of a list of `key=value` with commas between, where a field with quotes may hold some.
std::vector<std::string> fields(std::string_view text) {
  std::vector<std::string> result(1);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"' && (quoted || result.back().empty())) {
      if (quoted && text.substr(i, 2) == "\"\"") {
        result.back() += text[++i];
      } else {
        quoted = !quoted;
      }
    } else if (text[i] == ',' && !quoted) {
      result.emplace_back();
    } else {
      result.back() += text[i];
    }
  }
  return result;
}

class Finder {
 public:
  Finder(const Dockerfile& file, const StageRequest& request) : file_(file), request_(request) {
    rules_.escape = file.escape;
    auto& args = stages_.global_args;
    add_platform(args, "TARGET", request.platform);
    add_platform(args, "BUILD", request.build_platform);
    args["TARGETSTAGE"] = request.target.empty() ? "default" : request.target;
    for (auto& [name, value] : args) {
      if (const auto given = request.args.find(name); given != request.args.end())
        value = given->second;
    }
  }

  Stages find() {
    for (const Instruction& instruction : file_.instructions) {
      if (instruction.name == "from") {
        begin_stage(instruction);
      } else if (!stages_.all.empty()) {
        if (!stages_.all.back().is_context) stages_.all.back().instructions.push_back(&instruction);
      } else if (instruction.name == "arg") {
        global_arg(instruction);
      } else {
        fail(instruction.line,
             fmt::format("{} stands before the first FROM", shown(instruction.name)));
      }
    }
    if (stages_.all.empty()) fail(file_.instructions.back().line, "there is no FROM");
    for (std::size_t i = 0; i < stages_.all.size(); ++i) find_sources(i);
    stages_.target = find_target();
    need(stages_.target);
    for (std::size_t i = 0; i < stages_.all.size(); ++i) {
      if (marks_[i] != Mark::None) stages_.needed.push_back(i);
    }
    return std::move(stages_);
  }

 private:
  std::string expanded(const std::string& text, int line) const {
    auto result = expand(text, rules_, [this](const std::string& name) {
      const auto found = stages_.global_args.find(name);
      return found == stages_.global_args.end() ? std::nullopt : std::optional(found->second);
    });
    if (!result) fail(line, std::move(result.error()));
    return *std::move(result);
  }

  void global_arg(const Instruction& instruction) {
    for (const std::string& word : instruction.words) {
      const std::size_t equals = word.find('=');
      const std::string name = word.substr(0, equals);
      const auto given = request_.args.find(name);
      if (given != request_.args.end()) {
        stages_.global_args[name] = given->second;
      } else if (equals != std::string::npos) {
        stages_.global_args[name] = expanded(word.substr(equals + 1), instruction.line);
      }
    }
  }

  void begin_stage(const Instruction& from) {
    const auto& words = from.words;
    const bool named = words.size() == 3 && lower_case(words[1]) == "as";
    if (words.size() != 1 && !named) {
      fail(from.line, "FROM takes an image, or an image, AS and a name");
    }
    Stage stage;
    stage.line = from.line;
    if (named) stage.name = lower_case(words[2]);
    if (named && !is_stage_name(stage.name)) {
      fail(from.line, fmt::format("{} is no name for a stage: it begins with a letter, and holds "
                                  "letters, digits, '-', '_' and '.'",
                                  shown(words[2])));
    }
    StageSource base;
    base.line = from.line;
    base.span = from.first_word;
    base.image = expanded(words[0], from.line);
    if (base.image.empty()) {
      fail(from.line, fmt::format("the image of FROM, {}, comes to nothing", shown(words[0])));
    }
    for (const std::string& flag : from.flags) {
      constexpr std::string_view kPlatform = "--platform=";
      if (!flag.starts_with(kPlatform)) {
        fail(from.line, fmt::format("FROM knows no flag {}", shown(flag)));
      }
      base.platform = expanded(flag.substr(kPlatform.size()), from.line);
      if (base.platform.empty()) fail(from.line, "the platform of FROM comes to nothing");
    }
    if (const auto earlier = by_name_.find(lower_case(base.image)); earlier != by_name_.end()) {
      base.stage = earlier->second;
      base.image.clear();
    }
    stage.is_context = named && request_.contexts.contains(stage.name);
    if (stage.is_context) {
      base.image = stage.name;
      base.stage.reset();
    }
    if (stage.is_context || base.image != "scratch") stage.sources.push_back(std::move(base));
    stages_.all.push_back(std::move(stage));
    if (named) by_name_[stages_.all.back().name] = stages_.all.size() - 1;
  }

  void find_sources(std::size_t number) {
    Stage& stage = stages_.all[number];
    for (const Instruction* instruction : stage.instructions) {
      for (std::size_t i = 0; i < instruction->flags.size(); ++i) {
        const std::string& flag = instruction->flags[i];
        StageSource source;
        source.line = instruction->line;
        source.span = instruction->flag_spans[i];
        source.flag = flag;
        constexpr std::string_view kFrom = "--from=";
        if (instruction->name == "copy" && flag.starts_with(kFrom)) {
          source.kind = StageSource::Kind::Copy;
          add_source(stage, std::move(source), flag.substr(kFrom.size()));
        } else if (instruction->name == "run") {
          source.kind = StageSource::Kind::Mount;
          if (const auto from = mount_option(flag, "from"))
            add_source(stage, std::move(source), *from);
        }
      }
    }
  }

  void add_source(Stage& stage, StageSource source, const std::string& from) {
    if (from.empty()) return;
    if (const std::size_t dollar = from.find('$');
        dollar != std::string::npos && dollar + 1 != from.size()) {
      fail(source.line,
           fmt::format("variables have no place in {}; give a stage that name with FROM",
                       shown("from=" + from)));
    }
    const auto named = by_name_.find(lower_case(from));
    if (const auto number = number_of(from); number && source.kind == StageSource::Kind::Copy) {
      if (*number < 0 || static_cast<std::size_t>(*number) >= stages_.all.size()) {
        fail(source.line, fmt::format("there is no stage number {}", *number));
      }
      source.stage = static_cast<std::size_t>(*number);
    } else if (named != by_name_.end()) {
      source.stage = named->second;
    } else if (from == "scratch") {
      return;
    } else {
      source.image = from;
    }
    stage.sources.push_back(std::move(source));
  }

  std::size_t find_target() const {
    const std::string& target = request_.target;
    if (target.empty()) return stages_.all.size() - 1;
    if (const auto named = by_name_.find(lower_case(target)); named != by_name_.end())
      return named->second;
    const auto number = number_of(target);
    if (number && *number >= 0 && static_cast<std::size_t>(*number) < stages_.all.size())
      return static_cast<std::size_t>(*number);
    fail(0, fmt::format("there is no stage {}", shown(target)));
  }

  // Marks a stage and all that it needs.
  void need(std::size_t first) {
    marks_.assign(stages_.all.size(), Mark::None);
    // Each with the number of its sources that were followed.
    std::vector<std::pair<std::size_t, std::size_t>> way = {{first, 0}};
    marks_[first] = Mark::Open;
    while (!way.empty()) {
      auto& [stage, done] = way.back();
      if (done == stages_.all[stage].sources.size()) {
        marks_[stage] = Mark::Done;
        way.pop_back();
        continue;
      }
      const StageSource& source = stages_.all[stage].sources[done++];
      if (!source.stage || marks_[*source.stage] == Mark::Done) continue;
      if (marks_[*source.stage] == Mark::Open) {
        fail(source.line,
             fmt::format("the stage of line {} needs itself", stages_.all[*source.stage].line));
      }
      marks_[*source.stage] = Mark::Open;
      way.emplace_back(*source.stage, 0);
    }
  }

  enum class Mark { None, Open, Done };

  const Dockerfile& file_;
  const StageRequest& request_;
  WordRules rules_;
  Stages stages_;
  std::map<std::string, std::size_t> by_name_;
  std::vector<Mark> marks_;
};

}  // namespace

tl::expected<Stages, ParseError> find_stages(const Dockerfile& file, const StageRequest& request) {
  try {
    return Finder(file, request).find();
  } catch (StageError& error) {
    return tl::unexpected(ParseError{std::move(error.message), error.line, 0});
  }
}

std::vector<std::string> mount_fields(const std::string& flag) {
  constexpr std::string_view kMount = "--mount=";
  if (!flag.starts_with(kMount)) return {};
  return fields(std::string_view(flag).substr(kMount.size()));
}

std::optional<std::string> mount_option(const std::string& flag, std::string_view key) {
  for (const std::string& field : mount_fields(flag)) {
    const std::size_t equals = field.find('=');
    if (equals != std::string::npos && lower_case(field.substr(0, equals)) == key)
      return field.substr(equals + 1);
  }
  return std::nullopt;
}

}  // namespace imagewright
