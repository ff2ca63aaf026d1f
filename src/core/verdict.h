// Build or not, and why: the present inputs of an image against its last success. Knows nothing of
// stores and engines: it is told.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/change.h"
#include "core/fingerprint.h"

namespace imagewright {

enum class InputFate { Same, Changed, Added, Removed };

/// "same", "changed", "added", "removed": for programs; stable (docs/formats.md).
const char* word(InputFate fate);

/// One input at the last success and now. Both borrowed.
struct ComparedInput {
  InputFate fate = InputFate::Same;
  const Input* before = nullptr;  ///< nullptr: there was none
  const Input* now = nullptr;     ///< nullptr: there is none
  const Input& either() const { return now != nullptr ? *now : *before; }
};

/// By kind, then name.
std::vector<ComparedInput> compare(const std::vector<Input>& before, const std::vector<Input>& now);

enum class ReasonKind {
  Forced,        ///< --force
  NeverBuilt,    ///< no success is known
  FromOriginal,  ///< the success is the original script's: its digest says nothing here
  OtherFormat,   ///< the success was fingerprinted by the rules of another version
  Unverified,    ///< the context changed while it was built
  ImageGone,     ///< the engine no longer has the image
  TooOld,        ///< it is older than its `max_age`
  InputChanged,
  InputAdded,
  InputRemoved,
  ParentStale,  ///< what it stands on would be built first, and may be another image then
};

struct Reason {
  ReasonKind kind = ReasonKind::NeverBuilt;
  InputKind input = InputKind::Context;  ///< of the last three kinds
  std::string name;          ///< the input's name; for ImageGone: the engine that lacks it; for
                             ///< TooOld: how old it may be; for ParentStale: the parent
  ContextChanges changes{};  ///< of a changed context, where they are known; else empty
  // The input's values (Input::value); "": not known, or there is none.
  std::string before = {};
  std::string now = {};
  bool operator==(const Reason&) const = default;
};

/// "arg VERSION changed", "never built", "content: 1 changed: src/a.cc": for people, in one line.
std::string describe(const Reason& reason);
/// All of them, joined by "; ".
std::string describe(const std::vector<Reason>& reasons);
/// "input-changed", "never-built" …: for programs; stable (docs/formats.md).
const char* word(ReasonKind kind);

/// The last success of an image, as far as it matters here.
struct LastSuccess {
  std::string digest;
  int format = 0;  ///< 0: the original's
  bool verified = true;
  std::vector<Input> inputs;
  std::string too_old_for = {};  ///< the `max_age` that it is older than; "": none
};

/// The reasons to build; none: up to date.
struct Verdict {
  std::vector<Reason> reasons;
  bool build() const { return !reasons.empty(); }
};

/// Is there no reason to build? `digest` is that of the present manifest.
bool is_up_to_date(const std::string& digest, const LastSuccess& last, bool engine_has_image,
                   bool force);

/// All of them. `engine` is the engine's name; `engine_has_image`: does it still have the image of
/// the last success?
Verdict decide(const Manifest& now, const std::optional<LastSuccess>& last, bool engine_has_image,
               const std::string& engine, bool force);

/// What is said of an image whose `parents` (names) would be built first: whatever their ids say
/// now gives way to that.
void note_stale_parents(Verdict& verdict, const std::vector<std::string>& parents);

}  // namespace imagewright
