// Fuzzes answers to git's question for refs: what is taken is what was asked for, with ids that are
// ids, and nothing of an answer that is not whole.
#include "core/ls_refs.h"

#include <set>
#include <string>

#include "check.h"
#include "core/source.h"

namespace imagewright::fuzz {
namespace {

void run(std::string_view text) {
  const std::set<std::string> names = {"HEAD", "refs/heads/main", "refs/tags/v1"};
  const auto refs = parse_ls_refs(text, names);
  if (!refs) {
    check_message(refs.error().message);
    return;
  }
  FUZZ_CHECK(text.ends_with("0000"), text);
  for (const Ref& ref : *refs) {
    FUZZ_CHECK(names.count(ref.name) == 1, text, ref.name);
    FUZZ_CHECK(ref.id.empty() || is_full_git_id(ref.id), text, ref.id);
    FUZZ_CHECK(ref.peeled.empty() || is_full_git_id(ref.peeled), text, ref.peeled);
  }
  // Cut anywhere, it is no answer any more.
  FUZZ_CHECK(!parse_ls_refs(text.substr(0, text.size() - 1), names), text);
}

}  // namespace
}  // namespace imagewright::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  imagewright::fuzz::run(imagewright::fuzz::as_text(data, size));
  return 0;
}
