// An image's matrix: from lists of values to the combinations that there is an image for. Knows
// nothing of images. The rules are those of `strategy.matrix` in GitHub Actions.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace imagewright {

/// A value for each key.
using Combination = std::map<std::string, std::string>;

struct Matrix {
  std::vector<std::pair<std::string, std::vector<std::string>>> axes;  ///< no two of one key
  std::vector<Combination> exclude;
  std::vector<Combination> include;
};

/// Every value of each axis with every one of the others, the last axis moving fastest; without
/// those in which all values of an `exclude` are; then, for each `include` in turn: what it has is
/// added to all of these (not to those that an `include` made) in which it changes no axis's value;
/// where there is none, it becomes a combination of its own, at the end. nullopt: there would be
/// more than `limit`, before or after excluding, or a million values in all of them.
std::optional<std::vector<Combination>> combinations(const Matrix& matrix, std::size_t limit);

}  // namespace imagewright
