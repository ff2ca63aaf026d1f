#include "run/news_only.h"

#include <utility>

namespace imagewright {

void NewsOnly::begin(bool all) {
  held_back_.clear();
  is_open_ = all;
  told_before_ = std::exchange(told_, {});
}

void NewsOnly::tell(Call call) {
  if (is_open_) return call(shown_);
  held_back_.push_back(std::move(call));
}

// What went wrong as in the last run is no news.
void NewsOnly::tell_once(std::string what, Call call) {
  if (told_before_.count(what) == 0 && told_.count(what) == 0) happens();
  told_.insert(std::move(what));
  tell(std::move(call));
}

void NewsOnly::happens() {
  if (is_open_) return;
  is_open_ = true;
  for (const Call& call : std::exchange(held_back_, {})) call(shown_);
}

void NewsOnly::step(const std::string& text) {
  tell([=](Progress& to) { to.step(text); });
}

void NewsOnly::image_step(const std::string& name, const std::string& text) {
  tell([=](Progress& to) { to.image_step(name, text); });
}

void NewsOnly::image_detail(const std::string& name, const std::string& text) {
  tell([=](Progress& to) { to.image_detail(name, text); });
}

void NewsOnly::warning(const std::string& text) {
  tell_once("warning " + text, [=](Progress& to) { to.warning(text); });
}

void NewsOnly::waiting(const std::filesystem::path& state_directory, int process_id) {
  happens();
  shown_.waiting(state_directory, process_id);
}

void NewsOnly::run_started(const std::filesystem::path& config, std::size_t images,
                           std::size_t jobs) {
  tell([=](Progress& to) { to.run_started(config, images, jobs); });
}

void NewsOnly::image_started(const std::string& name) {
  tell([=](Progress& to) { to.image_started(name); });
}

void NewsOnly::image_decided(const std::string& name, const Verdict& verdict) {
  tell([=](Progress& to) { to.image_decided(name, verdict); });
}

void NewsOnly::build_started(const std::string& name) {
  happens();
  shown_.build_started(name);
}

void NewsOnly::output(const std::string& name, std::string_view line) {
  shown_.output(name, line);
}

void NewsOnly::tick(std::optional<std::chrono::milliseconds> remaining) {
  if (is_open_) shown_.tick(remaining);
}

void NewsOnly::image_finished(const ImageResult& result) {
  Call call = [=](Progress& to) { to.image_finished(result); };
  if (result.state == ImageState::Failed || result.state == ImageState::Skipped)
    return tell_once(result.name + " " + result.message, std::move(call));
  const std::string failure = result.name + " ";
  const auto before = told_before_.lower_bound(failure);
  const bool had_failed = before != told_before_.end() && before->starts_with(failure);
  if (result.state == ImageState::Built || had_failed) happens();
  tell(std::move(call));
}

void NewsOnly::image_tagged(const std::string& name, const std::string& reference) {
  happens();
  shown_.image_tagged(name, reference);
}

void NewsOnly::image_pushed(const std::string& name, const std::string& reference,
                            const std::string& digest) {
  happens();
  shown_.image_pushed(name, reference, digest);
}

void NewsOnly::publishing_failed(const std::string& name, const std::string& reference,
                                 const std::string& message) {
  tell_once("publishing " + reference + " " + message,
            [=](Progress& to) { to.publishing_failed(name, reference, message); });
}

void NewsOnly::row_retired(const std::string& name) {
  happens();
  shown_.row_retired(name);
}

void NewsOnly::run_finished(const RunSummary& summary) {
  if (is_open_) shown_.run_finished(summary);
}

}  // namespace imagewright
