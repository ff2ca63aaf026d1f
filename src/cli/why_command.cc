#include "cli/why_command.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "cli/exit_status.h"
#include "cli/project.h"
#include "core/digest.h"
#include "core/source.h"
#include "run/json.h"
#include "run/why.h"

namespace imagewright {

namespace {

constexpr std::size_t kLongestValue = 80;

std::string cut(std::string text) {
  text = without_controls(redacted(text));
  if (text.size() > kLongestValue) {
    text.resize(kLongestValue);
    text = without_controls(text) + "…";  // (a character that was cut in two is no character)
  }
  return text.empty() ? "''" : text;
}

// A parent without an id.
bool is_not_built(const Input& input) {
  return input.kind == InputKind::Parent && input.digest == hex(sha256(""));
}

// What is shown of an input: its text, or the beginning of its digest.
std::string shown_value(const Input& input) {
  const auto& [kind, name, digest, value] = input;
  switch (kind) {
    case InputKind::Target:
    case InputKind::Arg:
    case InputKind::Label:
    case InputKind::Option:
      // (The state of an older version has no values.)
      return value.empty() && digest != hex(sha256("")) ? short_digest(digest) : cut(value);
    case InputKind::Base:
      return value.empty() ? "unknown" : short_digest(read_base_value(value).config);
    case InputKind::Parent:
      if (is_not_built(input)) return "not built yet";
      return short_digest(value.empty() ? digest : value);
    case InputKind::Context:
    case InputKind::Dockerfile:
    case InputKind::Secret:
      break;
  }
  return short_digest(digest);
}

std::string name_of(const Input& input) {
  return input.name.empty() ? word(input.kind) : fmt::format("{} {}", word(input.kind), input.name);
}

std::string input_line(const ComparedInput& input, std::size_t width) {
  const std::string values = input.fate == InputFate::Changed
                                 ? shown_value(*input.before) + " → " + shown_value(*input.now)
                                 : shown_value(input.either());
  return fmt::format("{:<8} {:<{}}  {}\n", word(input.fate),
                     without_controls(name_of(input.either())), width, values);
}

std::string file_lines(const ContextChanges& changes) {
  std::string text;
  for (const ContextChange& change : changes.entries)
    text += fmt::format("           {:<10} {}\n", word(change.kind), without_controls(change.path));
  const std::size_t all = changes.added + changes.removed + changes.changed;
  if (all > changes.entries.size())
    text += fmt::format("           … and {} more\n", all - changes.entries.size());
  return text;
}

const ContextChanges* changes_in(const std::vector<Reason>& reasons) {
  for (const Reason& reason : reasons) {
    if (!reason.changes.empty()) return &reason.changes;
  }
  return nullptr;
}

std::string seconds_text(std::int64_t ms) {
  return describe(std::chrono::milliseconds(ms));
}

std::string last_text(const Explanation& why) {
  std::string text;
  if (why.last && why.last->built_ms != 0) {
    text += fmt::format("built    {} by {}: {}\n", time_text(why.last->built_ms), why.last->engine,
                        short_digest(why.last->image_id));
  }
  if (why.last_attempt) {
    const BuildRow& attempt = *why.last_attempt;
    const bool same = why.last && attempt.started_ms == why.last->built_ms;
    if (!same) {
      text += fmt::format("{:<8} {} by {}: {}\n",
                          attempt.result == BuildResult::Success ? "built" : word(attempt.result),
                          time_text(attempt.started_ms), attempt.engine,
                          without_controls(attempt.message));
    }
    if (!attempt.reasons.empty())
      text += fmt::format("because  {}\n", without_controls(attempt.reasons));
  }
  return text;
}

// The trees, and the commits between.
std::string git_text(const Explanation& why) {
  if (why.origin.tree.empty()) return "";
  const std::string before = why.last ? why.last->tree : "";
  std::string text = "tree     ";
  if (!before.empty() && before != why.origin.tree) text += short_digest(before) + " → ";
  text += short_digest(why.origin.tree) + "\n";
  for (const GitCommit& commit : why.commits.list) {
    text += fmt::format("commit   {} {} {}\n", short_digest(commit.id), commit.time,
                        without_controls(commit.subject));
  }
  if (!why.commits.complete) {
    text += fmt::format("         … {} is not among them: there are more, or it was rewritten\n",
                        short_digest(why.last->commit));
  }
  if (!why.why_no_commits.empty())
    text += fmt::format("commits  not known: {}\n", without_controls(why.why_no_commits));
  return text;
}

Json commits_json(const Explanation& why) {
  Json list = Json::array();
  for (const GitCommit& commit : why.commits.list)
    list.push_back({{"id", commit.id}, {"time", commit.time}, {"subject", commit.subject}});
  return {{"commit_before", text_or_null(why.last ? why.last->commit : "")},
          {"commit_now", text_or_null(why.origin.commit)},
          {"tree_before", text_or_null(why.last ? why.last->tree : "")},
          {"tree_now", text_or_null(why.origin.tree)},
          {"commits", std::move(list)},
          {"complete", why.commits.complete && why.why_no_commits.empty()}};
}

std::string text_of(const Explanation& why) {
  const ImageStatus& status = why.status;
  std::string text = fmt::format("{} is {}", status.name, word(status.standing));
  std::string reasons = describe(status.reasons);
  if (!status.message.empty()) reasons += (reasons.empty() ? "" : "; ") + status.message;
  if (!reasons.empty()) text += ": " + without_controls(reasons);
  text += "\n\n" + last_text(why);
  const std::string before = why.last ? why.last->source : "";
  if (!before.empty() && !status.source.empty() && before != status.source) {
    text += fmt::format("source   {}\n      →  {}\n", without_controls(before),
                        without_controls(status.source));
  } else if (!status.source.empty()) {
    text += fmt::format("source   {}\n", without_controls(status.source));
  }
  text += git_text(why);
  const auto inputs = why.inputs();
  if (!inputs.empty()) text += "\n";
  std::size_t width = 0;
  for (const ComparedInput& input : inputs) width = std::max(width, name_of(input.either()).size());
  const ContextChanges* const changes = changes_in(status.reasons);
  for (const ComparedInput& input : inputs) {
    text += input_line(input, std::min(width, kLongestValue));
    const Input& it = input.either();
    const bool is_context = it.kind == InputKind::Context && it.name.empty();
    if (is_context && input.fate == InputFate::Changed && changes != nullptr)
      text += file_lines(*changes);
  }
  return text;
}

Json json_of(const Explanation& why) {
  Json inputs = Json::array();
  const auto value = [](const Input* input) {
    return input != nullptr ? text_or_null(redacted(input->value)) : Json(nullptr);
  };
  const auto digest = [](const Input* input) {
    return input != nullptr && !is_not_built(*input) ? Json(input->digest) : Json(nullptr);
  };
  for (const ComparedInput& input : why.inputs()) {
    inputs.push_back({{"kind", word(input.either().kind)},
                      {"name", text_or_null(input.either().name)},
                      {"state", word(input.fate)},
                      {"before", value(input.before)},
                      {"now", value(input.now)},
                      {"digest_before", digest(input.before)},
                      {"digest_now", digest(input.now)}});
  }
  const ImageStatus& status = why.status;
  return {
      {"name", status.name},
      {"state", word(status.standing)},
      {"reasons", to_json(status.reasons)},
      {"message", text_or_null(status.message)},
      {"engine", why.engine},
      {"source_before", text_or_null(why.last ? why.last->source : "")},
      {"source_now", text_or_null(status.source)},
      {"git", why.origin.commit.empty() ? Json(nullptr) : commits_json(why)},
      {"image_id", text_or_null(status.image_id)},
      {"built",
       why.last && why.last->built_ms != 0 ? Json(time_text(why.last->built_ms)) : Json(nullptr)},
      {"last_reasons", why.last_attempt ? text_or_null(why.last_attempt->reasons) : Json(nullptr)},
      {"inputs", std::move(inputs)}};
}

Json json_of(const BuildRow& build) {
  Json details = Json::parse(build.details, nullptr, false);
  return {{"name", build.name},
          {"result", word(build.result)},
          {"started", time_text(build.started_ms)},
          {"seconds", static_cast<double>(build.duration_ms) / 1000},
          {"engine", build.engine},
          {"exit_status", build.exit_status},
          {"reasons", build.reasons},
          {"details", details.is_array() ? std::move(details) : Json(nullptr)},
          {"message", text_or_null(build.message)},
          {"source", text_or_null(build.source)},
          {"image_id", text_or_null(build.image_id)},
          {"log", text_or_null(build.log)}};
}

}  // namespace

std::string time_text(std::int64_t ms) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(static_cast<std::time_t>(ms / 1000)), ms % 1000);
}

