#include "cli/graph_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cli/project.h"
#include "io/engine.h"
#include "io/error.h"
#include "io/host_platform.h"
#include "run/json.h"
#include "run/plan.h"
#include "run/progress.h"

namespace imagewright {

namespace {

// Whether `localhost/x` is `x` depends on the engine; without one the graph can be shown all the
// same.
bool has_localhost(const Options& options, const Project& project) {
  const std::string& wish = wished_engine(project, options.run.engine);
  if (!wish.empty()) return wish != "docker";
  try {
    return find_engine("", project.places.cache)->has_short_names();
  } catch (const Error&) {
    return false;
  }
}

// The links of an image that are none of its parents: images from elsewhere, each once.
std::vector<Link> external_links(const Plan& plan, std::size_t image, const ImageNames& names) {
  std::vector<Link> external;
  std::set<std::string> seen;
  for (const Link& link : plan.images[image].observation.links) {
    if (link.directory.empty() && !names.find(link, *plan.images[image].config) &&
        seen.insert(link.image).second)
      external.push_back(link);
  }
  return external;
}

std::string text_of(const Plan& plan, const ImageNames& names) {
  std::string text;
  for (const std::size_t i : plan.graph.order()) {
    std::vector<std::string> all;
    for (const Edge& edge : plan.graph.parents(i)) {
      all.push_back(
          fmt::format("{} ({})", plan.images[edge.parent].config->name, describe(edge.link)));
    }
    for (const Link& link : external_links(plan, i, names))
      all.push_back(
          fmt::format("{} ({}; not of this file)", without_controls(link.image), describe(link)));
    text += plan.images[i].config->name + "\n";
    for (const std::string& one : all) text += "  " + one + "\n";
  }
  return text;
}

std::string dot_quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : without_controls(text)) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + "\"";
}

// From what is built first to what stands on it.
std::string dot_of(const Plan& plan, const ImageNames& names) {
  std::string text = "digraph imagewright {\n  rankdir=LR;\n  node [shape=box];\n";
  const auto arrow = [&](const std::string& from, const std::string& to, LinkKind kind) {
    text += fmt::format("  {} -> {}", dot_quoted(from), dot_quoted(to));
    if (kind != LinkKind::Base) text += fmt::format(" [label=\"{}\"]", word(kind));
    text += ";\n";
  };
  std::set<std::string> external;
  for (const std::size_t i : plan.graph.order()) {
    const std::string& name = plan.images[i].config->name;
    text += fmt::format("  {};\n", dot_quoted(name));
    for (const Link& link : external_links(plan, i, names)) {
      if (external.insert(link.image).second)
        text += fmt::format("  {} [style=dashed];\n", dot_quoted(link.image));
      arrow(link.image, name, link.kind);
    }
    for (const Edge& edge : plan.graph.parents(i))
      arrow(plan.images[edge.parent].config->name, name, edge.link.kind);
  }
  return text + "}\n";
}

Json link_json(const std::string& image, const Link& link) {
  return {{"image", image},
          {"kind", word(link.kind)},
          {"platform", text_or_null(link.platform)},
          {"line", link.line == 0 ? Json(nullptr) : Json(link.line)}};
}

Json json_of(const Plan& plan, const ImageNames& names) {
  Json list = Json::array();
  for (const std::size_t i : plan.graph.order()) {
    Json parents = Json::array();
    for (const Edge& edge : plan.graph.parents(i))
      parents.push_back(link_json(plan.images[edge.parent].config->name, edge.link));
    Json external = Json::array();
    for (const Link& link : external_links(plan, i, names))
      external.push_back(link_json(link.image, link));
    const std::string& error = plan.images[i].error;
    list.push_back({{"name", plan.images[i].config->name},
                    {"parents", parents},
                    {"external", external},
                    {"error", text_or_null(error)}});
  }
  return list;
}

}  // namespace

int show_graph(const Options& options) {
  const Project project = load_project(options);
  const auto selected = select_images(project.config.images, options.run.images);
  const ImageNames names(project.config.images, has_localhost(options, project), host_platform());
  Observer observer(project, Observer::Look::Links);
  observer.ask_ahead(selected);
  observer.look_ahead(selected);
  const Plan plan = make_plan(project, observer, names, selected);
  switch (options.graph) {
    case GraphFormat::Text:
      fmt::print(stdout, "{}", text_of(plan, names));
      break;
    case GraphFormat::Dot:
      fmt::print(stdout, "{}", dot_of(plan, names));
      break;
    case GraphFormat::Json:
      fmt::print(stdout, "{}\n", dump(json_of(plan, names), true));
      break;
  }
  bool any_error = false;
  for (const PlannedImage& image : plan.images) {
    if (image.error.empty()) continue;
    any_error = true;
    fmt::print(stderr, "imagewright: {}: {}\n", image.config->name, without_controls(image.error));
  }
  return any_error ? 1 : 0;
}

}  // namespace imagewright
