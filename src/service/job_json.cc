#include "service/job_json.h"

#include "service/times.h"

namespace imagewright {

namespace {

Json time_or_null(std::int64_t ms) {
  return ms == 0 ? Json(nullptr) : Json(utc_time(ms));
}

// The reasons for programs, which are stored as text.
Json parsed(const std::string& details) {
  Json json = Json::parse(details, nullptr, false);
  return json.is_array() ? json : Json::array();
}

}  // namespace

Json to_json(const Job& job) {
  Json json = {{"id", job.id},
               {"image", job.image},
               {"state", word(job.state)},
               {"why", job.reasons},
               {"reasons", parsed(job.details)},
               {"trigger", job.trigger},
               {"inputs", text_or_null(job.inputs)},
               {"priority", job.priority},
               {"needs", job.needs},
               {"waits_for", job.waits_for},
               {"attempts", job.attempts},
               {"worker", text_or_null(job.worker)},
               {"queued", time_or_null(job.queued_ms)},
               {"not_before", time_or_null(job.not_before_ms)},
               {"started", time_or_null(job.started_ms)},
               {"finished", time_or_null(job.finished_ms)}};
  json["seconds"] = job.finished_ms > 0 && job.started_ms > 0
                        ? Json(static_cast<double>(job.finished_ms - job.started_ms) / 1000)
                        : Json(nullptr);
  json["cancel_asked"] = job.cancel_asked;
  json["message"] = text_or_null(job.message);
  json["image_id"] = text_or_null(job.image_id);
  json["log_bytes"] = job.log_bytes;
  return json;
}

Json to_json(const WorkerRow& worker) {
  return {{"name", worker.name},
          {"labels", worker.labels},
          {"engine", text_or_null(worker.engine)},
          {"version", text_or_null(worker.version)},
          {"seen", time_or_null(worker.seen_ms)},
          {"draining", worker.draining}};
}

Json to_json(const ImageStatus& image) {
  return {{"name", image.name},
          {"state", word(image.standing)},
          {"reasons", to_json(image.reasons)},
          {"message", text_or_null(image.message)},
          {"source", text_or_null(image.source)},
          {"image_id", text_or_null(image.image_id)},
          {"in_registry", text_or_null(image.in_registry)}};
}

}  // namespace imagewright
