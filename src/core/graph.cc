#include "core/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/platform.h"
#include "core/reference.h"
#include "core/tags.h"

namespace imagewright {

namespace {

constexpr std::string_view kLocalhost = "localhost/";

}  // namespace

ImageNames::ImageNames(const std::vector<ImageConfig>& images, bool with_localhost,
                       std::string host)
    : with_localhost_(with_localhost), host_(std::move(host)) {
  by_name_.reserve(2 * images.size());
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (const auto reference = parse_reference(images[i].name)) {
      by_name_[normalized(*reference)] = {{i, ""}};
      by_name_[images[i].name] = {{i, ""}};
    }
  }
  std::unordered_map<std::string, std::string> owners;  // of other names: whose they are
  for (std::size_t i = 0; i < images.size(); ++i) {
    const bool is_part = !images[i].index.empty();
    if (images[i].tags.empty() && !is_part) continue;
    const std::string& its = is_part ? images[i].index : images[i].name;
    const auto references = fixed_references(its, images[i].tags);
    if (!references) continue;
    for (const std::string& name : *references) {
      const std::string full = normalized(*parse_reference(name));
      if (!is_part) {
        by_name_.try_emplace(full, std::vector<Part>{{i, ""}});
        continue;
      }
      std::vector<Part>& parts = by_name_[full];
      if (owners.try_emplace(full, its).first->second == its &&
          (parts.empty() || !parts.front().platform.empty()))
        parts.push_back({i, images[i].options.platforms.front()});
    }
  }
}

const std::vector<ImageNames::Part>& ImageNames::parts(const std::string& reference) const {
  static const std::vector<Part> kNone;
  if (const auto written = by_name_.find(reference); written != by_name_.end())
    return written->second;
  const auto parsed = parse_reference(reference);
  if (!parsed || !parsed->digest.empty()) return kNone;
  if (const auto found = by_name_.find(normalized(*parsed)); found != by_name_.end())
    return found->second;
  if (with_localhost_ && reference.starts_with(kLocalhost))
    return parts(reference.substr(kLocalhost.size()));
  return kNone;
}

std::optional<std::size_t> ImageNames::find(const std::string& reference,
                                            const std::string& platform) const {
  const std::vector<Part>& all = parts(reference);
  if (all.empty()) return std::nullopt;
  if (all.front().platform.empty()) return all.front().image;
  for (const Platform& runs : what_runs_on(parse_platform(platform))) {
    for (const Part& part : all) {
      if (parse_platform(part.platform) == runs) return part.image;
    }
  }
  return std::nullopt;
}

std::optional<std::size_t> ImageNames::find(const Link& link, const ImageConfig& image) const {
  if (!link.platform.empty()) return find(link.image, link.platform);
  return find(link.image,
              image.options.platforms.empty() ? host_ : image.options.platforms.front());
}

std::vector<std::size_t> ImageNames::find_all(const std::string& reference) const {
  std::vector<std::size_t> all;
  for (const Part& part : parts(reference)) all.push_back(part.image);
  return all;
}

Graph::Graph(std::vector<std::vector<Edge>> edges) : parents_(std::move(edges)) {
  for (std::vector<Edge>& all : parents_) {
    // (Few: what one image stands on.)
    for (auto edge = all.begin(); edge != all.end();) {
      const bool is_known = std::any_of(
          all.begin(), edge, [&](const Edge& known) { return known.parent == edge->parent; });
      edge = is_known ? all.erase(edge) : edge + 1;
    }
  }
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
