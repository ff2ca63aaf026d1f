#include "run/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "io/error.h"
#include "io/interrupt.h"

namespace imagewright {

namespace {

// The files of so many are kept until their turn comes. The others', which take memory and an open
// file each, or a checked out tree on the disk, are looked at again if they are needed.
class Kept {
 public:
  // Is there room for these, too?
  bool add(const ContextFiles& files) {
    if (files.checkout) {
      for (const Entry& entry : files.entries()) checkout_bytes_ += entry.size;
      return ++checkouts_ <= kFewCheckouts ||
             (checkouts_ <= kMostImages && checkout_bytes_ <= kMostCheckoutBytes);
    }
    for (const DirectoryRecord& record : files.snapshot.cache().records()) entries_ += record.count;
    return ++images_ <= kMostImages && entries_ <= kMostEntries;
  }

 private:
  static constexpr std::size_t kFewCheckouts = 4;  // however large they are
  static constexpr std::uint64_t kMostCheckoutBytes = std::uint64_t{512} << 20;
  static constexpr std::size_t kMostImages = 200;
  static constexpr std::size_t kMostEntries = 3'000'000;

  std::size_t checkouts_ = 0;
  std::uint64_t checkout_bytes_ = 0;
  std::size_t images_ = 0;
  std::size_t entries_ = 0;
};

PlannedImage look_at(const ImageConfig& image, Observer& observer, Kept& kept) {
  PlannedImage planned;
  planned.config = &image;
  if (interrupted() != 0) {
    planned.error = "interrupted";
    return planned;
  }
  try {
    planned.observation = observer.observe(image);
    auto& files = planned.observation.files;
    if (files && !kept.add(*files)) planned.observation.drop_files();
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::Source) throw;
    planned.error = error.what();
  }
  return planned;
}

// An image of the file is never taken from elsewhere instead.
void check_platforms(PlannedImage& planned, const ImageNames& names) {
  if (!planned.error.empty()) return;
  for (const Link& link : planned.observation.links) {
    const bool is_taken = link.kind != LinkKind::DependsOn && link.kind != LinkKind::Syntax;
    if (!is_taken || names.find(link, *planned.config) || names.find_all(link.image).empty())
      continue;
    const std::vector<std::string>& own = planned.config->options.platforms;
    planned.error = fmt::format(
        "it stands on {} ({}), which is not built for {}", link.image, describe(link),
        !link.platform.empty() ? link.platform
                               : (own.empty() ? "this machine's platform" : own.front()));
  }
}

}  // namespace

std::vector<Edge> edges_of(const ImageConfig& image, const std::vector<Link>& links,
                           const ImageNames& names) {
  std::vector<Edge> edges;
  for (const Link& link : links) {
    if (link.kind == LinkKind::DependsOn) {
      for (const std::size_t parent : names.find_all(link.image)) edges.push_back({parent, link});
    } else if (const auto parent = names.find(link, image)) {
      edges.push_back({*parent, link});
    }
  }
  return edges;
}

Plan make_plan(const Project& project, Observer& observer, const ImageNames& names,
               const std::vector<std::size_t>& selected,
               const std::function<void(const PlannedImage& image)>& seen, Parents rest) {
  const auto& configs = project.config.images;
  Plan plan;
  plan.images.reserve(configs.size());
  std::vector<bool> is_planned(configs.size());
  const auto add = [&](PlannedImage image) -> PlannedImage& {
    is_planned[static_cast<std::size_t>(image.config - configs.data())] = true;
    return plan.images.emplace_back(std::move(image));
  };
  std::vector<std::vector<Edge>> edges(configs.size());
  Kept kept;
  // One generation after the other: whom an image stands on is known once it was looked at.
  for (std::vector<std::size_t> next = selected; !next.empty();) {
    if (next != selected) {
      observer.ask_ahead(next);
      observer.look_ahead(next);
    }
    std::vector<std::size_t> parents;
    for (const std::size_t number : next) {
      PlannedImage& image = add(look_at(configs[number], observer, kept));
      check_platforms(image, names);
      if (seen) seen(image);
      edges[number] = edges_of(configs[number], image.observation.links, names);
      for (const Edge& edge : edges[number]) parents.push_back(edge.parent);
    }
    std::sort(parents.begin(), parents.end());
    parents.erase(std::unique(parents.begin(), parents.end()), parents.end());
    std::erase_if(parents, [&](std::size_t parent) { return is_planned[parent]; });
    if (rest == Parents::AsTheyAre) {
      for (const std::size_t parent : parents) {
        PlannedImage taken;
        taken.config = &configs[parent];
        taken.is_taken = true;
        add(std::move(taken));
      }
      break;
    }
    next = std::move(parents);
  }

  // (In the file's order they are already, unless some were left out.)
  const auto in_order = [](const PlannedImage& a, const PlannedImage& b) {
    return a.config < b.config;
  };
  if (!std::is_sorted(plan.images.begin(), plan.images.end(), in_order))
    std::sort(plan.images.begin(), plan.images.end(), in_order);
  std::vector<std::size_t> places(configs.size());
  std::vector<std::vector<Edge>> of_places(plan.images.size());
  for (std::size_t place = 0; place < plan.images.size(); ++place) {
    const auto number = static_cast<std::size_t>(plan.images[place].config - configs.data());
    places[number] = place;
    of_places[place] = std::move(edges[number]);
  }
  for (std::vector<Edge>& all : of_places) {
    for (Edge& edge : all) edge.parent = places[edge.parent];
  }
  plan.graph = Graph(std::move(of_places));
  if (const auto cycle = plan.graph.find_cycle(); !cycle.empty()) {
    std::vector<std::string> all;
    for (const PlannedImage& image : plan.images) all.push_back(image.config->name);
    throw Error(Error::Kind::Usage, project.config_path.string() + ": " +
                                        describe_cycle(plan.graph, cycle, all) +
                                        "; no order can build them");
  }
  return plan;
}

}  // namespace imagewright
