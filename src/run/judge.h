// Puts together what a verdict needs: the present manifest, the stored success, and whether the
// engine still has its image. The engine is asked once, while the inputs are looked at, and only if
// something is stored.
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/config.h"
#include "core/verdict.h"
#include "io/engine.h"
#include "io/store.h"
#include "run/bases.h"
#include "run/observe.h"
#include "run/publish.h"

namespace imagewright {

/// Inputs as they were stored; without kinds that this version does not know.
std::vector<Input> inputs_of(const std::vector<StoredInput>& stored);

/// What an image stands on, as it is now.
struct StandsOn {
  Ground ground;
  std::vector<std::string> stale;  ///< names of those parents that would be built first

  void add_parent(const std::string& name, const std::string& id, bool is_stale) {
    ground.parents[name] = id;
    if (is_stale) stale.push_back(name);
  }
};

struct Decision {
  Verdict verdict;
  Manifest manifest;  ///< with what it stands on
};

class Judge {
 public:
  /// Borrows the store and the engine. Reads which images are stored. Asks the engine, in a thread
  /// of its own, if one of `images` has a stored success.
  Judge(Store& store, Engine& engine, const std::vector<ImageConfig>& images, bool force);

  /// By the inputs as list_inputs gives them. Throws Error(Missing) if the engine does not answer.
  Decision decide(const std::string& image, const std::vector<Input>& inputs,
                  const StandsOn& stands_on);

  /// Would `decide` find no reason? For less, and most have none in most runs. Throws as that does.
  bool is_up_to_date(const std::string& image, const std::vector<Input>& inputs,
                     const StandsOn& stands_on);

  /// Does the engine call that image so? As it was when this was made. Throws as that does.
  bool is_named(const std::string& reference, const std::string& image_id) const;

  /// The last success of an image, as it was when this was made, without its inputs. nullptr: none
  /// is known.
  const ImageRow* last(const std::string& image) const;

  // To be used while this lives, each where the judge's own functions may be.
  LastReach reaches() const;  ///< what counted of their contexts
  Bases::Stored bases();      ///< last_value of their bases
  Publisher::IsNamed names() const {
    return [this](const auto& name, const auto& id) { return is_named(name, id); };
  }

  /// It is not used any more, and the process ends.
  void abandon_rows();

  /// All of them, by name.
  const std::unordered_map<std::string, ImageRow>& rows() const { return rows_; }

  /// The inputs of the last success, as they were when this was asked first for the image: of a
  /// later one than `last`, if there was another meanwhile. Empty: not known.
  const std::vector<StoredInput>& inputs(const std::string& image);
  /// Of those, the digest of the context; "": not known.
  std::string last_context(const std::string& image);
  /// Of those, the value of one; "": not known.
  std::string last_value(const std::string& image, InputKind kind, const std::string& name);

 private:
  Verdict decide(const std::string& image, const Manifest& now);
  std::string too_old_for(const ImageRow& row) const;
  const ImageRow& whole_row(const std::string& image);
  bool engine_has(const std::string& image_id);

  Store& store_;
  std::unordered_map<std::string, ImageRow> rows_;
  std::unordered_map<std::string, ImageRow> whole_rows_;  // of those whose inputs were asked for
  Engine& engine_;
  bool force_;
  std::unordered_map<std::string, std::chrono::milliseconds> max_ages_;  // of those that have one
  std::int64_t now_ms_;
  std::shared_future<EngineImages> images_;
};

/// The last attempt to build the image, if that was at exactly these inputs (Manifest::digest) and
/// failed: building again is likely to fail again.
std::optional<BuildRow> failed_attempt(Store& store, const std::string& image,
                                       const std::string& digest);

}  // namespace imagewright
