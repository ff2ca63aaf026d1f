// Which image of a configuration stands on which other one. Knows nothing of where that is read,
// and nothing of builds. Pure.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/config.h"
#include "core/links.h"

namespace imagewright {

/// Which image of a configuration a reference means. Borrows nothing.
class ImageNames {
 public:
  /// `with_localhost`: the engine is one that calls an image without a registry `localhost/NAME`
  /// (Podman, Buildah). `host`: the platform of what is for none.
  ImageNames(const std::vector<ImageConfig>& images, bool with_localhost, std::string host);

  /// The number of the image that has this name, or has it among its `tags`, whatever its spelling;
  /// nullopt: none, or a reference with a digest, which means what it says. (A tag that a build
  /// fills in names no image of the file.) Of an index, its image that runs on `platform`.
  std::optional<std::size_t> find(const std::string& reference, const std::string& platform) const;
  /// What a link of `image` means: for the platform that FROM says, else the image's own.
  std::optional<std::size_t> find(const Link& link, const ImageConfig& image) const;
  /// The same, of an index all images.
  std::vector<std::size_t> find_all(const std::string& reference) const;

 private:
  struct Part {
    std::size_t image = 0;
    std::string platform;  // ImageConfig::index; else ""
  };
  const std::vector<Part>& parts(const std::string& reference) const;

  // By every name, normalized; and, as most links are written so, as the configuration has it.
  std::unordered_map<std::string, std::vector<Part>> by_name_;
  bool with_localhost_;
  std::string host_;
};

/// One image stands on another.
struct Edge {
  std::size_t parent = 0;
  Link link;  ///< the first of the uses that make it
};

class Graph {
 public:
  /// Without images.
  Graph() = default;
  /// Of so many images, with the edges of each. A further edge to the same parent adds nothing.
  explicit Graph(std::vector<std::vector<Edge>> edges);

  /// What an image stands on; each parent once.
  const std::vector<Edge>& parents(std::size_t image) const { return parents_[image]; }
  std::size_t size() const { return parents_.size(); }

  /// Images each of which stands on the next one, and the last on the first; empty: there are none.
  /// The same whenever the graph is the same.
  std::vector<std::size_t> find_cycle() const;

  /// Parents first, else by number. For a graph without a cycle.
  std::vector<std::size_t> order() const;

 private:
  std::vector<std::vector<Edge>> parents_;
};

/// "a stands on b (FROM, line 1), b on a (depends_on)": for people. `names` by number.
std::string describe_cycle(const Graph& graph, const std::vector<std::size_t>& cycle,
                           const std::vector<std::string>& names);

/// "FROM, line 3", "COPY --from, line 7", "RUN --mount, line 9", "depends_on".
std::string describe(const Link& link);

}  // namespace imagewright
