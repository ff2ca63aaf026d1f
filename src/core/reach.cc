#include "core/reach.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>
#include <utility>

#include "core/dockerfile.h"
#include "core/dockerfile_words.h"
#include "core/lower_case.h"
#include "core/shown.h"
#include "core/stages.h"

namespace imagewright {

namespace {

// Nothing of the context is read: the text for it.
constexpr std::string_view kNothing = "-";

// Thrown where the context counts as a whole.
struct Whole {
  std::string why;
  bool for_a_base = false;   // one that is not known
  bool for_a_value = false;  // of a variable
};

[[noreturn]] void whole(std::string why) {
  throw Whole{std::move(why)};
}

// Set for a build by the one who runs it, without an ARG.
bool is_predefined(const std::string& name) {
  static const std::set<std::string> names = {"http_proxy", "https_proxy", "ftp_proxy",
                                              "no_proxy",   "all_proxy",   "path"};
  return names.contains(lower_case(name));
}

// A value, or nullopt where it is not known.
using Values = std::map<std::string, std::optional<std::string>>;

// Sets a name that must not mean two things: engines differ in which of them wins.
void set_once(Values& values, const std::string& name, const std::optional<std::string>& value) {
  const auto [place, is_new] = values.try_emplace(name, value);
  if (!is_new && place->second != value) place->second.reset();
}

// A stage as far as it was read.
struct Scope {
  Values environment;
  Values args;
  Values args_of_base;
  std::deque<Instruction> triggers;  // for stages that stand on it
};

class Reader {
 public:
  // Without `bases` they count as if they did nothing to builds, and what a variable that is not
  // set by the file holds is not known.
  Reader(const Dockerfile& file, const Stages& stages, const ImageConfig& image,
         const BaseImages* bases)
      : file_(file), stages_(stages), image_(image), bases_(bases) {}

  std::set<std::string> read() {
    scopes_.resize(stages_.all.size());
    for (const std::size_t number : stages_.needed) read_stage(number);
    return std::move(paths_);
  }

 private:
  void read_stage(std::size_t number) {
    const Stage& stage = stages_.all[number];
    Scope& scope = scopes_[number];
    const bool has_base =
        !stage.sources.empty() && stage.sources.front().kind == StageSource::Kind::Base;
    if (has_base && stage.sources.front().stage) {
      const Scope& base = scopes_[*stage.sources.front().stage];
      scope.environment = base.environment;
      // (Whether a stage sees its base's arguments depends on the engine.)
      scope.args_of_base = base.args;
      scope.args_of_base.insert(base.args_of_base.begin(), base.args_of_base.end());
      if (!base.triggers.empty() && file_.escape != '\\')
        whole("an ONBUILD is read with another escape character than it is written with");
      for (const Instruction& trigger : base.triggers)
        read_instruction(scope, trigger, file_.escape);
    } else if (has_base) {
      take_base(scope, stage.sources.front());
    }
    for (const Instruction* instruction : stage.instructions)
      read_instruction(scope, *instruction, file_.escape);
  }

  void take_base(Scope& scope, const StageSource& source) {
    if (bases_ == nullptr) return;
    Link link;
    link.written = source.image;
    link.image = image_meant(image_, source.image);
    link.platform = source.platform;
    link.line = source.line;
    const auto base = (*bases_)(link);
    if (!base) {
      throw Whole{
          fmt::format("what {} does to builds (its ONBUILD) is not known here", shown(link.image)),
          true};
    }
    for (const std::string& one : base->environment) {
      const std::size_t equals = one.find('=');
      if (equals != std::string::npos)
        scope.environment[one.substr(0, equals)] = one.substr(equals + 1);
    }
    if (base->triggers.empty()) return;
    std::string text = "FROM scratch\n";
    for (const std::string& trigger : base->triggers) text += trigger + "\n";
    const auto parsed = parse_dockerfile(text);
    if (!parsed) whole(fmt::format("the ONBUILD of {} is not understood", shown(link.image)));
    for (std::size_t i = 1; i < parsed->instructions.size(); ++i)
      read_instruction(scope, parsed->instructions[i], parsed->escape);
  }

