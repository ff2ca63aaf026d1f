// What repositories and registries said lately, for those who look often: a service looks whenever
// a file changes, and must not ask the whole world each time. Decides nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/reference.h"
#include "core/source.h"
#include "io/git.h"
#include "io/registry.h"
#include "io/scratch.h"

namespace imagewright {

/// Any number of threads. What could not be found out is remembered, too, so that one that does not
/// answer is not waited for at each look.
class Remembered {
 public:
  /// What a source's ref meant.
  struct Ref {
    ResolvedRef at;
    std::string failure;  ///< why that could not be found out; "": it could
  };
  /// What a registry said of an image, and under which name.
  struct Base {
    RegistryName at;
    RegistryAnswer answer;
  };

  /// Everything is forgotten after so long, or up to a tenth sooner. Nothing counts that was asked
  /// before it was made.
  explicit Remembered(std::chrono::milliseconds most_age) : most_age_(most_age) {}

  using Clock = std::chrono::steady_clock;
  /// When somebody began to ask, and among which of the times between two calls of `forget`:
  /// whoever asks notes it before.
  struct Asking {
    std::uint64_t era = 0;
    Clock::time_point at = Clock::now();
  };
  Asking asking() const;

  /// How old an answer may be, for who asks anew: as if he had asked that much sooner. A build
  /// follows the look that found it necessary, and need not ask what that has just asked.
  static constexpr std::chrono::milliseconds kJustNow{2'000};
  static constexpr std::chrono::milliseconds kAnyAge = std::chrono::hours(24 * 365);

  /// nullopt: nothing is known, or nothing that young.
  std::optional<Ref> ref(const GitSource& source, std::chrono::milliseconds most = kAnyAge);
  std::optional<Base> base(const std::string& reference, const std::string& platform,
                           std::chrono::milliseconds most = kAnyAge);
  /// What was asked in an earlier era is not kept: it may be older than what made it due. Nor is
  /// what somebody else asked later known already.
  void keep(const GitSource& source, Ref ref, const Asking& asking);
  void keep(const std::string& reference, const std::string& platform, Base base,
            const Asking& asking);

  /// Of these sources nothing is known any more: they are due.
  void forget(const std::vector<GitSource>& sources);
  void forget_all();

  // --- What several who ask tell each other. What could not be found out is not told.

  /// An answer as it is passed on.
  struct Said {
    std::string source;  ///< its digest: nobody learns from it what it is
    Clock::time_point asked;
    std::string answer;
  };
  /// What others were told counts, where it was asked for later than what is known here, and than
  /// the source was forgotten. What cannot be read does not.
  void take(const std::vector<Said>& all);
  /// What was asked here since the last call.
  std::vector<Said> take_fresh();
  /// It could not be passed on: it is fresh still.
  void put_back(const std::vector<Said>& all);
  /// Sources that were asked about once, and of which nothing is known any more. (Those that nobody
  /// asked about for long are nobody's any more.)
  std::set<std::string> due();
  /// Somebody else is about to ask about these: until then what was known last counts.
  void leave_to_others(const std::set<std::string>& sources, std::chrono::milliseconds for_time);

  /// Keeps a git tree that a look has written out, for the build that is going to follow. Only the
  /// last ones are kept, and not for long.
  void keep_checkout(const std::string& tree, std::unique_ptr<ScratchDirectory> checkout);
  /// Gives it away; nullptr: there is none.
  std::unique_ptr<ScratchDirectory> take_checkout(const std::string& tree);
  /// Those that nobody took for long go.
  void drop_old_checkouts();

 private:
  template <typename Value>
  struct Until {
    Clock::time_point since;
    Clock::time_point until;
    Value value;
  };
  struct Checkout {
    std::string tree;
    Clock::time_point since;
    std::unique_ptr<ScratchDirectory> directory;
  };

  template <typename Value>
  using Known = std::map<std::string, Until<Value>>;  // by the source's digest (Said)

  Clock::time_point end_of(Clock::time_point asked) const;
  template <typename Value, typename Read>
  std::optional<Value> find(Known<Value>& all, const std::string& source,
                            std::chrono::milliseconds most, const Read& read);
  template <typename Value>
  void keep_in(Known<Value>& all, const std::string& source, Value value, const Asking& asking,
               const std::string& told);

  std::chrono::milliseconds most_age_;
  mutable std::mutex mutex_;
  std::uint64_t era_ = 0;
  Known<Ref> refs_;
  Known<Base> bases_;
  Clock::time_point forgotten_ = Clock::now();          // when that was of all
  std::map<std::string, Clock::time_point> due_since_;  // when single ones were
  Known<std::string> told_;                             // by others
  Known<std::string> fresh_;                            // not passed on yet
  std::vector<Checkout> checkouts_;                     // the oldest first
};

}  // namespace imagewright
