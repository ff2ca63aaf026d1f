#include "service/worker_call.h"

#include "io/error.h"

namespace imagewright {

namespace {

constexpr std::size_t kLongestName = 200;

}  // namespace

Json to_json(const WorkerCall& call) {
  Json holds = Json::array();
  for (const WorkerCall::Hold& hold : call.holds)
    holds.push_back({{"job", hold.job}, {"fence", hold.fence}, {"orders", hold.orders}});
  return {{"worker", call.worker},     {"instance", call.instance},
          {"labels", call.labels},     {"engine", call.engine},
          {"version", call.version},   {"takes_directories", call.takes_directories},
          {"jobs", call.jobs},         {"room", call.room},
          {"draining", call.draining}, {"wait_ms", call.wait.count()},
          {"holds", std::move(holds)}};
}

WorkerCall worker_call_of(const Json& json) {
  try {
    WorkerCall call;
    json.at("worker").get_to(call.worker);
    json.at("instance").get_to(call.instance);
    json.at("labels").get_to(call.labels);
    json.at("engine").get_to(call.engine);
    json.at("version").get_to(call.version);
    json.at("takes_directories").get_to(call.takes_directories);
    json.at("jobs").get_to(call.jobs);
    json.at("room").get_to(call.room);
    json.at("draining").get_to(call.draining);
    call.wait = std::chrono::milliseconds(json.at("wait_ms").get<std::int64_t>());
    for (const Json& hold : json.at("holds")) {
      call.holds.push_back({hold.at("job").get<std::int64_t>(),
                            hold.at("fence").get<std::int64_t>(),
                            hold.at("orders").get<std::set<std::string>>()});
    }
    if (call.worker.empty() || call.worker.size() > kLongestName || call.instance.empty() ||
        call.jobs < 1)
      throw Error(Error::Kind::Usage, "that is no worker's call: a name, an instance, jobs");
    return call;
  } catch (const nlohmann::json::exception& exception) {
    throw Error(Error::Kind::Usage, std::string("that is no worker's call: ") + exception.what());
  }
}

}  // namespace imagewright
