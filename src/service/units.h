// What of a configuration is built by one job: an image; or all that must be published as one.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "run/project.h"

namespace imagewright {

/// One job's images.
struct Unit {
  std::string name;                 ///< the job's "image"
  std::vector<std::string> images;  ///< in the file's order
  int weight = 0;                   ///< of all its images
  /// What a worker must have to build them: "platform=linux/amd64".
  std::set<std::string> needs = {};
};

/// The units of a configuration. An image is one of its own; the images of an index over several
/// platforms are one, by the index's name; and with `publish: together` all of the file are one, by
/// the file's name.
class Units {
 public:
  explicit Units(const Project& project);

  const std::vector<Unit>& all() const { return units_; }
  /// nullptr: there is none of that name.
  const Unit* find(const std::string& name) const;
  /// To which an image of the configuration belongs, by its name.
  const Unit& of_image(const std::string& image) const;
  /// The same of any name; nullptr: the configuration has no such image.
  const Unit* find_image(const std::string& image) const;

 private:
  std::vector<Unit> units_;
  std::map<std::string, std::size_t> by_name_;
  std::map<std::string, std::size_t> by_image_;
};

}  // namespace imagewright
