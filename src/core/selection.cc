#include "core/selection.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/config_values.h"
#include "core/platform.h"

namespace imagewright {

namespace {

auto find_platform(const std::vector<std::string>& all, const std::string& wanted) {
  const Platform platform = parse_platform(wanted);
  // (A system alone is for any architecture.)
  return std::find_if(all.begin(), all.end(), [&](const std::string& one) {
    const Platform other = parse_platform(one);
    return other == platform || (other.os == platform.os &&
                                 (other.architecture.empty() || platform.architecture.empty()));
  });
}

bool holds(const std::string& constraint, const std::vector<std::string>& given) {
  const bool negated = constraint.starts_with('!');
  const bool is_given =
      std::find(given.begin(), given.end(), constraint.substr(negated ? 1 : 0)) != given.end();
  return is_given != negated;
}

}  // namespace

bool is_selectable_platform(const std::string& platform) {
  return platform == "native" || (platform.find('/') != std::string::npos && is_platform(platform));
}

std::string why_left_out(const Selection& selection, const std::string& platform,
                         const std::vector<std::string>& constraints,
                         std::vector<std::string>& platforms) {
  for (const std::string& constraint : constraints) {
    if (!holds(constraint, selection.constraints))
      return fmt::format("its constraint '{}' does not hold", constraint);
  }
  if (platform.empty()) return "";
  const std::string& wanted = platform == "native" ? selection.host : platform;
  if (platforms.empty()) {
    if (parse_platform(wanted) != parse_platform(selection.host)) platforms = {wanted};
    return "";
  }
  const auto found = find_platform(platforms, wanted);
  if (found == platforms.end())
    return fmt::format("it is for {}, not for {}", fmt::join(platforms, ", "), wanted);
  platforms = {parse_platform(*found).architecture.empty() && platform != "native" ? wanted
                                                                                   : *found};
  return "";
}

bool are_disjoint(const std::vector<std::string>& platforms,
                  const std::vector<std::string>& others) {
  return !platforms.empty() && !others.empty() &&
         std::none_of(platforms.begin(), platforms.end(), [&](const std::string& one) {
           return find_platform(others, one) != others.end();
         });
}

}  // namespace imagewright
