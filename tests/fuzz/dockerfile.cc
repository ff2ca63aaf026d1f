// Fuzzes Dockerfiles: whatever the text, reading it ends, what is read stands where it says, what a
// target needs is among what there is, and what it reads of its context are paths that rules take.
#include "core/dockerfile.h"

#include "check.h"
#include "core/dockerfile_words.h"
#include "core/reach.h"
#include "core/stages.h"

namespace imagewright::fuzz {
namespace {

void check_instruction(const Instruction& instruction, std::string_view text) {
  FUZZ_CHECK(std::none_of(instruction.name.begin(), instruction.name.end(),
                          [](char c) { return c >= 'A' && c <= 'Z'; }),
             text, instruction.name);
  for (const std::string& flag : instruction.flags) {
    // (A quoted blank can be all that stands behind the dashes.)
    FUZZ_CHECK(!flag.empty(), text);
  }
  const bool pairs = instruction.name == "env" || instruction.name == "label";
  FUZZ_CHECK(!pairs || instruction.words.size() % 3 == 0, text);
  FUZZ_CHECK(instruction.trigger.size() <= (instruction.name == "onbuild" ? 1U : 0U), text);
  for (const Heredoc& heredoc : instruction.heredocs) {
    FUZZ_CHECK(heredoc.descriptor >= 0, text);
    FUZZ_CHECK(contains(text, heredoc.content), text, heredoc.content);
  }
}

void check_words(const Dockerfile& file) {
  WordRules rules;
  rules.escape = file.escape;
  const Variables variables = [](const std::string& name) -> std::optional<std::string> {
    if (name == "a") return "a b*c?d/e";
    return name == "e" ? std::optional<std::string>("") : std::nullopt;
  };
  for (const Instruction& instruction : file.instructions) {
    for (const std::string& word : instruction.words) {
      const auto whole = expand(word, rules, variables);
      const auto parts = expand_words(word, rules, variables);
      FUZZ_CHECK(whole.has_value() == parts.has_value(), word);
      if (!whole) {
        check_message(whole.error());
        continue;
      }
      // The words are the whole without some of its blanks.
      std::size_t at = 0;
      for (const std::string& part : *parts) {
        FUZZ_CHECK(!part.empty(), word);
        at = whole->find(part, at);
        FUZZ_CHECK(at != std::string::npos, word, part, *whole);
        at += part.size();
      }
    }
  }
}

void check_reach(std::string_view text) {
  ImageConfig image;
  image.args = {{"a", "x/*"}};
  const BaseImages bases = [](const Link&) { return BaseImage{{"b=y"}, {"COPY $b /", "ENV c=z"}}; };
  const Reach reach = find_reach(text, image, {"linux/amd64", "linux/amd64"}, bases);
  FUZZ_CHECK(reach.text.empty() != reach.why_whole.empty(), text, reach.text, reach.why_whole);
  if (reach.text.empty()) return check_message(reach.why_whole);
  const std::vector<std::string> paths = reach_paths(reach.text);
  FUZZ_CHECK(std::is_sorted(paths.begin(), paths.end()), text, reach.text);
  const IgnoreRules rules = rules_for({paths.begin(), paths.end()});
  FUZZ_CHECK(!rules.empty() && rules.warnings().empty(), text, reach.text);
  for (const std::string& path : paths) {
    // Itself, where it is a path; as it must be taken top down.
    if (path.find_first_of("*?") != std::string::npos) continue;
    FUZZ_CHECK(!path.empty() && as_reach_path(path) == path, text, path);
    IgnoreRules::Matched above;
    bool ignored = true;
    for (std::size_t at = 0; at < path.size();) {
      at = std::min(path.find('/', at + 1), path.size());
      IgnoreRules::Matched matched;
      ignored = rules.match(path.substr(0, at), above, &matched);
      FUZZ_CHECK(at == path.size() || !ignored || !rules.can_prune(path.substr(0, at)), path);
      above = std::move(matched);
    }
    FUZZ_CHECK(!ignored, text, path);
  }
}

void check_stages(const Dockerfile& file, const std::string& target, std::string_view text) {
  StageRequest request;
  request.target = target;
  request.args = {{"a", "scratch"}};
  request.platform = "linux/arm64";
  request.build_platform = "linux/amd64";
  const auto stages = find_stages(file, request);
  if (!stages) {
    check_message(stages.error().message);
    return;
  }
  FUZZ_CHECK(stages->target < stages->all.size(), text);
  const auto& needed = stages->needed;
  FUZZ_CHECK(std::is_sorted(needed.begin(), needed.end()), text);
  FUZZ_CHECK(std::find(needed.begin(), needed.end(), stages->target) != needed.end(), text);
  for (const std::size_t number : needed) {
    for (const StageSource& source : stages->all[number].sources) {
      FUZZ_CHECK(source.stage.has_value() == source.image.empty(), text);
      FUZZ_CHECK(
          !source.stage || std::find(needed.begin(), needed.end(), *source.stage) != needed.end(),
          text);
    }
  }
}

void run(std::string_view text) {
  const auto file = parse_dockerfile(text);
  if (!file) {
    check_message(file.error().message);
    FUZZ_CHECK(file.error().line > 0, text);
    return;
  }
  const auto lines = static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1;
  int last = 0;
  for (const Instruction& instruction : file->instructions) {
    FUZZ_CHECK(instruction.line > last && instruction.end_line >= instruction.line, text);
    last = instruction.end_line;
    check_instruction(instruction, text);
  }
  FUZZ_CHECK(last <= lines, text);
  check_words(*file);
  check_stages(*file, "", text);
  check_stages(*file, "0", text);
  check_reach(text);
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  imagewright::fuzz::run(imagewright::fuzz::as_text(data, size));
  return 0;
}
