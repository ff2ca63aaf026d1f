// Progress as JSON events, and how reasons and documents are written as JSON (docs/formats.md).
#include <fmt/format.h>

#include "core/source.h"
#include "run/json.h"
#include "run/progress.h"

namespace imagewright {

namespace {

constexpr int kEventVersion = 1;

double seconds(std::chrono::milliseconds duration) {
  return static_cast<double>(duration.count()) / 1000;
}

const char* result_word(const ImageResult& result) {
  switch (result.state) {
    case ImageState::Built:
      return result.dry_run ? "would-build" : "built";
    case ImageState::UpToDate:
      return "up-to-date";
    case ImageState::Failed:
      return "failed";
    default:
      return "skipped";
  }
}

class JsonProgress : public Progress {
 public:
  explicit JsonProgress(std::FILE* out) : out_(out) {}

  void step(const std::string& text) override { emit({{"event", "step"}, {"text", text}}); }
  void image_step(const std::string& name, const std::string& text) override {
    emit({{"event", "step"}, {"image", name}, {"text", text}});
  }
  void warning(const std::string& text) override { emit({{"event", "warning"}, {"text", text}}); }

  void waiting(const std::filesystem::path& state_directory, int process_id) override {
    emit({{"event", "waiting"},
          {"state_directory", state_directory.string()},
          {"process_id", process_id}});
  }

  void run_started(const std::filesystem::path& config, std::size_t images,
                   std::size_t jobs) override {
    Json event = {{"event", "run-started"},
                  {"version", kEventVersion},
                  {"config", config.string()},
                  {"images", images}};
    if (jobs > 0) event["jobs"] = jobs;
    emit(event);
  }

  void image_started(const std::string& name) override {
    emit({{"event", "image-started"}, {"image", name}});
  }

  void image_decided(const std::string& name, const Verdict& verdict) override {
    emit({{"event", "image-decided"},
          {"image", name},
          {"build", verdict.build()},
          {"reasons", to_json(verdict.reasons)}});
  }

  void build_started(const std::string& name) override {
    emit({{"event", "build-started"}, {"image", name}});
  }

  void output(const std::string& name, std::string_view line) override {
    emit({{"event", "output"}, {"image", name}, {"line", std::string(line)}});
  }

  void image_finished(const ImageResult& result) override {
    emit({{"event", "image-finished"},
          {"image", result.name},
          {"result", result_word(result)},
          {"reasons", to_json(result.reasons)},
          {"seconds", seconds(result.duration)},
          {"image_id", text_or_null(result.image_id)},
          {"in_registry", text_or_null(result.in_registry)},
          {"message", text_or_null(result.message)},
          {"because", text_or_null(result.because)},
          {"log", text_or_null(result.log.string())}});
  }

  void image_tagged(const std::string& name, const std::string& reference) override {
    emit({{"event", "image-tagged"}, {"image", name}, {"reference", reference}});
  }

  void image_pushed(const std::string& name, const std::string& reference,
                    const std::string& digest) override {
    emit(
        {{"event", "image-pushed"}, {"image", name}, {"reference", reference}, {"digest", digest}});
  }

  void publishing_failed(const std::string& name, const std::string& reference,
                         const std::string& message) override {
    emit({{"event", "publishing-failed"},
          {"image", name},
          {"reference", reference},
          {"message", message}});
  }

  void row_retired(const std::string& name) override {
    emit({{"event", "row-retired"}, {"image", name}});
  }

  void run_finished(const RunSummary& summary) override {
    emit({{"event", "run-finished"},
          {"built", summary.count(ImageState::Built)},
          {"up_to_date", summary.count(ImageState::UpToDate)},
          {"failed", summary.count(ImageState::Failed)},
          {"skipped", summary.count(ImageState::Skipped)},
          {"not_published", summary.publishing_failures},
          {"interrupted", summary.signal != 0},
          {"seconds", seconds(summary.duration)}});
  }

 private:
  void emit(const Json& event) {
    fmt::print(out_, "{}\n", dump(event, false));
    std::fflush(out_);
  }

  std::FILE* out_;
};

}  // namespace

std::unique_ptr<Progress> make_json_progress(std::FILE* out) {
  return std::make_unique<JsonProgress>(out);
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json to_json(const ContextChanges& changes) {
  Json files = Json::array();
  for (const ContextChange& change : changes.entries) {
    files.push_back({{"path", change.path}, {"change", word(change.kind)}});
  }
  return {{"changed", changes.changed},
          {"added", changes.added},
          {"removed", changes.removed},
          {"files", files}};
}

Json to_json(const std::vector<Reason>& reasons) {
  Json list = Json::array();
  for (const Reason& reason : reasons) {
    const bool has_input = reason.kind == ReasonKind::InputChanged ||
                           reason.kind == ReasonKind::InputAdded ||
                           reason.kind == ReasonKind::InputRemoved;
    list.push_back({{"kind", word(reason.kind)},
                    {"input", has_input ? Json(word(reason.input)) : Json(nullptr)},
                    {"name", text_or_null(reason.name)},
                    {"before", text_or_null(redacted(reason.before))},
                    {"now", text_or_null(redacted(reason.now))},
                    {"changes", reason.changes.empty() ? Json(nullptr) : to_json(reason.changes)},
                    {"text", describe(reason)}});
  }
  return list;
}

std::string dump(const Json& json, bool indented) {
  return json.dump(indented ? 2 : -1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace imagewright
