#include "core/fetch_pack.h"

#include "core/pkt_line.h"

namespace imagewright {

namespace {

// The first byte of what is in a section "packfile".
constexpr char kPackData = 1;
constexpr char kProgress = 2;

}  // namespace

std::string fetch_question(const FetchQuestion& question) {
  std::string body = packet("command=fetch") + packet("agent=imagewright");
  body += kDelimiterPacket;
  // (Without thin-pack a server sends all of a commit whose parents it is not to send, whatever is
  // there.)
  body += packet("thin-pack") + packet("no-progress") + packet("ofs-delta") + packet("deepen 1");
  for (const std::string& id : question.shallow) body += packet("shallow " + id);
  body += packet("want " + question.want);
  for (const std::string& id : question.have) body += packet("have " + id);
  body += packet("done");
  body += kFlushPacket;
  return body;
}

bool FetchAnswer::take(std::string_view part) {
  if (state_ == State::Failed) return false;
  bool is_good = true;
  if (rest_.empty()) {
    is_good = take_packets(part);
    rest_ = part;
  } else {
    rest_ += part;
    std::string_view rest = rest_;
    is_good = take_packets(rest);
    rest_ = std::string(rest);
  }
  if (!is_good) state_ = State::Failed;
  return is_good;
}

bool FetchAnswer::take_packets(std::string_view& rest) {
  while (!rest.empty()) {
    bool is_broken = false;
    const auto next = take_packet(rest, is_broken);
    if (!next) return !is_broken;
    const std::string_view line = line_of(*next);
    const bool is_text = next->kind == Packet::Kind::Text;
    switch (state_) {
      case State::Sections:
        if (!is_text || (line != "shallow-info" && line != "packfile")) return false;
        state_ = line == "packfile" ? State::Pack : State::Shallow;
        break;
      case State::Shallow: {
        constexpr std::string_view kShallow = "shallow ";
        if (next->kind == Packet::Kind::Delimiter) {
          state_ = State::Sections;
        } else if (is_text && !is_shallow_ && line.starts_with(kShallow) &&
                   line.substr(kShallow.size()) == want_) {
          is_shallow_ = true;
        } else {
          return false;
        }
        break;
      }
      case State::Pack:
        if (next->kind == Packet::Kind::Flush) {
          state_ = State::Ended;
        } else if (!is_text || next->text.empty()) {
          return false;
        } else if (next->text.front() == kPackData) {
          if (!on_pack_(next->text.substr(1))) return false;
        } else if (next->text.front() != kProgress) {
          return false;
        }
        break;
      case State::Ended:
        return false;  // there is more behind its end
      case State::Failed:
        return false;
    }
  }
  return true;
}

}  // namespace imagewright
