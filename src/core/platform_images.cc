#include "core/platform_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/lower_case.h"
#include "core/platform.h"
#include "core/reference.h"
#include "core/shown.h"

namespace imagewright {

namespace {

std::string full_name(const std::string& name) {
  return normalized(*parse_reference(name));
}

}  // namespace

std::string name_for_platform(const std::string& name, const std::string& platform) {
  const auto reference = parse_reference(name);
  const bool has_tag = reference && !reference->tag.empty();
  std::string suffix = lower_case(platform);
  std::replace(suffix.begin(), suffix.end(), '/', '-');
  return fmt::format("{}{}-{}", name, has_tag ? "" : ":latest", suffix);
}

tl::expected<std::vector<ImageConfig>, ParseError> one_for_each_platform(
    std::vector<ImageConfig> images, const std::string& host) {
  const bool any = std::any_of(images.begin(), images.end(), [](const ImageConfig& image) {
    return !image.options.platforms.empty();
  });
  if (!any) return images;
  struct Use {
    ImageConfig first;
    int count = 0;
  };
  std::unordered_map<std::string, Use> uses;  // by full name
  for (const ImageConfig& image : images) {
    Use& use = uses.try_emplace(full_name(image.name), Use{image}).first->second;
    ++use.count;
    const ImageConfig& first = use.first;
    if (first.tags != image.tags || first.push != image.push) {
      return tl::unexpected(
          ParseError{fmt::format("the images '{}' in lines {} and {} are published as one, and so "
                                 "must have the same 'tags' and 'push'",
                                 image.name, first.line, image.line),
                     image.line, 0});
    }
    const bool has_bare = std::any_of(
        image.options.platforms.begin(), image.options.platforms.end(),
        [](const std::string& platform) { return parse_platform(platform).architecture.empty(); });
    if (has_bare && image.options.platforms.size() > 1) {
      return tl::unexpected(ParseError{
          fmt::format(
              "of several platforms of '{}' each must say its architecture, like linux/arm64",
              image.name),
          image.line, 0});
    }
  }

  std::vector<ImageConfig> all;
  std::unordered_map<std::string, std::size_t> leaders;  // by the index's full name
  std::unordered_set<std::string> names;
  const auto add = [&](ImageConfig image) -> tl::expected<void, ParseError> {
    const auto reference = parse_reference(image.name);
    if (!reference) {
      return tl::unexpected(
          ParseError{fmt::format("for one of its platforms the image would be called {}: {}",
                                 shown(image.name), reference.error().message),
                     image.line, 0});
    }
    if (!names.insert(normalized(*reference)).second) {
      return tl::unexpected(
          ParseError{fmt::format("two images would be called '{}'; an image for several platforms "
                                 "has one of such a name for each of them",
                                 image.name),
                     image.line, 0});
    }
    all.push_back(std::move(image));
    return {};
  };
  const Platform here = parse_platform(host);
  for (ImageConfig& image : images) {
    const std::string full = full_name(image.name);
    if (image.options.platforms.size() < 2 && uses[full].count == 1) {
      if (auto added = add(std::move(image)); !added) return tl::unexpected(added.error());
      continue;
    }
    for (const std::string& platform : image.options.platforms) {
      ImageConfig one = image;
      one.index = uses[full].first.name;
      one.name = name_for_platform(one.index, platform);
      one.options.platforms = {platform};
      const auto [leader, first] = leaders.try_emplace(full, all.size());
      if (!first && parse_platform(platform) == here) leader->second = all.size();
      if (auto added = add(std::move(one)); !added) return tl::unexpected(added.error());
    }
  }
  for (const auto& [name, leader] : leaders) all[leader].leads_index = true;
  return all;
}

}  // namespace imagewright
