// Git's protocol, version 2, as far as it brings objects: the question `fetch` for one commit
// without its history, and its answer, part by part. Pure.
// Rules: git's Documentation/gitprotocol-v2.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imagewright {

/// What is asked for, all of them full ids.
struct FetchQuestion {
  std::string want;                  ///< a commit
  std::vector<std::string> have;     ///< commits that are there, with all that is in them
  std::vector<std::string> shallow;  ///< those of which the parents are not
};

/// The body of the question. What comes is one pack, of what there is not yet; some of it as
/// differences from what there is.
std::string fetch_question(const FetchQuestion& question);

/// Reads the answer. What it does not expect it takes for no answer.
class FetchAnswer {
 public:
  /// Takes a part of the pack; false: it wants no more.
  using OnPack = std::function<bool(std::string_view part)>;
  /// To a question for `want`.
  FetchAnswer(std::string want, OnPack on_pack)
      : want_(std::move(want)), on_pack_(std::move(on_pack)) {}

  /// False: there is no use in more of it.
  bool take(std::string_view part);

  /// The answer has come to its end, with a pack.
  bool is_complete() const { return state_ == State::Ended && rest_.empty(); }
  /// The parents of the commit that was wanted are not in the pack.
  bool is_shallow() const { return is_shallow_; }

 private:
  enum class State { Sections, Shallow, Pack, Ended, Failed };

  bool take_packets(std::string_view& rest);

  std::string want_;
  OnPack on_pack_;
  State state_ = State::Sections;
  std::string rest_;  // the beginning of a packet
  bool is_shallow_ = false;
};

}  // namespace imagewright
