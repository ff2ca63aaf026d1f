#include "core/matrix.h"

#include <algorithm>

namespace imagewright {

namespace {

/// More values than this in all combinations together are refused like too many combinations.
constexpr std::size_t kMaxValues = 1'000'000;

/// nullopt: more than `limit`.
std::optional<std::vector<Combination>> product(const Matrix& matrix, std::size_t limit) {
  std::vector<Combination> all;
  if (matrix.axes.empty()) return all;
  all.emplace_back();
  limit = std::min(limit, kMaxValues / matrix.axes.size());
  for (const auto& [key, values] : matrix.axes) {
    if (!values.empty() && all.size() > limit / values.size()) return std::nullopt;
    std::vector<Combination> longer;
    for (const Combination& combination : all) {
      for (const std::string& value : values) {
        longer.push_back(combination);
        longer.back()[key] = value;
      }
    }
    all = std::move(longer);
  }
  return all;
}

bool contains(const Combination& combination, const Combination& part) {
  return std::all_of(part.begin(), part.end(), [&](const auto& pair) {
    const auto found = combination.find(pair.first);
    return found != combination.end() && found->second == pair.second;
  });
}

}  // namespace

std::optional<std::vector<Combination>> combinations(const Matrix& matrix, std::size_t limit) {
  auto all = product(matrix, limit);
  if (!all) return std::nullopt;
  const auto excluded = [&](const Combination& combination) {
    return std::any_of(matrix.exclude.begin(), matrix.exclude.end(),
                       [&](const Combination& part) { return contains(combination, part); });
  };
  all->erase(std::remove_if(all->begin(), all->end(), excluded), all->end());

  const std::size_t originals = all->size();
  std::size_t values = originals * matrix.axes.size();
  for (const Combination& include : matrix.include) {
    Combination of_axes;
    for (const auto& [key, ignored] : matrix.axes) {
      if (const auto found = include.find(key); found != include.end()) of_axes.insert(*found);
    }
    bool added = false;
    for (std::size_t i = 0; i < originals; ++i) {
      Combination& original = (*all)[i];
      if (!contains(original, of_axes)) continue;
      values += include.size();
      if (values > kMaxValues) return std::nullopt;
      for (const auto& [key, value] : include) original[key] = value;
      added = true;
    }
    if (!added) all->push_back(include);
  }
  if (all->size() > limit) return std::nullopt;
  return all;
}

}  // namespace imagewright