  void read_instruction(Scope& scope, const Instruction& instruction, char escape) {
    escape_ = escape;
    const std::string& name = instruction.name;
    static const std::set<std::string> without_context = {
        "cmd",  "entrypoint", "expose",     "healthcheck", "label", "maintainer",
        "user", "volume",     "stopsignal", "workdir",     "shell"};
    if (name == "env") {
      set_environment(scope, instruction);
    } else if (name == "arg") {
      set_arguments(scope, instruction);
    } else if (name == "copy" || name == "add") {
      read_copy(scope, instruction);
    } else if (name == "run") {
      for (const std::string& flag : instruction.flags) read_run_flag(instruction, flag);
    } else if (name == "onbuild") {
      for (const Instruction& trigger : instruction.trigger) scope.triggers.push_back(trigger);
    } else if (!without_context.contains(name)) {
      whole(fmt::format("line {}: {} is not known", instruction.line, shown(name)));
    }
  }

  // --- Variables

  std::optional<std::string> value_of(const Scope& scope, const std::string& name) {
    const auto by_env = scope.environment.find(name);
    const auto by_arg = scope.args.find(name);
    const bool has_env = by_env != scope.environment.end();
    const bool has_arg = by_arg != scope.args.end();
    const bool is_known = has_env || has_arg
                              ? (!has_env || by_env->second) && (!has_arg || by_arg->second) &&
                                    (!has_env || !has_arg || by_env->second == by_arg->second)
                              : bases_ != nullptr && !is_elsewhere(scope, name);
    if (!is_known || is_predefined(name)) {
      unknown_ = name;
      return std::nullopt;
    }
    return has_env ? by_env->second : has_arg ? by_arg->second : std::nullopt;
  }

  // Has it a value that the stage has not asked for? It should see none of it, but not all engines
  // see to that.
  bool is_elsewhere(const Scope& scope, const std::string& name) const {
    return scope.args_of_base.contains(name) || image_.args.contains(name) ||
           stages_.global_args.contains(name);
  }

  // nullopt: it depends on what is not known (then unknown_ says so), or is no word.
  std::optional<std::string> expanded(const Scope& scope, const std::string& word) {
    unknown_.clear();
    WordRules rules;
    rules.escape = escape_;
    auto result =
        expand(word, rules, [&](const std::string& name) { return value_of(scope, name); });
    if (!result || !unknown_.empty()) return std::nullopt;
    return *std::move(result);
  }

  [[noreturn]] static void name_is_unknown(const Instruction& instruction) {
    throw Whole{fmt::format("line {}: which variable {} sets is not known", instruction.line,
                            instruction.name),
                false, true};
  }

  void set_environment(Scope& scope, const Instruction& instruction) {
    Values now;
    for (std::size_t i = 0; i + 2 < instruction.words.size(); i += 3) {
      const auto name = expanded(scope, instruction.words[i]);
      if (!name) name_is_unknown(instruction);
      now[*name] = expanded(scope, instruction.words[i + 1]);
    }
    for (auto& [name, value] : now) scope.environment[name] = std::move(value);
  }

  void set_arguments(Scope& scope, const Instruction& instruction) {
    for (const std::string& word : instruction.words) {
      const std::size_t equals = word.find('=');
      const auto name = expanded(scope, word.substr(0, equals));
      if (!name) name_is_unknown(instruction);
      if (const auto base = scope.args_of_base.find(*name); base != scope.args_of_base.end())
        set_once(scope.args, *name, base->second);
      const auto given = image_.args.find(*name);
      const auto global = stages_.global_args.find(*name);
      if (given != image_.args.end()) {
        set_once(scope.args, *name, given->second);
        continue;
      }
      if (equals != std::string::npos)
        set_once(scope.args, *name, expanded(scope, word.substr(equals + 1)));
      if (global != stages_.global_args.end()) set_once(scope.args, *name, global->second);
    }
  }

  // --- What reads the context

