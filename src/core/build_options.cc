#include "core/build_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace imagewright {

std::map<std::string, std::string> deciding_options(const BuildOptions& options) {
  std::map<std::string, std::string> texts;
  if (!options.platforms.empty()) {
    texts["platforms"] = fmt::format("{}", fmt::join(options.platforms, ","));
  }
  if (!options.network.empty() && options.network != "default") texts["network"] = options.network;
  for (const auto& [host, address] : options.extra_hosts) {
    texts["extra_hosts"] += fmt::format("{}={},", host, address);
  }
  if (options.shm_size != 0) texts["shm_size"] = std::to_string(options.shm_size);
  for (const auto& [name, limit] : options.ulimits) {
    texts["ulimits"] += fmt::format("{}={}:{},", name, limit.soft, limit.hard);
  }
  if (options.privileged) texts["privileged"] = "true";
  return texts;
}

}  // namespace imagewright
