// Fuzzes library files of docker's official images: what is taken has tags that are tags and
// sources that a configuration could have, and no two images get one of their own tags.
#include "core/stackbrew.h"

#include <set>
#include <string>

#include "check.h"
#include "core/reference.h"

namespace imagewright::fuzz {
namespace {

void run(std::string_view text) {
  is_stackbrew(text);
  const auto library = parse_stackbrew(text);
  if (!library) {
    check_message(library.error().message);
    return;
  }
  for (const std::string& warning : library->warnings) check_message(warning);
  std::set<std::pair<std::string, std::string>> given;
  for (const StackbrewImage& image : library->images) {
    FUZZ_CHECK(!image.tags.empty() && !image.platforms.empty(), text);
    FUZZ_CHECK(check_git_source(image.source).has_value() && !image.source.local, text);
    for (const std::string& tag : image.tags) {
      FUZZ_CHECK(parse_reference("image:" + tag).has_value(), text, tag);
      for (const std::string& platform : image.platforms)
        FUZZ_CHECK(given.emplace(tag, platform).second, text, tag, platform);
    }
  }
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  imagewright::fuzz::run(imagewright::fuzz::as_text(data, size));
  return 0;
}