  void read_copy(const Scope& scope, const Instruction& instruction) {
    const bool is_add = instruction.name == "add";
    bool parents = false;
    for (const std::string& flag : instruction.flags) {
      const std::size_t equals = flag.find('=');
      const std::string name = flag.substr(0, equals);
      const std::string value = equals == std::string::npos ? "" : flag.substr(equals + 1);
      // What --exclude leaves out is sent all the same, so it counts.
      static const std::set<std::string> known = {"--chown", "--chmod", "--link", "--exclude"};
      static const std::set<std::string> of_add = {"--checksum", "--keep-git-dir", "--unpack"};
      if (name == "--from" && !is_add) {
        if (!value.empty()) return;
      } else if (name == "--parents" && !is_add) {
        parents = true;
      } else if (!known.contains(name) && !(is_add && of_add.contains(name))) {
        whole(fmt::format("line {}: the flag {} is not known", instruction.line, shown(flag)));
      }
    }
    // The last is where to.
    for (std::size_t i = 0; i + 1 < instruction.words.size(); ++i) {
      const std::string& word = instruction.words[i];
      if (!instruction.heredocs.empty() && is_heredoc(word)) continue;
      const auto source = expanded(scope, word);
      if (!source) {
        throw Whole{fmt::format("line {}: what {} stands for is not known{}", instruction.line,
                                shown(word), unknown_.empty() ? "" : " (" + unknown_ + ")"),
                    false, true};
      }
      if (is_add && (source->starts_with("http://") || source->starts_with("https://"))) continue;
      add_path(instruction, *source, parents);
    }
  }

  static bool is_heredoc(std::string_view word) {
    while (!word.empty() && word.front() >= '0' && word.front() <= '9') word.remove_prefix(1);
    return word.starts_with("<<");
  }

  void read_run_flag(const Instruction& instruction, const std::string& flag) {
    const std::string name = flag.substr(0, flag.find('='));
    if (name == "--network" || name == "--security") return;
    const auto unknown = [&] {
      whole(fmt::format("line {}: {} is not understood", instruction.line, shown(flag)));
    };
    if (name != "--mount") unknown();
    std::string type = "bind", source, from;
    for (const std::string& field : mount_fields(flag)) {
      const std::size_t equals = field.find('=');
      const std::string key = lower_case(field.substr(0, equals));
      const std::string value = equals == std::string::npos ? "" : field.substr(equals + 1);
      if (key == "type") type = value;
      if (key == "source" || key == "src") source = value;
      if (key == "from") from = value;
    }
    type = lower_case(type);
    if (type == "cache" || type == "tmpfs" || type == "secret" || type == "ssh") return;
    if (type != "bind") unknown();
    if (!from.empty()) return;
    if (source.find('$') != std::string::npos) unknown();
    add_path(instruction, source, false);
  }

  // Of a source as COPY has it.
  void add_path(const Instruction& instruction, std::string_view source, bool parents) {
    std::vector<std::string_view> parts;
    for (std::size_t at = 0; at <= source.size();) {
      const std::size_t end = std::min(source.find('/', at), source.size());
      const std::string_view part = source.substr(at, end - at);
      if (part == "..") {
        if (!parts.empty()) parts.pop_back();
      } else if (!part.empty() && part != ".") {
        parts.push_back(part);
      }
      at = end + 1;
    }
    std::string path;
    for (const std::string_view part : parts) {
      // A pattern that not all take alike: all that is in the directory.
      if (part.find_first_of("[]\\") != part.npos ||
          (parents && part.find_first_of("*?") != part.npos)) {
        break;
      }
      if (!path.empty()) path += '/';
      path += as_pattern(part);
    }
    if (path.empty()) {
      whole(fmt::format("line {}: {} takes all of it", instruction.line,
                        instruction.name == "run" ? "--mount" : shown(instruction.name)));
    }
    paths_.insert(std::move(path));
  }

