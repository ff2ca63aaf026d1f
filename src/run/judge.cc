#include "run/judge.h"

#include <algorithm>

#include "core/abandon.h"
#include "core/config_values.h"
#include "io/wall_clock.h"

namespace imagewright {

std::vector<Input> inputs_of(const std::vector<StoredInput>& stored) {
  std::vector<Input> inputs;
  for (const StoredInput& input : stored) {
    if (const auto kind = input_kind(input.kind))
      inputs.push_back({*kind, input.name, input.digest, input.value});
  }
  return inputs;
}

Judge::Judge(Store& store, Engine& engine, const std::vector<ImageConfig>& images, bool force)
    : store_(store), engine_(engine), force_(force), now_ms_(now_ms()) {
  for (const ImageConfig& image : images) {
    if (image.max_age.count() != 0) max_ages_.emplace(image.name, image.max_age);
  }
  rows_ = store.rows_by_name();
  const bool any = std::any_of(images.begin(), images.end(), [&](const ImageConfig& image) {
    return rows_.count(image.name) != 0;
  });
  if (any) images_ = std::async(std::launch::async, [this] { return engine_.images(); });
}

void Judge::abandon_rows() {
  abandon(rows_);
  abandon(whole_rows_);
}

const ImageRow* Judge::last(const std::string& image) const {
  const auto found = rows_.find(image);
  return found == rows_.end() ? nullptr : &found->second;
}

LastReach Judge::reaches() const {
  return [this](const std::string& image) -> const std::string* {
    const ImageRow* row = last(image);
    return row != nullptr && row->format == kFingerprintFormat ? &row->reach : nullptr;
  };
}

Bases::Stored Judge::bases() {
  return [this](const std::string& image, const std::string& base) {
    return last_value(image, InputKind::Base, base);
  };
}

const ImageRow& Judge::whole_row(const std::string& image) {
  static const ImageRow kNone;
  if (rows_.count(image) == 0) return kNone;
  const auto [place, is_new] = whole_rows_.try_emplace(image);
  if (is_new) {
    if (auto row = store_.find(image)) place->second = *std::move(row);
  }
  return place->second;
}

const std::vector<StoredInput>& Judge::inputs(const std::string& image) {
  return whole_row(image).inputs;
}

std::string Judge::last_context(const std::string& image) {
  for (const StoredInput& input : inputs(image)) {
    if (input.kind == word(InputKind::Context) && input.name.empty()) return input.digest;
  }
  return "";
}

std::string Judge::last_value(const std::string& image, InputKind kind, const std::string& name) {
  for (const StoredInput& input : inputs(image)) {
    if (input.kind == word(kind) && input.name == name) return input.value;
  }
  return "";
}

Decision Judge::decide(const std::string& image, const std::vector<Input>& inputs,
                       const StandsOn& stands_on) {
  Decision decision;
  decision.manifest = make_manifest(inputs, stands_on.ground);
  decision.verdict = decide(image, decision.manifest);
  note_stale_parents(decision.verdict, stands_on.stale);
  return decision;
}

bool Judge::is_up_to_date(const std::string& image, const std::vector<Input>& inputs,
                          const StandsOn& stands_on) {
  const ImageRow* row = last(image);
  return row != nullptr && stands_on.stale.empty() &&
         imagewright::is_up_to_date(
             digest_of(inputs, stands_on.ground),
             {row->digest, row->format, row->verified, {}, too_old_for(*row)},
             engine_has(row->image_id), force_);
}

Verdict Judge::decide(const std::string& image, const Manifest& now) {
  std::optional<LastSuccess> last;
  bool has_image = true;
  if (const ImageRow* row = this->last(image)) {
    has_image = engine_has(row->image_id);
    last.emplace();
    // (What changed is of interest only where something did.)
    if (row->digest != now.digest) {
      const ImageRow& whole = whole_row(image);
      last->inputs = inputs_of(whole.inputs);
      // By another run, since the rows were read: then by what that one stored, all of it. It has
      // the image just built or found.
      if (whole.digest != row->digest) {
        row = &whole;
        has_image = true;
      }
    }
    last->digest = row->digest;
    last->format = row->format;
    last->verified = row->verified;
    last->too_old_for = too_old_for(*row);
    if (row->name.empty()) last.reset();  // it was taken out
  }
  return imagewright::decide(now, last, has_image, engine_.name(), force_);
}

std::string Judge::too_old_for(const ImageRow& row) const {
  const auto found = max_ages_.find(row.name);
  if (found == max_ages_.end() || now_ms_ - row.built_ms <= found->second.count()) return "";
  return duration_text(found->second);
}

bool Judge::is_named(const std::string& reference, const std::string& image_id) const {
  return images_.valid() && images_.get().is_named(reference, image_id, engine_.has_short_names());
}

bool Judge::engine_has(const std::string& image_id) {
  return images_.get().ids.count(image_id) != 0;
}

std::optional<BuildRow> failed_attempt(Store& store, const std::string& image,
                                       const std::string& digest) {
  auto last = store.last_build(image);
  if (last && last->result == BuildResult::Failed && last->digest == digest) return last;
  return std::nullopt;
}

}  // namespace imagewright
