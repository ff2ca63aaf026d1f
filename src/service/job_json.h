// Jobs, images and workers as the API's JSON (docs/http-api.md).
#pragma once

#include "run/json.h"
#include "run/run.h"
#include "service/queue.h"

namespace imagewright {

Json to_json(const Job& job);
Json to_json(const WorkerRow& worker);
Json to_json(const ImageStatus& image);

}  // namespace imagewright
