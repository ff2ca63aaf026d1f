#include "io/base_image_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/platform.h"

namespace imagewright {

namespace {

using Json = nlohmann::json;

// Under a key in either spelling; null where there is none.
Json value_of(const Json& object, const char* upper, const char* lower) {
  for (const char* key : {upper, lower}) {
    if (const auto found = object.find(key); found != object.end()) return *found;
  }
  return nullptr;
}

std::string text_of(const Json& object, const char* upper, const char* lower) {
  const Json value = value_of(object, upper, lower);
  return value.is_string() ? value.get<std::string>() : "";
}

// False: it is neither a list of texts nor missing.
bool take_texts(const Json& list, std::vector<std::string>& texts) {
  if (list.is_null()) return true;
  if (!list.is_array()) return false;
  for (const Json& text : list) {
    if (!text.is_string()) return false;
    texts.push_back(text.get<std::string>());
  }
  return true;
}

}  // namespace

bool fits_platform(const Json& image, const std::string& platform) {
  if (!image.is_object()) return false;
  const Platform its =
      platform_of(text_of(image, "Os", "os"), text_of(image, "Architecture", "architecture"),
                  text_of(image, "Variant", "variant"));
  const auto all = what_runs_on(parse_platform(platform));
  return std::find(all.begin(), all.end(), its) != all.end();
}

std::optional<BaseImage> base_image_of(const Json& image, const std::string& platform) {
  if (!image.is_object()) return std::nullopt;
  if (!fits_platform(image, platform)) return std::nullopt;
  const Json config = value_of(image, "Config", "config");
  if (!config.is_object()) return std::nullopt;
  BaseImage base;
  if (!take_texts(value_of(config, "Env", "env"), base.environment) ||
      !take_texts(value_of(config, "OnBuild", "onbuild"), base.triggers)) {
    return std::nullopt;
  }
  return base;
}

}  // namespace imagewright
