#include "core/ls_refs.h"

#include <optional>

#include "core/pkt_line.h"
#include "core/shown.h"
#include "core/source.h"
#include "core/take_field.h"

namespace imagewright {

namespace {

// Git itself takes no notice of more than 65,536 prefixes.
constexpr std::size_t kMostPrefixes = 2000;

ParseError broken(const std::string& why) {
  return {"its answer is no list of refs: " + why};
}

// "ID NAME", then "peeled:ID" and "symref-target:NAME" as it goes.
std::optional<Ref> parse_ref(std::string_view line) {
  Ref ref;
  ref.id = take_field(line, ' ');
  ref.name = take_field(line, ' ');
  if (ref.name.empty()) return std::nullopt;
  if (ref.id == "unborn") {
    ref.id.clear();
  } else if (!is_full_git_id(ref.id)) {
    return std::nullopt;
  }
  constexpr std::string_view kPeeled = "peeled:";
  constexpr std::string_view kTarget = "symref-target:";
  while (!line.empty()) {
    const std::string_view attribute = take_field(line, ' ');
    if (attribute.starts_with(kPeeled)) {
      ref.peeled = attribute.substr(kPeeled.size());
      if (!is_full_git_id(ref.peeled)) return std::nullopt;
    } else if (attribute.starts_with(kTarget)) {
      ref.target = attribute.substr(kTarget.size());
    }
  }
  return ref;
}

}  // namespace

std::string ls_refs_question(const std::set<std::string>& names) {
  std::string question = packet("command=ls-refs") + packet("agent=imagewright");
  question += kDelimiterPacket;
  question += packet("peel") + packet("symrefs");
  if (names.size() > kMostPrefixes) {
    for (const char* prefix : {"HEAD", "refs/heads/", "refs/tags/"})
      question += packet(std::string("ref-prefix ") + prefix);
    for (const std::string& name : names) {
      const bool is_covered =
          name == "HEAD" || name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
      if (!is_covered) question += packet("ref-prefix " + name);
    }
  } else {
    for (const std::string& name : names) question += packet("ref-prefix " + name);
  }
  question += kFlushPacket;
  return question;
}

tl::expected<std::vector<Ref>, ParseError> parse_ls_refs(std::string_view answer,
                                                         const std::set<std::string>& names) {
  std::vector<Ref> refs;
  while (true) {
    bool is_broken = false;
    const auto packet = take_packet(answer, is_broken);
    if (!packet || (packet->kind != Packet::Kind::Text && packet->kind != Packet::Kind::Flush))
      return tl::unexpected(broken("it ends too early"));
    if (packet->kind == Packet::Kind::Flush) break;
    const std::string_view line = line_of(*packet);
    if (line.starts_with("ERR ")) return tl::unexpected(broken(shown(line.substr(4))));
    auto ref = parse_ref(line);
    if (!ref) return tl::unexpected(broken(shown(line)));
    if (names.count(ref->name) != 0) refs.push_back(*std::move(ref));
  }
  if (!answer.empty()) return tl::unexpected(broken("there is more behind its end"));
  return refs;
}

}  // namespace imagewright
