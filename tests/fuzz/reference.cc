// Fuzzes image references: what is accepted is made of its parts and nothing else, and its full
// form is a reference of the same meaning.
#include "core/reference.h"

#include "check.h"

namespace imagewright::fuzz {
namespace {

constexpr std::size_t kMaxName = 255;

std::string written(const Reference& reference) {
  std::string text = reference.repository;
  if (!reference.tag.empty()) text += ":" + reference.tag;
  if (!reference.digest.empty()) text += "@" + reference.digest;
  return text;
}

void check_parts(const Reference& reference, std::string_view text) {
  FUZZ_CHECK(written(reference) == text, text, written(reference));
  FUZZ_CHECK(!reference.repository.empty() && reference.repository.size() <= kMaxName, text);
  FUZZ_CHECK(reference.domain.empty() || reference.repository.starts_with(reference.domain + "/"),
             text, reference.domain);
  // What an engine could take for an option, a second argument or another name.
  FUZZ_CHECK(text.front() != '-' && reference.tag.substr(0, 1) != "-", text);
  FUZZ_CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; }),
             text);
  FUZZ_CHECK(reference.repository.find_first_of("@?#%\\\"'$") == std::string::npos, text);
  FUZZ_CHECK(reference.tag.size() <= 128, text);
  FUZZ_CHECK(reference.digest.empty() || reference.digest.size() == 71, text);
  // Upper case only in a host's name.
  const std::string_view path =
      std::string_view(reference.repository).substr(reference.domain.size());
  FUZZ_CHECK(std::none_of(path.begin(), path.end(), [](char c) { return c >= 'A' && c <= 'Z'; }),
             text);
  FUZZ_CHECK(!contains(path, "//") && !contains(path, ".."), text);
}

void check_normalized(const Reference& reference, std::string_view text) {
  const std::string full = normalized(reference);
  const auto again = parse_reference(full);
  if (!again) {
    // What stands before a short name can make it too long, and `[ab]` is a host by the grammar
    // alone.
    FUZZ_CHECK(text.size() + sizeof("docker.io/library/") > kMaxName || text.front() == '[', text,
               full);
    return;
  }
  FUZZ_CHECK(normalized(*again) == full, text, full, normalized(*again));
  FUZZ_CHECK(again->digest == reference.digest, text, full);
  const bool untagged = reference.tag.empty() && reference.digest.empty();
  FUZZ_CHECK(again->tag == (untagged ? "latest" : reference.tag), text, full);
}

void run(std::string_view text) {
  const auto reference = parse_reference(text);
  if (!reference) {
    check_message(reference.error().message);
    return;
  }
  check_parts(*reference, text);
  check_normalized(*reference, text);
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  imagewright::fuzz::run(imagewright::fuzz::as_text(data, size));
  return 0;
}