int show_why(const Options& options, Progress& progress) {
  const Project project = load_project(options);
  const ImageConfig& image = find_image(project, options.image);
  const Explanation why =
      explain_image(project, looking_options(options, project), image.name, progress);
  if (const int status = interrupted_status()) return status;
  fmt::print(stdout, "{}", options.json ? dump(json_of(why), true) + "\n" : text_of(why));
  return why.status.standing == Standing::Unknown ? kSomethingFailed : 0;
}

int show_history(const Options& options) {
  constexpr int kOfAll = 100;
  const Project project = load_project(options);
  std::string name = options.image;
  if (!name.empty()) name = find_image(project, name).name;
  Store store = read_store(project);
  const auto builds = name.empty() ? store.builds_of_all(kOfAll) : store.builds(name);
  if (options.json) {
    Json list = Json::array();
    for (const BuildRow& build : builds) list.push_back(json_of(build));
    fmt::print(stdout, "{}\n", dump(list, true));
    return 0;
  }
  std::size_t width = 0;
  for (const BuildRow& build : builds) width = std::max(width, build.name.size());
  for (const BuildRow& build : builds) {
    const bool good = build.result == BuildResult::Success;
    std::string why = build.reasons;
    if (!build.message.empty()) why += (why.empty() ? "" : "; ") + build.message;
    fmt::print(stdout, "{}  {:<{}}  {:<11}  {:>10}  {:<12}  {}\n", time_text(build.started_ms),
               build.name, width, good ? "built" : word(build.result),
               seconds_text(build.duration_ms), short_digest(build.image_id),
               without_controls(why));
  }
  if (builds.empty()) fmt::print(stderr, "imagewright: no build is known\n");
  return 0;
}

}  // namespace imagewright
