#include "service/units.h"

#include "io/host_platform.h"

namespace imagewright {

Units::Units(const Project& project) {
  const bool is_one = project.config.publish == PublishWhen::Together;
  for (const ImageConfig& image : project.config.images) {
    const std::string name = is_one                ? project.config_path.filename().string()
                             : image.index.empty() ? image.name
                                                   : image.index;
    const auto [place, is_new] = by_name_.try_emplace(name, units_.size());
    if (is_new) units_.push_back({name, {}, 0, {}});
    Unit& unit = units_[place->second];
    unit.images.push_back(image.name);
    unit.weight += image.weight;
    for (const std::string& platform : image.options.platforms)
      unit.needs.insert("platform=" + platform);
    if (image.options.platforms.empty()) unit.needs.insert("platform=" + host_platform());
    by_image_[image.name] = place->second;
  }
}

const Unit* Units::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &units_[found->second];
}

const Unit* Units::find_image(const std::string& image) const {
  const auto found = by_image_.find(image);
  return found == by_image_.end() ? nullptr : &units_[found->second];
}

const Unit& Units::of_image(const std::string& image) const {
  return units_[by_image_.at(image)];
}

}  // namespace imagewright
