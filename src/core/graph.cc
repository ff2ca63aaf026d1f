#include "core/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/reference.h"
#include "core/tags.h"

namespace imagewright {

namespace {

constexpr std::string_view kLocalhost = "localhost/";

}  // namespace

ImageNames::ImageNames(const std::vector<ImageConfig>& images, bool with_localhost)
    : with_localhost_(with_localhost) {
  by_name_.reserve(images.size());
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (const auto reference = parse_reference(images[i].name))
      by_name_.emplace(normalized(*reference), i);
  }
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (images[i].tags.empty()) continue;
    const auto references = fixed_references(images[i].name, images[i].tags);
    if (!references) continue;
    for (const std::string& name : *references)
      by_name_.emplace(normalized(*parse_reference(name)), i);
  }
}

std::optional<std::size_t> ImageNames::find(const std::string& reference) const {
  const auto parsed = parse_reference(reference);
  if (!parsed || !parsed->digest.empty()) return std::nullopt;
  if (const auto found = by_name_.find(normalized(*parsed)); found != by_name_.end())
    return found->second;
  if (with_localhost_ && reference.starts_with(kLocalhost))
    return find(reference.substr(kLocalhost.size()));
  return std::nullopt;
}

void Graph::add(std::size_t image, Edge edge) {
  std::vector<Edge>& edges = parents_[image];
  const bool is_known = std::any_of(edges.begin(), edges.end(),
                                    [&](const Edge& known) { return known.parent == edge.parent; });
  if (!is_known) edges.push_back(std::move(edge));
}

namespace {

// Goes down to what everything stands on. Where it finds a cycle, `cycle` has it; else `order` has
// all, parents first.
struct Walk {
  enum class Mark { New, Open, Done };

  explicit Walk(const Graph& walked) : graph(walked), marks(walked.size(), Mark::New) {
    for (std::size_t i = 0; i < graph.size() && cycle.empty(); ++i) from(i);
  }

  void from(std::size_t first) {
    if (marks[first] != Mark::New) return;
    // Each with the number of its parents that were followed.
    std::vector<std::pair<std::size_t, std::size_t>> way = {{first, 0}};
    marks[first] = Mark::Open;
    while (!way.empty()) {
      auto& [image, done] = way.back();
      if (done == graph.parents(image).size()) {
        marks[image] = Mark::Done;
        order.push_back(image);
        way.pop_back();
        continue;
      }
      const std::size_t parent = graph.parents(image)[done++].parent;
      if (marks[parent] == Mark::Open) {
        auto begin = std::find_if(way.begin(), way.end(),
                                  [&](const auto& step) { return step.first == parent; });
        for (; begin != way.end(); ++begin) cycle.push_back(begin->first);
        return;
      }
      if (marks[parent] == Mark::Done) continue;
      marks[parent] = Mark::Open;
      way.emplace_back(parent, 0);
    }
  }

  const Graph& graph;
  std::vector<Mark> marks;
  std::vector<std::size_t> order;
  std::vector<std::size_t> cycle;
};

}  // namespace

std::vector<std::size_t> Graph::find_cycle() const {
  return Walk(*this).cycle;
}

std::vector<std::size_t> Graph::order() const {
  return Walk(*this).order;
}

std::string describe(const Link& link) {
  switch (link.kind) {
    case LinkKind::Base:
      return fmt::format("FROM, line {}", link.line);
    case LinkKind::Copy:
      return fmt::format("COPY --from, line {}", link.line);
    case LinkKind::Mount:
      return fmt::format("RUN --mount, line {}", link.line);
    case LinkKind::Syntax:
      return fmt::format("# syntax, line {}", link.line);
    case LinkKind::DependsOn:
      return "depends_on";
  }
  return "";
}

std::string describe_cycle(const Graph& graph, const std::vector<std::size_t>& cycle,
                           const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    const std::size_t next = cycle[(i + 1) % cycle.size()];
    const auto& edges = graph.parents(cycle[i]);
    const auto edge = std::find_if(edges.begin(), edges.end(),
                                   [&](const Edge& one) { return one.parent == next; });
    text += fmt::format("{}{}{} on {} ({})", i == 0 ? "" : ", ", names[cycle[i]],
                        i == 0 ? " stands" : "", next == cycle[i] ? "itself" : names[next],
                        describe(edge->link));
  }
  return text;
}

}  // namespace imagewright