  // (Stars in a row are one to a shell, and any depth to an ignore file.)
  static std::string as_pattern(std::string_view part) {
    std::string pattern;
    for (std::size_t at = 0; at < part.size();) {
      const std::size_t next = std::min(part.find_first_of("*?", at), part.size());
      pattern += as_reach_path(part.substr(at, next - at));
      if (next < part.size()) pattern += part[next];
      at = next + 1;
    }
    const auto both_stars = [](char a, char b) { return a == '*' && b == '*'; };
    pattern.erase(std::unique(pattern.begin(), pattern.end(), both_stars), pattern.end());
    return pattern;
  }

  const Dockerfile& file_;
  const Stages& stages_;
  const ImageConfig& image_;
  const BaseImages* bases_;
  std::vector<Scope> scopes_;
  std::set<std::string> paths_;
  std::string unknown_;  // a variable that was asked for and is not known
  char escape_ = '\\';
};

std::string text_of(const std::set<std::string>& paths) {
  if (paths.empty()) return std::string(kNothing);
  std::string text;
  for (const std::string& path : paths) text += (text.empty() ? "/" : "\n/") + path;
  return text;
}

}  // namespace

Reach find_reach(std::string_view dockerfile, const ImageConfig& image, const Platforms& platforms,
                 const BaseImages& bases) {
  const auto file = parse_dockerfile(dockerfile);
  if (!file) return {"", "the Dockerfile is not understood"};
  if (!is_known_frontend(file->syntax)) {
    return {"", fmt::format("the Dockerfile is for {}", shown(file->syntax))};
  }
  const auto stages = find_stages(*file, request_for(image, platforms));
  if (!stages) return {"", "the Dockerfile is not understood"};
  try {
    // First without questions: most that take all of it do so whatever their bases are.
    Reader(*file, *stages, image, nullptr).read();
  } catch (Whole& it) {
    if (!it.for_a_value) return {"", std::move(it.why)};
  }
  try {
    Reach reach;
    reach.text = text_of(Reader(*file, *stages, image, &bases).read());
    reach.skips_stages = stages->needed.size() != stages->all.size();
    return reach;
  } catch (Whole& it) {
    return {"", std::move(it.why), it.for_a_base};
  }
}

std::vector<std::string> reach_paths(std::string_view text) {
  std::vector<std::string> paths;
  if (text == kNothing) return paths;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    paths.emplace_back(text.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return paths;
}

std::string as_reach_path(std::string_view path) {
  std::string result;
  for (const char c : path) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '/' || c == '.' || c == '_' || c == '-';
    if (is_plain) {
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x80) {
      result += '?';
    } else if (!result.ends_with('*')) {
      result += '*';  // however many characters these bytes are
    }
  }
  return result;
}

IgnoreRules rules_for(const std::set<std::string>& paths) {
  std::string text = "*\n";
  for (const std::string& path : paths) text += "!" + path + "\n";
  auto rules = IgnoreRules::parse(text);
  return rules ? *std::move(rules) : IgnoreRules();
}

std::vector<Entry> reached(const std::vector<Entry>& entries, const IgnoreRules& rules) {
  std::unordered_map<std::string, IgnoreRules::Matched> directories;
  std::vector<bool> stays(entries.size());
  std::unordered_map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string& path = entries[i].path;
    const std::size_t slash = path.rfind('/');
    const std::string above = slash == std::string::npos ? "" : path.substr(0, slash);
    const bool is_directory = entries[i].type == EntryType::Directory;
    IgnoreRules::Matched matched;
    stays[i] = !rules.match(path, directories[above], is_directory ? &matched : nullptr);
    if (is_directory) {
      directories[path] = std::move(matched);
      places[path] = i;
    }
    if (!stays[i]) continue;
    // Those above it, up to the first that stays anyway.
    for (std::size_t end = slash; end != std::string::npos; end = path.rfind('/', end - 1)) {
      const auto place = places.find(std::string_view(path).substr(0, end));
      if (place == places.end() || stays[place->second]) break;
      stays[place->second] = true;
    }
  }
  std::vector<Entry> left;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (stays[i]) left.push_back(entries[i]);
  }
  return left;
}

}  // namespace imagewright
