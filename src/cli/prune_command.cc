#include "cli/prune_command.h"

#include <fmt/format.h>

#include "cli/exit_status.h"
#include "cli/project.h"
#include "run/json.h"

namespace imagewright {

namespace {

std::string size_text(std::uint64_t bytes) {
  constexpr std::uint64_t kThousand = 1000;
  if (bytes < kThousand) return fmt::format("{} B", bytes);
  if (bytes < kThousand * kThousand) return fmt::format("{} kB", bytes / kThousand);
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / (kThousand * kThousand));
}

Json json_of(const PruneItem& item, bool remove) {
  return {{"kind", word(item.kind)},
          {"what", item.what},
          {"why", item.why},
          {"bytes", item.bytes},
          {"removed", remove && item.left.empty()},
          {"left", text_or_null(item.left)}};
}

}  // namespace

int show_prune(const Options& options, Progress& progress) {
  const Project project = load_project(options);
  PruneOptions how = options.prune;
  how.engine = options.run.engine;
  const auto items = prune(project, how, progress);
  if (options.json) {
    Json list = Json::array();
    for (const PruneItem& item : items) list.push_back(json_of(item, how.remove));
    fmt::print(stdout, "{}\n", dump(list, true));
    return interrupted_status();
  }
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  for (const PruneItem& item : items) {
    const char* what = !item.left.empty() ? "left" : how.remove ? "removed" : "would remove";
    std::string line =
        fmt::format("{} {} {} ({})", what, word(item.kind), without_controls(item.what), item.why);
    if (item.bytes != 0) line += ", " + size_text(item.bytes);
    if (!item.left.empty()) line += ": " + without_controls(item.left);
    if (!options.quiet) fmt::print(stdout, "{}\n", line);
    if (!item.left.empty()) continue;
    ++count;
    bytes += item.bytes;
  }
  if (count > 0 && !how.remove && !options.quiet) {
    fmt::print(stdout, "--yes removes {} of these{}\n",
               count == items.size() ? "all" : std::to_string(count),
               bytes == 0 ? "" : ", " + size_text(bytes) + " of files");
  }
  return interrupted_status();
}

}  // namespace imagewright
