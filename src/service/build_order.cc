#include "service/build_order.h"

#include "core/base64.h"
#include "core/digest.h"
#include "core/reference.h"
#include "io/error.h"
#include "io/registry.h"

namespace imagewright {

namespace {

// Raw bytes have no place in JSON: what a Dockerfile, an argument or a label holds may be any.
std::string written(const std::string& bytes) {
  return base64(bytes);
}

std::string bytes_of(const Json& json) {
  const auto bytes = from_base64(json.get<std::string>());
  if (!bytes) throw Error(Error::Kind::Source, "it is not in base64");
  return *bytes;
}

Json to_json(const OrderedContext& context) {
  return {{"name", context.name},
          {"digest", context.digest},
          {"pack", context.pack},
          {"size", context.size}};
}

OrderedContext context_of(const Json& json) {
  return {json.at("name").get<std::string>(), json.at("digest").get<std::string>(),
          json.at("pack").get<std::string>(), json.at("size").get<std::uint64_t>()};
}

Json to_json(const std::map<std::string, std::string>& texts) {
  Json json = Json::object();
  for (const auto& [name, value] : texts) json[name] = written(value);
  return json;
}

std::map<std::string, std::string> texts_of(const Json& json) {
  std::map<std::string, std::string> texts;
  for (const auto& [name, value] : json.items()) texts[name] = bytes_of(value);
  return texts;
}

Json to_json(const BuildOptions& options) {
  Json secrets = Json::array();
  for (const Secret& secret : options.secrets) {
    secrets.push_back(
        {{"id", secret.id}, {"file", secret.file}, {"environment", secret.environment}});
  }
  Json hosts = Json::array();
  for (const auto& [host, address] : options.extra_hosts) hosts.push_back({host, address});
  Json limits = Json::object();
  for (const auto& [name, limit] : options.ulimits) limits[name] = {limit.soft, limit.hard};
  return {{"platforms", options.platforms},
          {"secrets", secrets},
          {"ssh", options.ssh},
          {"cache_from", options.cache_from},
          {"cache_to", options.cache_to},
          {"network", options.network},
          {"extra_hosts", hosts},
          {"shm_size", options.shm_size},
          {"ulimits", limits},
          {"no_cache", options.no_cache},
          {"pull", options.pull},
          {"privileged", options.privileged}};
}

BuildOptions options_of(const Json& json) {
  BuildOptions options;
  json.at("platforms").get_to(options.platforms);
  for (const Json& secret : json.at("secrets")) {
    options.secrets.push_back({secret.at("id").get<std::string>(),
                               secret.at("file").get<std::string>(),
                               secret.at("environment").get<std::string>()});
  }
  json.at("ssh").get_to(options.ssh);
  json.at("cache_from").get_to(options.cache_from);
  json.at("cache_to").get_to(options.cache_to);
  json.at("network").get_to(options.network);
  for (const Json& host : json.at("extra_hosts"))
    options.extra_hosts.emplace_back(host.at(0).get<std::string>(), host.at(1).get<std::string>());
  json.at("shm_size").get_to(options.shm_size);
  for (const auto& [name, limit] : json.at("ulimits").items())
    options.ulimits[name] = {limit.at(0).get<std::int64_t>(), limit.at(1).get<std::int64_t>()};
  json.at("no_cache").get_to(options.no_cache);
  json.at("pull").get_to(options.pull);
  json.at("privileged").get_to(options.privileged);
  return options;
}

template <typename Read>
auto parsed(const char* what, Error::Kind kind, Read read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& exception) {
    throw Error(kind, std::string("that is no ") + what + ": " + exception.what());
  }
}

}  // namespace

Json to_json(const BuildOrder& order) {
  Json named = Json::array();
  for (const OrderedContext& context : order.named) named.push_back(to_json(context));
  return {{"image", order.image},
          {"context", to_json(order.context)},
          {"named", std::move(named)},
          {"dockerfile", written(order.dockerfile)},
          {"target", order.target},
          {"args", to_json(order.args)},
          {"labels", to_json(order.labels)},
          {"options", to_json(order.options)},
          {"insecure", order.insecure},
          {"timeout_ms", order.timeout.count()},
          {"push", order.push},
          {"push_insecurely", order.push_insecurely},
          {"made_name", order.made_name}};
}

BuildOrder build_order_of(const Json& json) {
  return parsed("order", Error::Kind::Source, [&] {
    BuildOrder order;
    json.at("image").get_to(order.image);
    order.context = context_of(json.at("context"));
    for (const Json& context : json.at("named")) order.named.push_back(context_of(context));
    order.dockerfile = bytes_of(json.at("dockerfile"));
    json.at("target").get_to(order.target);
    order.args = texts_of(json.at("args"));
    order.labels = texts_of(json.at("labels"));
    order.options = options_of(json.at("options"));
    json.at("insecure").get_to(order.insecure);
    order.timeout = std::chrono::milliseconds(json.at("timeout_ms").get<std::int64_t>());
    json.at("push").get_to(order.push);
    json.at("push_insecurely").get_to(order.push_insecurely);
    json.at("made_name").get_to(order.made_name);
    return order;
  });
}

std::string BuildOrder::digest() const {
  BuildOrder same = *this;
  same.context.pack.clear();
  same.context.size = 0;
  for (OrderedContext& directory : same.named) {
    directory.pack.clear();
    directory.size = 0;
  }
  for (auto* references : {&same.push, &same.push_insecurely}) {
    for (std::string& reference : *references) {
      const auto name = parse_reference(reference);
      if (name) reference = registry_name(*name).full();
    }
  }
  return "sha256:" + hex(sha256(dump(to_json(same), false)));
}

bool OrderOutcome::operator==(const OrderOutcome& other) const {
  return exit.status == other.exit.status && exit.interrupted == other.exit.interrupted &&
         exit.timed_out == other.exit.timed_out && image_id == other.image_id &&
         pushed == other.pushed && message == other.message;
}

Json to_json(const OrderOutcome& outcome, std::uint64_t log_bytes) {
  return {{"status", outcome.exit.status},
          {"interrupted", outcome.exit.interrupted},
          {"timed_out", outcome.exit.timed_out},
          {"image_id", outcome.image_id},
          {"pushed", outcome.pushed},
          {"message", outcome.message},
          {"log_bytes", log_bytes}};
}

std::pair<OrderOutcome, std::uint64_t> told_outcome_of(const Json& json) {
  return parsed("outcome", Error::Kind::Usage, [&] {
    OrderOutcome outcome;
    json.at("status").get_to(outcome.exit.status);
    json.at("interrupted").get_to(outcome.exit.interrupted);
    json.at("timed_out").get_to(outcome.exit.timed_out);
    json.at("image_id").get_to(outcome.image_id);
    json.at("pushed").get_to(outcome.pushed);
    json.at("message").get_to(outcome.message);
    return std::pair(outcome, json.at("log_bytes").get<std::uint64_t>());
  });
}

}  // namespace imagewright
