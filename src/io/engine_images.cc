#include "io/engine_images.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "core/reference.h"
#include "io/backoff.h"
#include "io/interrupt.h"

namespace imagewright {

std::vector<std::string> engine_spellings(const std::string& reference, bool localhost) {
  const auto parsed = parse_reference(reference);
  if (!parsed) return {};
  const std::string full = normalized(*parsed);
  std::vector<std::string> spellings = {full};
  constexpr std::string_view kHub = "docker.io/";
  constexpr std::string_view kOfficial = "docker.io/library/";
  const std::string tag = parsed->tag.empty() ? "latest" : parsed->tag;
  if (localhost) {
    // (What is written without a registry is theirs.)
    std::string own = parsed->repository + ':' + tag;
    if (own != full) spellings.push_back("localhost/" + std::move(own));
  } else if (full.starts_with(kOfficial)) {
    spellings.push_back(full.substr(kOfficial.size()));
  } else if (full.starts_with(kHub)) {
    spellings.push_back(full.substr(kHub.size()));
  }
  return spellings;
}

bool EngineImages::is_named(const std::string& reference, const std::string& image_id,
                            bool localhost) const {
  const auto spellings = engine_spellings(reference, localhost);
  return std::any_of(spellings.begin(), spellings.end(), [&](const std::string& name) {
    const auto found = names.find(name);
    return found != names.end() && found->second == image_id;
  });
}

EngineImages read_image_list(const std::string& text) {
  EngineImages images;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.empty()) continue;
    const std::size_t blank = line.find(' ');
    std::string id(line.substr(0, blank));
    if (!id.starts_with("sha256:")) id.insert(0, "sha256:");
    if (blank != line.npos) images.names.emplace(line.substr(line.rfind(' ') + 1), id);
    images.ids.insert(std::move(id));
  }
  return images;
}

PushOutcome run_push(const Command& command) {
  PushOutcome outcome;
  outcome.exit = run_command(command, [&](std::string_view line) {
    if (!line.empty()) outcome.message = line;
  });
  return outcome;
}

PushOutcome push_patiently(const std::function<PushOutcome()>& attempt,
                           const std::function<bool()>& stop) {
  constexpr int kMostAttempts = 4;
  constexpr std::chrono::milliseconds kFirstPause{250};
  const auto is_over = [&] { return interrupted() != 0 || (stop && stop()); };
  for (int count = 0;; ++count) {
    PushOutcome outcome = attempt();
    if (outcome.ok() || outcome.exit.interrupted || count + 1 == kMostAttempts) return outcome;
    wait_patiently(backoff(kFirstPause, count), stop);
    if (is_over()) return outcome;
  }
}

std::string run_pull(const Command& command) {
  const Output output = capture(command);
  if (output.exit.ok()) return "";
  const std::string said = output.first_error();
  return said.empty() ? "it cannot be pulled" : said;
}

std::string remove_image_by(const std::string& program, const std::string& id,
                            const std::vector<std::string>& names) {
  Command command;
  command.argv = {program, "rmi"};
  command.argv.insert(command.argv.end(), names.begin(), names.end());
  if (names.empty()) command.argv.push_back(id);
  const Output output = capture(command);
  if (output.exit.ok()) return "";
  const std::string said = output.first_error();
  return said.empty() ? program + " does not remove it" : said;
}

}  // namespace imagewright
